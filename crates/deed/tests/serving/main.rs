//! `deed serve` against DNS servers that live on when it dies: a third party's, and under `kill -9`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod audit;
mod kill;
mod service;
mod third_party;
