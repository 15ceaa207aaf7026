//! `deed serve` with DNS servers that survive it: Knot DNS, and the sandbox under `kill -9`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod audit;
mod kill;
mod service;
mod third_party;
