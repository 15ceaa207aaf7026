//! Writing to the log: all of an append or nothing, guarded by expected versions.
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deed_claims::{Event, StreamId};

use crate::{Metadata, Position, Receipt, Unavailable, Version};

/// Events for one stream.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamWrite {
    /// The stream.
    pub stream: StreamId,
    /// The version the decision was made at.
    pub expected: Version,
    /// At least one event.
    pub events: Vec<Event>,
}

/// What one decision writes: to one stream, or to several that have to agree, at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Append {
    /// Each stream at most once.
    pub writes: Vec<StreamWrite>,
    /// The answer to an idempotent request, made durable together with its effect.
    pub receipt: Option<Receipt>,
    /// What led to it.
    pub metadata: Metadata,
    /// When.
    pub at: DateTime<Utc>,
}

/// Where an append stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// Of the last event.
    pub position: Position,
    /// The new version of each stream, in the order of the writes.
    pub versions: Vec<Version>,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// A stream has moved on since it was read.
    #[error("stream {stream} is at version {actual}, not {expected}")]
    Conflict {
        /// The stream.
        stream: StreamId,
        /// The version the decision was made at.
        expected: Version,
        /// Where it is.
        actual: Version,
    },
    /// The store did not answer; whether it wrote is unknown.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// What a backend does for the gatherer: many appends in one transaction.
#[async_trait]
pub trait AppendBackend: Send + Sync + 'static {
    /// Writes every append that does not conflict, in order, durably, before it answers: one result for each.
    /// A later append of the batch sees the versions that earlier ones made.
    ///
    /// # Errors
    /// When the transaction as a whole failed; then none is known to be written.
    async fn append_batch(
        &self,
        batch: Vec<Append>,
    ) -> Result<Vec<Result<Appended, AppendError>>, Unavailable>;
}
