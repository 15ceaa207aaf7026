//! Folds the log into read models and due work, and publishes due work on the bus.
//!
//! - The **projector** follows the log and reads no other source. Rows and checkpoint move in one transaction, so the
//!   read models are always the fold of a prefix of the log. [`rebuild`] folds again from the start, with the same
//!   result.
//! - The **dispatcher** publishes due work when it falls due. A row is deleted only when the log says that the work is
//!   done, so the work of a lost message is published again.
mod dispatcher;
mod fold;
mod fold_version;
mod lifecycle_counter;
mod metrics;
mod projector;
mod rebuild;
mod row_cache;
mod run;
mod spans;
#[cfg(test)]
mod testing;
mod token_bucket;

pub use deed_store::READ_MODELS;
pub use dispatcher::{DispatcherConfig, DispatcherPorts, run_dispatcher};
pub use fold::FoldError;
pub use metrics::{DISPATCHER, DispatcherMetrics, ProjectorMetrics};
pub use projector::Projector;
pub use rebuild::{IfHeld, REBUILD_BATCH, RebuildConfig, RebuildError, Rebuilt, rebuild};
pub use run::{RebuildRequests, Rebuilder, rebuild_channel, run_projector};
