//! The event store on PostgreSQL: any number of processes on one database, positions without a gap in the order of
//! commits.
//!
//! Every port is implemented by [`PostgresStore`], a handle that is cheap to clone. Whoever appends holds one row until
//! the append is committed, and does so in a single call of a function in the database: no process that hangs in the
//! middle of an append keeps the others from theirs.

mod append;
mod batch;
mod bulk;
mod changes;
mod checkpoints;
mod columns;
mod config;
mod digest;
mod due_work;
mod idempotency;
mod keys;
mod listener;
mod open;
mod pool;
mod read;
mod read_models;
mod requests;
mod schema;
mod session;
mod streams;

pub use config::PostgresConfig;
pub use open::{OpenError, PostgresStore};
pub use schema::{Migrated, migrate};
