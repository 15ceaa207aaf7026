//! The prober against scripted name servers on loopback: what they say, and what is reported of it.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod aliases;
mod confirmation;
mod delegations;
mod faults;
mod hostile;
mod limits;
mod records;
mod sockets;
mod sparing;
mod values;
mod world;
