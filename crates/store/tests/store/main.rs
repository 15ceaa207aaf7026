//! Tests of the crate against a store in memory that fails on demand.
#![expect(clippy::unwrap_used, reason = "a failed test panics")]

mod batcher;
mod conformance;
mod execute;
mod fake;
mod lease_keeper;
mod log_pages;
mod metrics;
mod subscription;
