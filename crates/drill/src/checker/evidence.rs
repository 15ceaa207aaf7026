//! The input of the checker.
use std::collections::BTreeMap;

use serde_json::Value;

use super::broker::{PublishedEvent, QueueDepth};
use crate::acknowledged::Acknowledged;
use crate::dns::DnsLine;

/// Microseconds since 1970.
pub type Micros = i64;

/// The complete input.
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
    pub queues: Option<Vec<QueueDepth>>,
    /// The published events; none when they were not captured.
    pub published: Option<Vec<PublishedEvent>>,
    /// Events up to this position were published before the capture.
    pub heard_after: i64,
    /// Messages may lack fields, because an older relay published them.
    pub thinned: bool,
    /// The DNS server's journal.
    pub dns: Vec<DnsLine>,
    /// The acknowledged requests.
    pub acknowledged: Vec<Acknowledged>,
    /// The visibility time-out in microseconds (`dispatcher.visibility`), by which announced work falls due
    /// later.
    pub visibility: Micros,
}

/// A row of `events`.
#[derive(Debug, Clone, PartialEq)]
pub struct LogRow {
    /// The position.
    pub position: i64,
    /// The stream.
    pub stream: String,
    /// The version.
    pub version: i64,
    /// The kind of event.
    pub kind: String,
    /// The payload.
    pub payload: Value,
    /// When it was written.
    pub recorded_at: Micros,
}

/// The read models.
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
    /// From when on it may be published (again).
    pub visible_at: Micros,
}

impl Views {
    /// The part that a rebuild has to reproduce: without visibility times and other checkpoints.
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
