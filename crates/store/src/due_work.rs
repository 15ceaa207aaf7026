//! The port to due work: what has to be done for a claim, and when; handed out with a visibility time-out.
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deed_claims::{ClaimId, DueKind, StreamId};

use crate::Unavailable;

/// Work that fell due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueItem {
    /// The claim's stream.
    pub stream: StreamId,
    /// The claim.
    pub claim_id: ClaimId,
    /// The kind of work.
    pub kind: DueKind,
    /// For checks the attempt, otherwise 0.
    pub attempt: u32,
    /// When it fell due.
    pub due_at: DateTime<Utc>,
}

/// The backlog of the dispatcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overdue {
    /// All rows.
    pub waiting: u64,
    /// Rows that are due and visible.
    pub overdue: u64,
    /// When the oldest of them fell due.
    pub oldest: Option<DateTime<Utc>>,
}

/// Due work. The projection inserts and deletes rows; handing out only hides them for a while.
#[async_trait]
pub trait DueWork: Send + Sync {
    /// Hands out at most `limit` rows that are due and visible, oldest first, and hides them until `visible_again`.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn claim_due(
        &self,
        now: DateTime<Utc>,
        limit: usize,
        visible_again: DateTime<Utc>,
    ) -> Result<Vec<DueItem>, Unavailable>;

    /// Makes rows visible again at once that were handed out but could not be published.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn give_back(&self, items: &[DueItem]) -> Result<(), Unavailable>;

    /// When the next hidden or future row becomes due and visible; none when there is no row.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn next_due_at(&self) -> Result<Option<DateTime<Utc>>, Unavailable>;

    /// The backlog at a time.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn overdue(&self, now: DateTime<Utc>) -> Result<Overdue, Unavailable>;
}
