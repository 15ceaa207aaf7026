//! Everything the checker looks at, once it is read.
use std::collections::BTreeMap;

use serde_json::Value;

use super::broker::{Heard, Queue};
use crate::acknowledged::Acknowledged;
use crate::dns::DnsLine;

/// Microseconds since 1970.
pub type Micros = i64;

/// All of it.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// The log in the order of positions.
    pub log: Vec<LogRow>,
    /// The read models, from the same snapshot as the log.
    pub views: Views,
    /// The read models after a rebuild.
    pub rebuilt: Option<Views>,
    /// When the snapshot was taken.
    pub taken_at: Micros,
    /// The broker's queues; none where there is no broker.
    pub queues: Option<Vec<Queue>>,
    /// The events that were published, as somebody who listens to all of them got them.
    pub heard: Option<Vec<Heard>>,
    /// What stands up to here in the log was published before anybody listened.
    pub heard_after: i64,
    /// Messages may leave out fields: an older relay that did not know them has passed them on.
    pub thinned: bool,
    /// The DNS server's journal.
    pub dns: Vec<DnsLine>,
    /// What clients were told.
    pub acknowledged: Vec<Acknowledged>,
    /// How much later announced work falls due, in microseconds: the service's `dispatcher.visibility`.
    pub visibility: Micros,
}

/// A row of `events`.
#[derive(Debug, Clone, PartialEq)]
pub struct LogRow {
    /// Place in the log.
    pub position: i64,
    /// The stream.
    pub stream: String,
    /// Place in the stream.
    pub version: i64,
    /// The kind of event.
    pub kind: String,
    /// What it says.
    pub payload: Value,
    /// When it was written.
    pub recorded_at: Micros,
}

/// The derived tables.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Views {
    /// `ownerships`, by stream.
    pub ownerships: BTreeMap<String, OwnershipRow>,
    /// `claims`, by claim.
    pub claims: BTreeMap<String, ClaimRow>,
    /// `due_work`: stream, claim, kind, attempt.
    pub due: BTreeMap<(String, String, String, i64), DueRow>,
    /// `apps`, by stream, as text.
    pub apps: BTreeMap<String, String>,
    /// `checkpoints`, by name.
    pub checkpoints: BTreeMap<String, i64>,
}

/// A row of `ownerships`.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnershipRow {
    /// Events folded.
    pub version: i64,
    /// The state.
    pub body: Value,
}

/// A row of `claims`.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the columns of the table")]
pub struct ClaimRow {
    pub stream: String,
    pub version: i64,
    pub workspace: String,
    pub app: Option<String>,
    pub name: String,
    pub scope: String,
    pub status: String,
    pub initiated_at: Micros,
    pub open: bool,
    pub body: Value,
}

/// A row of `due_work`, beside its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueRow {
    /// When the work falls due.
    pub due_at: Micros,
    /// From when on it may be handed out (again).
    pub visible_at: Micros,
}

impl Views {
    /// What a rebuild has to give again: everything but what only says who was asked when.
    #[must_use]
    pub fn comparable(&self) -> Self {
        let mut same = self.clone();
        for row in same.due.values_mut() {
            row.visible_at = 0;
        }
        same.checkpoints.retain(|name, _| name == READ_MODELS);
        same
    }
}

/// The checkpoint of the read models.
pub const READ_MODELS: &str = "read-models";
/// The checkpoint of the relay.
pub const RELAY: &str = "relay";
