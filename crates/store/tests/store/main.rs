//! Tests of the crate against the store in memory, which fails on demand.
#![expect(clippy::unwrap_used, reason = "a failed test panics")]

mod batcher;
mod conformance;
mod execute;
mod faulty;
mod lease_keeper;
mod log_pages;
mod metrics;
mod subscription;
