//! The port to the log of events.
use async_trait::async_trait;
use deed_claims::{EventError, StreamId};
use tokio::sync::watch;

use crate::{Append, AppendError, Appended, Position, RecordedEvent, Version};

/// The store did not answer, or answered with an error of its own; trying again may help.
#[derive(Debug, thiserror::Error)]
#[error("the store is unavailable: {what}")]
pub struct Unavailable {
    /// What was tried.
    pub what: &'static str,
    /// What the backend said.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl Unavailable {
    /// An unavailability with its cause.
    pub fn new(what: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { what, source: source.into() }
    }

    /// The event that stands in the way, when it is one that this version cannot read: a newer one can.
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

/// The log of events.
#[async_trait]
pub trait EventStore: Send + Sync {
    /// Writes durably before it answers.
    ///
    /// # Errors
    /// When a stream is not at its expected version, or the store does not answer.
    async fn append(&self, append: Append) -> Result<Appended, AppendError>;

    /// The events of a stream after a version, in order.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn read_stream(&self, stream: &StreamId, after: Version)
    -> Result<Vec<RecordedEvent>, Unavailable>;

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

    /// Changes whenever the log may have grown: a hint to read, never a promise; readers poll besides.
    fn head(&self) -> watch::Receiver<Position>;
}
