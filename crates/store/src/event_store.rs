//! The port to the log of events.
use async_trait::async_trait;
use deed_claims::{ClaimId, EventError, StreamId};
use tokio::sync::watch;

use crate::{Append, AppendError, Appended, ClaimHistory, Position, RecordedEvent, Snapshot, Version};

/// The store did not answer, or failed; a retry may help.
#[derive(Debug, thiserror::Error)]
#[error("the store is unavailable: {operation}")]
pub struct Unavailable {
    /// The operation that failed.
    pub operation: &'static str,
    /// The backend's error.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl Unavailable {
    /// An error of an operation, with its cause.
    pub fn new(operation: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { operation, source: source.into() }
    }

    /// The cause, when it is an event that this version cannot read; a newer version can.
    pub fn unreadable_event(&self) -> Option<&EventError> {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&*self.source);
        while let Some(error) = cause {
            if let Some(unreadable) = error.downcast_ref() {
                return Some(unreadable);
            }
            cause = error.source();
        }
        None
    }
}

/// A read of a stream after a version, of so many events at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRead {
    /// The stream.
    pub stream: StreamId,
    /// The version before the first event.
    pub after: Version,
    /// The most events.
    pub limit: usize,
}

impl StreamRead {
    /// The last version that is read: versions have no gaps.
    pub fn last(&self) -> Version {
        Version(self.after.0.saturating_add(u64::try_from(self.limit).unwrap_or(u64::MAX)))
    }
}

/// The log of events. What has a default reads whole streams: enough for stores that never hold a long one.
#[async_trait]
pub trait EventStore: Send + Sync {
    /// Appends events; durable when it returns.
    ///
    /// # Errors
    /// When a stream is not at its expected version, or the store does not answer.
    async fn append(&self, append: Append) -> Result<Appended, AppendError>;

    /// At most `limit` events of a stream after a version, in order.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn read_stream(
        &self,
        stream: &StreamId,
        after: Version,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, Unavailable>;

    /// The state of a stream that the read models keep; none where they have none, or one that this version cannot
    /// go on from.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn snapshot(&self, stream: &StreamId) -> Result<Option<Snapshot>, Unavailable> {
        let _ = stream;
        Ok(None)
    }

    /// At most `limit` events of the history of a claim after its first `after` ones, in order.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn read_claim(
        &self,
        stream: &StreamId,
        claim_id: ClaimId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, Unavailable> {
        let events = self.read_stream(stream, Version(0), usize::MAX).await?;
        let history = ClaimHistory::of(claim_id).filter(&events);
        let after = usize::try_from(after).unwrap_or(usize::MAX);
        Ok(history.skip(after).take(limit).cloned().collect())
    }

    /// The position of the newest event of the history of a claim.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn claim_position(
        &self,
        stream: &StreamId,
        claim_id: ClaimId,
    ) -> Result<Option<Position>, Unavailable> {
        let history = self.read_claim(stream, claim_id, 0, usize::MAX).await?;
        Ok(history.last().map(|recorded| recorded.position))
    }

    /// At most `limit` events of the log after a position, in order and without a gap.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn read_log(&self, after: Position, limit: usize) -> Result<Vec<RecordedEvent>, Unavailable>;

    /// The last position of the log.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn last_position(&self) -> Result<Position, Unavailable>;

    /// Changes when the log may have grown. It is a hint and not a guarantee, so readers poll as well.
    fn head(&self) -> watch::Receiver<Position>;
}
