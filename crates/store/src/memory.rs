//! A store in memory, for tests of other crates and for simulations. It passes the conformance suite of backends, but keeps
//! nothing: the data end with the last handle.
mod checkpoints;
mod due_work;
mod event_store;
mod idempotency;
mod keys;
mod read_models;
mod store;
mod tables;

pub use self::store::MemoryStore;
