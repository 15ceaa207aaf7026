//! Whole checks, probed and judged, in a private internet: a root, a TLD and zones on real DNS servers, at loopback
//! addresses that share one port.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod attacks;
mod codes;
mod dnssec;
mod internet;
mod negative_cache;
mod presentation;
mod quirks;
mod resolver_outage;
mod scripted_server;
mod service;
mod spoofing;
mod stability;
mod takeover;
mod trap_sockets;
mod valid_record;
mod wildcards;
