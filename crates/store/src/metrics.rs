//! What is measured where the store is used: who holds a lease, how far somebody is behind, and what is appended.
//!
//! Families that several roles of one process share are registered by each of them, with a label of its own that never
//! changes: every series is there from the start, with 0.
mod append;
mod backlog;
mod connections;
mod lease;
mod subscription;

pub use append::{AppendMetrics, Appending, Appends};
pub use backlog::{Backlog, Behind};
pub use connections::Connections;
pub use lease::{HeldLease, LeaseMetrics};
pub use subscription::SubscriptionMetrics;
