//! What the crate does through its ports, against a store in memory that breaks on demand.
#![expect(clippy::unwrap_used, reason = "these are tests: a panic is their verdict")]

mod conformance;
mod execute;
mod fake;
mod group_commit;
mod lease_keeper;
mod log_pages;
mod metrics;
mod subscription;
