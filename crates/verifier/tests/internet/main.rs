//! Whole checks, looked and judged, in an internet of its own: root, a TLD and zones on servers as they are out there,
//! on loopback addresses that share one port.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod attacks;
mod codes;
mod dnssec;
mod fresh;
mod guesses;
mod healthy;
mod held;
mod presentation;
mod scripted;
mod service;
mod stability;
mod strange;
mod takeover;
mod traps;
mod wildcards;
mod world;
