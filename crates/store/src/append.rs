//! Appends: what one decision writes to the log, all or nothing, guarded by expected versions.
use chrono::{DateTime, Utc};
use deed_claims::{Event, StreamId};

use crate::{Metadata, Position, Receipt, Unavailable, Version};

/// Events for one stream.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamWrite {
    /// The stream.
    pub stream: StreamId,
    /// The version at which the decision was made.
    pub expected: Version,
    /// At least one event.
    pub events: Vec<Event>,
}

/// What one decision writes: to one stream, or atomically to several.
#[derive(Debug, Clone, PartialEq)]
pub struct Append {
    /// Each stream at most once.
    pub writes: Vec<StreamWrite>,
    /// The response to an idempotent request, written in the same transaction as its effect.
    pub receipt: Option<Receipt>,
    /// What caused the append.
    pub metadata: Metadata,
    /// The time of the decision.
    pub at: DateTime<Utc>,
}

/// Where an append was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The position of the last event.
    pub position: Position,
    /// The new version of each stream, in the order of the writes.
    pub versions: Vec<Version>,
}

/// Why an append failed.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// A stream has moved on since it was read; nothing was written.
    #[error("stream {stream} is at version {actual}, not {expected}")]
    Conflict {
        /// The stream.
        stream: StreamId,
        /// The version at which the decision was made.
        expected: Version,
        /// The current version of the stream.
        actual: Version,
    },
    /// The store did not answer; whether it wrote is unknown.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}
