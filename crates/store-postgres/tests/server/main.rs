//! Tests of PostgreSQL only: several processes, broken and frozen connections, restarts of the server, other schemas.
#![expect(clippy::unwrap_used, reason = "a failed test panics")]

mod connecting;
mod digest;
mod frozen_connections;
mod given;
mod immutable;
mod killed_connections;
mod listener;
mod ordering;
mod outages;
mod plans;
mod readonly;
mod reset;
