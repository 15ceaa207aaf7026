//! The RabbitMQ bus: the suite for every backend, and what a broker can do to it.
#![expect(clippy::unwrap_used, reason = "these are tests: a panic is their verdict")]

mod conformance;
mod faults;
mod outages;
mod support;
