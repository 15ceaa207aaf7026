//! Folds the log into read models and due work, and puts due work on the bus.
//!
//! - The **projector** follows the log and nothing else; rows and checkpoint move in one transaction, so what is read
//!   is always the fold of a prefix of the log. [`rebuild`] folds again from the start, into the same result.
//! - The **dispatcher** asks for work when its row falls due. Rows go away only when the log says that the work is
//!   done, so a message that is lost is asked for again.
mod dispatch;
mod dispatcher;
mod fold;
mod metrics;
mod pace;
mod projector;
mod rebuild;
mod recent;
mod run;
mod spans;
mod tally;
#[cfg(test)]
mod testing;

pub use dispatcher::{DISPATCHER, DispatcherConfig, DispatcherPorts, run_dispatcher};
pub use fold::FoldError;
pub use metrics::{DispatcherMetrics, ProjectorMetrics};
pub use projector::{Projector, READ_MODELS};
pub use rebuild::{IfHeld, REBUILD_BATCH, RebuildConfig, RebuildError, Rebuilt, rebuild};
pub use run::{RebuildRequests, Rebuilder, rebuild_channel, run_projector};
