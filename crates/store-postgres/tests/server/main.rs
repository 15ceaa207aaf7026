//! What is particular to PostgreSQL: several processes, connections that break or freeze, a server that comes and goes, a
//! schema that may be another.
#![expect(clippy::unwrap_used, reason = "these are tests: a panic is their verdict")]

mod connecting;
mod digest;
mod emptying;
mod freezing;
mod given;
mod immutable;
mod killing;
mod listening;
mod ordering;
mod outages;
mod plans;
mod readonly;
