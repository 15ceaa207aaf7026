//! The prober against scripted name servers on loopback.
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
mod metrics;
mod records;
mod resolvers;
mod routing;
mod server_limiter;
mod signed;
mod sockets;
mod values;
mod world;
