//! The checker: compares database, broker and DNS journal with the acknowledged requests.
//!
//! It has its own SQL and its own fold and shares no code with the service on purpose, so that a bug of the
//! service cannot hide itself.
mod broker;
mod database;
mod evidence;
mod file;
#[cfg(test)]
mod fixture;
mod fold;
mod payload;
mod properties;
mod rebuild;
mod report;

pub use broker::{Management, PublishedEvent, QueueDepth};
pub use database::{DatabaseConnection, Snapshot};
pub use evidence::{ClaimRow, DueRow, Evidence, LogRow, OwnershipRow, Views};
pub use file::snapshot;
pub use properties::{PROPERTIES, check};
pub use rebuild::rebuild;
pub use report::{Finding, PropertyVerdict, Report};
