//! The sandbox over the wire: DNS queries over UDP and TCP, control requests over HTTP.
#![expect(clippy::unwrap_used, reason = "a test's own plumbing may panic")]

mod answers;
mod client;
mod control;
mod faults;
mod lifecycle;
mod transports;
mod walk;
