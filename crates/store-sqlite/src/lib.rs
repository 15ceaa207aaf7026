//! The event store on SQLite: one file, one writer at a time, positions without a gap.
//!
//! Every port is implemented by [`SqliteStore`], a handle that is cheap to clone. Several processes may open the
//! same file; SQLite's own locks keep their writes apart.

mod append;
mod batch;
mod changes;
mod checkpoints;
mod columns;
mod digest;
mod due_work;
mod idempotency;
mod keys;
mod open;
mod read;
mod read_models;
mod streams;
mod writer;

pub use open::{OpenError, SqliteConfig, SqliteStore};
