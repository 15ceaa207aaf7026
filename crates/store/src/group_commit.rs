//! Group commit: appends that come at the same time are written as one transaction.
use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{Append, AppendBackend, AppendError, Appended, BatchBackend, Gatherer, Unavailable};

type Answer = Result<Appended, AppendError>;

/// Bounds of a gatherer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupCommitLimits {
    /// Appends that may wait.
    pub queue: usize,
    /// Appends in one transaction.
    pub batch: usize,
    /// How long an append may take, waiting included, and how long one transaction may take.
    pub deadline: Duration,
}

impl Default for GroupCommitLimits {
    fn default() -> Self {
        Self { queue: 4_096, batch: 256, deadline: Duration::from_secs(10) }
    }
}

/// What a gatherer has done so far; whatever else it writes counts as appends do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GroupCommitStats {
    /// Transactions, failed ones included.
    pub batches: u64,
    /// Appends in them.
    pub appends: u64,
    /// Appends in the largest.
    pub largest: u64,
    /// Appends that wait now.
    pub waiting: u64,
}

/// Gathers concurrent appends; one task writes, everybody else waits for their own answer.
///
/// An append that finds the gatherer idle is written at once, alone. Cheap to clone. The task ends with
/// [`close`](Self::close), or when the last clone is gone. A backend that writes more than appends together has a
/// [`Gatherer`] of its own.
#[derive(Debug, Clone)]
pub struct GroupCommit(Gatherer<Append, Answer>);

struct Appends(Arc<dyn AppendBackend>);

#[async_trait]
impl BatchBackend for Appends {
    type Op = Append;
    type Answer = Answer;

    async fn carry_out(&self, batch: Vec<Append>) -> Result<Vec<Answer>, Unavailable> {
        self.0.append_batch(batch).await
    }
}

impl GroupCommit {
    /// Starts the gatherer before a backend. Needs a Tokio runtime.
    pub fn start(backend: Arc<dyn AppendBackend>, limits: GroupCommitLimits) -> Self {
        Self(Gatherer::start("append", Arc::new(Appends(backend)), limits))
    }

    /// Has an append written and waits for its own answer.
    ///
    /// # Errors
    /// When a stream is not at its expected version; when the transaction failed, the queue stayed full, or there was
    /// no answer within the deadline.
    pub async fn append(&self, append: Append) -> Answer {
        self.0.submit(append).await?
    }

    /// What has been done so far.
    pub fn stats(&self) -> GroupCommitStats {
        self.0.stats()
    }

    /// Takes no more appends, writes those that wait, and returns when they are answered, or after the deadline.
    pub async fn close(&self) {
        self.0.close().await;
    }
}
