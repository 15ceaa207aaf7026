//! The prober against scripted name servers on loopback: what they say, and what is reported of it.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod absent;
mod aliases;
mod chain;
mod confirmation;
mod delegations;
mod dnssec;
mod faults;
mod findings;
mod forgeries;
mod hostile;
mod limits;
mod records;
mod resolvers;
mod routes;
mod signed;
mod sockets;
mod sparing;
mod told;
mod values;
mod world;
