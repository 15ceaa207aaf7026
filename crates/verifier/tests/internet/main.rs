//! Whole checks, looked and judged, in an internet of its own: root, a TLD and zones on servers as they are out there,
//! on loopback addresses that share one port.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod attacks;
mod codes;
mod dnssec;
mod fresh;
mod healthy;
mod presentation;
mod scripted;
mod world;
