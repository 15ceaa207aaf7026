//! Holds what is left in the database, the broker and the DNS server's journal against what was promised.
//!
//! It has its own SQL and its own fold of the events, on purpose: it shares no code with the service, so a mistake there
//! cannot hide itself.
mod broker;
mod database;
mod evidence;
mod file;
mod fold;
#[cfg(test)]
mod made_up;
mod payload;
mod properties;
mod rebuild;
mod report;

pub use broker::{Heard, Management, Queue};
pub use database::{Database, Snapshot};
pub use evidence::{ClaimRow, DueRow, Evidence, LogRow, OwnershipRow, Views};
pub use file::snapshot;
pub use properties::{PROPERTIES, check};
pub use rebuild::rebuild;
pub use report::{Finding, Report, Verdict};
