//! The event store on PostgreSQL: any number of processes on one database, positions in commit order without gaps.
//!
//! [`PostgresStore`] implements every port; it is a handle that is cheap to clone. An append locks one row until it is
//! committed, within a single call of a function in the database: a process that hangs during an append does not block
//! the appends of others.

mod append;
mod batch;
mod changes;
mod checkpoints;
mod claim_history;
mod columns;
mod config;
mod copy_reader;
mod digest;
mod due_work;
mod event_store;
mod idempotency;
mod keys;
mod listener;
mod open;
mod pool;
mod read_models;
mod requests;
mod schema;
mod session;
mod stream_reader;

pub use config::PostgresConfig;
pub use open::{OpenError, PostgresStore};
pub use schema::{Migrated, migrate};
