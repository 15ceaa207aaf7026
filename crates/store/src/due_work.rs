//! The port to due work: what has to be done for a claim at a time, handed out with a visibility deadline.
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deed_claims::{ClaimId, DueKind, StreamId};

use crate::Unavailable;

/// A piece of work that fell due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueItem {
    /// The claim's stream.
    pub stream: StreamId,
    /// The claim.
    pub claim_id: ClaimId,
    /// What.
    pub kind: DueKind,
    /// For checks the attempt, otherwise 0.
    pub attempt: u32,
    /// When it fell due.
    pub due_at: DateTime<Utc>,
}

/// How far dispatch is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overdue {
    /// Rows in all.
    pub waiting: u64,
    /// Rows due and not handed out.
    pub overdue: u64,
    /// Since when the oldest of them is due.
    pub oldest: Option<DateTime<Utc>>,
}

/// Due work. Rows come and go with the projection; handing out only hides them for a while.
#[async_trait]
pub trait DueWork: Send + Sync {
    /// At most `limit` rows that are due and visible, the oldest first, hidden from others until `visible_again`.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn claim_due(
        &self,
        now: DateTime<Utc>,
        limit: usize,
        visible_again: DateTime<Utc>,
    ) -> Result<Vec<DueItem>, Unavailable>;

    /// Makes rows visible again at once: they were handed out but could not be passed on.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn give_back(&self, items: &[DueItem]) -> Result<(), Unavailable>;

    /// When the next hidden or future row becomes due and visible; none when there is none.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn next_due_at(&self) -> Result<Option<DateTime<Utc>>, Unavailable>;

    /// How far dispatch is behind.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn overdue(&self, now: DateTime<Utc>) -> Result<Overdue, Unavailable>;
}
