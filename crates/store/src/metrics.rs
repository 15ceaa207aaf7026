//! Metrics of the store: leases, lag, appends, connections.
//!
//! Several roles of one process share a family: each registers it with its own constant label, so that every series
//! exists from the start with the value 0.
mod append;
mod backlog;
mod connections;
mod lease;
mod subscription;

pub use append::{AppendMetrics, MetricsSlot};
pub use backlog::{Backlog, Lag};
pub use connections::Connections;
pub use lease::{HeldLeaseGuard, LeaseMetrics};
pub use subscription::SubscriptionMetrics;
