//! One round of an outbox of due rows: claims rows, publishes them, and gives back those that were not delivered.
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deed_claims::Clock;
use deed_store::Unavailable;

use crate::{Outbox, OutboxError, RowMessages};

/// Where rows that fall due come from.
#[async_trait]
pub trait DueSource: RowMessages {
    /// Claims the rows to publish now, or says why there are none.
    ///
    /// # Errors
    /// When the store or the bus does not answer.
    async fn take(&self, now: DateTime<Utc>) -> Result<Taken<Self::Row>, OutboxError>;

    /// Makes rows due again that were not delivered.
    ///
    /// # Errors
    /// When the store does not answer; the rows fall due again by themselves.
    async fn give_back(&self, rows: Vec<Self::Row>) -> Result<(), Unavailable>;

    /// Counts a row whose message was delivered.
    fn record_delivered(&self, row: &Self::Row, at: DateTime<Utc>);
}

/// What a source gives for one round.
#[derive(Debug)]
pub enum Taken<R> {
    /// The rows to publish.
    Rows {
        /// The rows.
        rows: Vec<R>,
        /// Whether more rows may be due: the rows are as many as one round may publish.
        is_full: bool,
    },
    /// Nothing to publish now, and why.
    Nothing(RoundOutcome),
}

/// How a round ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoundOutcome {
    /// No row is due; when the next row falls due, if there is one.
    Idle(Option<DateTime<Utc>>),
    /// Every row that was due is published.
    Done,
    /// The limit of one round is published, and more rows may be due.
    More,
    /// The rate limit is used up; how long until the next message is allowed.
    RateLimited(std::time::Duration),
    /// The queue has as many messages as may wait in it.
    QueueFull,
    /// The bus refused this number of rows, which were given back.
    Refused(usize),
}

/// Claims, publishes and settles the rows of one round.
///
/// # Errors
/// When the round failed. Its rows are due again: at once, or when the claim on them ends.
pub async fn run_round<S: DueSource>(
    outbox: &Outbox<S>,
    clock: &dyn Clock,
) -> Result<RoundOutcome, OutboxError> {
    let source = &outbox.messages;
    let (rows, is_full) = match source.take(clock.now()).await? {
        Taken::Rows { rows, is_full } => (rows, is_full),
        Taken::Nothing(outcome) => return Ok(outcome),
    };
    if rows.is_empty() {
        return Ok(RoundOutcome::Idle(None));
    }
    let results = match outbox.publish(&rows).await {
        Ok(results) => results,
        Err(error @ OutboxError::Bus(_)) => {
            source.give_back(rows).await?;
            return Err(error);
        }
        // A row that makes no message stays claimed: given back, it would fail the next round at once.
        Err(error) => return Err(error),
    };
    let now = clock.now();
    let mut refused = vec![];
    for (row, result) in rows.into_iter().zip(results) {
        match result {
            Ok(()) => source.record_delivered(&row, now),
            Err(_) => refused.push(row),
        }
    }
    match refused.len() {
        0 if is_full => Ok(RoundOutcome::More),
        0 => Ok(RoundOutcome::Done),
        count => {
            source.give_back(refused).await?;
            Ok(RoundOutcome::Refused(count))
        }
    }
}
