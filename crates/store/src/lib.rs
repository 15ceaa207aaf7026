//! The ports of the event store (log, checkpoints, read models, due work, keys, idempotency), and what works through
//! them: command execution, batching, subscriptions.
#![deny(missing_docs)]

mod aggregate;
mod append;
mod append_plan;
mod batcher;
mod checkpoints;
mod claim_history;
mod clock;
mod due_work;
mod event_store;
mod execute;
mod idempotency;
mod instrumented;
mod keys;
mod lease_keeper;
mod loaded;
mod log_pages;
pub mod memory;
mod metrics;
mod read_models;
mod record;
mod request_run;
pub mod rows;
mod spans;
mod subscription;

#[cfg(feature = "conformance")]
pub mod conformance;

pub use aggregate::Aggregate;
pub use append::{Append, AppendError, Appended, StreamWrite};
pub use append_plan::{AppendPlan, EncodedAppend, Placement, PlannedEvent, Receipts};
pub use batcher::{BatchBackend, BatchLimits, BatchStats, Batcher};
pub use checkpoints::{Checkpoints, Lease, LeaseError};
pub use claim_history::ClaimHistory;
pub use clock::{OsEntropy, SystemClock};
pub use due_work::{DueItem, DueWork, Overdue};
pub use event_store::{EventStore, StreamRead, Unavailable};
pub use execute::{ExecuteError, Executed, Load, Plan, execute};
pub use idempotency::{Begin, Idempotency, Receipt, RequestKey, StoredResponse};
pub use instrumented::Instrumented;
pub use keys::{ApiKey, KeyHash, KeyId, KeyOwner, KeyScope, Keys, NewKey};
pub use lease_keeper::LeaseKeeper;
pub use loaded::{Loaded, Snapshot, SnapshotState, load};
pub use log_pages::log_pages;
pub use metrics::{
    AppendMetrics, Backlog, Connections, HeldLeaseGuard, Lag, LeaseMetrics, MetricsSlot, SubscriptionMetrics,
};
pub use read_models::{
    AppPage, AppRow, Changes, ClaimPage, ClaimQuery, ClaimRow, Cursor, DueRow, OwnershipRow, READ_MODELS,
    READ_MODELS_FOLD, ReadModels,
};
pub use record::{Metadata, Position, RecordedEvent, Version};
pub use request_run::{BeginRequest, RequestRun};
pub use subscription::{
    Batch, Progress, Subscriber, SubscriberError, SubscriptionConfig, SubscriptionError, run_subscription,
};
