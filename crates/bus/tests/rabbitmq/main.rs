//! The RabbitMQ bus: the conformance suite, and its behaviour under faults and outages of the broker.
#![expect(clippy::unwrap_used, reason = "these are tests, which fail by panicking")]

mod conformance;
mod faults;
mod outages;
mod support;
