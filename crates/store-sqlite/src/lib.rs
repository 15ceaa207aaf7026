//! The event store on SQLite: one file, one writer at a time, positions without gaps.
//!
//! [`SqliteStore`] implements every port; it is a handle that is cheap to clone. Several processes may open the same
//! file; SQLite's locks serialise their writes.

mod append;
mod batch;
mod changes;
mod checkpoints;
mod claim_history;
mod columns;
mod digest;
mod due_work;
mod event_store;
mod idempotency;
mod keys;
mod open;
mod read_models;
mod stream_reader;
mod writer;

pub use open::{OpenError, SqliteConfig, SqliteStore};
