//! The ports behind which the log and everything derived from it are kept, and what is done through them:
//! executing commands, group commit, subscriptions.
#![deny(missing_docs)]

mod ambient;
mod append;
mod checkpoints;
mod due_work;
mod event_store;
mod execute;
mod gatherer;
mod group_commit;
mod idempotency;
mod keys;
mod lease_keeper;
mod log_pages;
mod metrics;
mod read_models;
mod record;
pub mod spans;
mod subscription;

#[cfg(feature = "conformance")]
pub mod conformance;

pub use ambient::{Clock, Entropy, OsEntropy, SystemClock};
pub use append::{Append, AppendBackend, AppendError, Appended, StreamWrite};
pub use checkpoints::{Checkpoints, Lease, LeaseError};
pub use due_work::{DueItem, DueWork, Overdue};
pub use event_store::{EventStore, Unavailable};
pub use execute::{ExecuteError, Executed, Loaded, Plan, execute, load};
pub use gatherer::{BatchBackend, Gatherer};
pub use group_commit::{GroupCommit, GroupCommitLimits, GroupCommitStats};
pub use idempotency::{Begin, Idempotency, Receipt, RequestKey, StoredResponse};
pub use keys::{ApiKey, KeyHash, KeyId, KeyOwner, KeyScope, Keys, NewKey};
pub use lease_keeper::LeaseKeeper;
pub use log_pages::log_pages;
pub use metrics::{
    AppendMetrics, Appending, Appends, Backlog, Behind, Connections, HeldLease, LeaseMetrics,
    SubscriptionMetrics,
};
pub use read_models::{
    AppPage, AppRow, Changes, ClaimPage, ClaimQuery, ClaimRow, Cursor, DueRow, OwnershipRow, ReadModels,
};
pub use record::{Metadata, Position, RecordedEvent, Version};
pub use subscription::{
    Batch, Progress, Subscriber, SubscriberError, SubscriptionConfig, SubscriptionError, run_subscription,
};
