//! The sandbox as its clients see it: real questions over UDP and TCP, real control requests.
#![expect(clippy::unwrap_used, reason = "a test's own plumbing may panic")]

mod answers;
mod client;
mod control;
mod faults;
mod lifecycle;
mod transports;
mod walk;
