//! Group commit: appends that come at the same time are written as one transaction.
use std::{
    error::Error,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{Append, AppendBackend, AppendError, Appended, Unavailable};

/// What was being done when an append failed.
const WHAT: &str = "append";

type Answer = Result<Appended, AppendError>;

/// Bounds of the gatherer.
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

/// What the gatherer has done so far.
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

#[derive(Debug, Default)]
struct Counters {
    batches: AtomicU64,
    appends: AtomicU64,
    largest: AtomicU64,
}

struct Waiting {
    append: Append,
    answer: oneshot::Sender<Answer>,
}

/// Why nobody knows whether an append was written.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the queue of appends stayed full")]
    Full,
    #[error("the gatherer is closed")]
    Closed,
    #[error("no answer within the deadline")]
    Late,
    #[error("the transaction did not end within the deadline")]
    Stuck,
    #[error("the backend panicked")]
    Panicked,
    #[error("the backend answered {answers} of {appends} appends")]
    Miscounted { answers: usize, appends: usize },
}

impl From<Failure> for AppendError {
    fn from(failure: Failure) -> Self {
        Self::Unavailable(Unavailable::new(WHAT, failure))
    }
}

/// The cause of a failed transaction, told to each of its appends.
#[derive(Debug, Clone)]
struct Cause(Arc<dyn Error + Send + Sync>);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// Gathers concurrent appends; one task writes, everybody else waits for their own answer.
///
/// An append that finds the gatherer idle is written at once, alone. Cheap to clone. The task ends with
/// [`close`](Self::close), or when the last clone is gone.
#[derive(Debug, Clone)]
pub struct GroupCommit {
    queue: mpsc::Sender<Waiting>,
    deadline: Duration,
    counters: Arc<Counters>,
    closing: CancellationToken,
    gatherer: TaskTracker,
}

impl GroupCommit {
    /// Starts the gatherer before a backend. Needs a Tokio runtime.
    pub fn start(backend: Arc<dyn AppendBackend>, limits: GroupCommitLimits) -> Self {
        let (queue, waiting) = mpsc::channel(limits.queue.max(1));
        let (counters, closing) = (Arc::new(Counters::default()), CancellationToken::new());
        let gatherer = TaskTracker::new();
        let gather = Gatherer { backend, limits, counters: Arc::clone(&counters) };
        gatherer.spawn(gather.run(waiting, closing.clone()));
        gatherer.close();
        Self { queue, deadline: limits.deadline, counters, closing, gatherer }
    }

    /// Has an append written and waits for its own answer.
    ///
    /// # Errors
    /// When a stream is not at its expected version; when the transaction failed, the queue stayed full, or there was
    /// no answer within the deadline.
    pub async fn append(&self, append: Append) -> Answer {
        let until = Instant::now() + self.deadline;
        let room = tokio::select! {
            // A gatherer that is closing takes no more, though it has room.
            biased;
            () = self.closing.cancelled() => return Err(Failure::Closed.into()),
            room = timeout_at(until, self.queue.reserve()) => room,
        };
        let (answer, answered) = oneshot::channel();
        match room {
            Ok(Ok(room)) => room.send(Waiting { append, answer }),
            Ok(Err(_)) => return Err(Failure::Closed.into()),
            Err(_) => return Err(Failure::Full.into()),
        }
        match timeout_at(until, answered).await {
            Ok(Ok(answer)) => answer,
            // Only a gatherer that was torn down leaves an append without an answer.
            Ok(Err(_)) => Err(Failure::Closed.into()),
            Err(_) => Err(Failure::Late.into()),
        }
    }

    /// What has been done so far.
    pub fn stats(&self) -> GroupCommitStats {
        let waiting = self.queue.max_capacity() - self.queue.capacity();
        GroupCommitStats {
            batches: self.counters.batches.load(Ordering::Relaxed),
            appends: self.counters.appends.load(Ordering::Relaxed),
            largest: self.counters.largest.load(Ordering::Relaxed),
            waiting: u64::try_from(waiting).unwrap_or(u64::MAX),
        }
    }

    /// Takes no more appends, writes those that wait, and returns when they are answered, or after the deadline.
    pub async fn close(&self) {
        self.closing.cancel();
        if timeout(self.deadline, self.gatherer.wait()).await.is_err() {
            tracing::error!(deadline = ?self.deadline, "appends were still being written when their deadline passed");
        }
    }
}

struct Gatherer {
    backend: Arc<dyn AppendBackend>,
    limits: GroupCommitLimits,
    counters: Arc<Counters>,
}

impl Gatherer {
    async fn run(self, mut queue: mpsc::Receiver<Waiting>, closing: CancellationToken) {
        let limit = self.limits.batch.max(1);
        let mut gathered = Vec::with_capacity(limit);
        loop {
            tokio::select! {
                biased;
                () = closing.cancelled(), if !queue.is_closed() => queue.close(),
                // Waits for the first, and takes what is waiting behind it.
                taken = queue.recv_many(&mut gathered, limit) => {
                    if taken == 0 {
                        return;
                    }
                    // Whoever does not wait any more was told that it is unknown; better then not to write.
                    gathered.retain(|waiting| !waiting.answer.is_closed());
                    if !gathered.is_empty() {
                        self.commit(gathered.drain(..)).await;
                    }
                }
            }
        }
    }

    async fn commit(&self, gathered: impl Iterator<Item = Waiting>) {
        let (batch, callers): (Vec<_>, Vec<_>) =
            gathered.map(|waiting| (waiting.append, waiting.answer)).unzip();
        self.count(batch.len());
        match self.write(batch).await {
            Ok(answers) => {
                for (caller, answer) in callers.into_iter().zip(answers) {
                    // A caller may have gone away meanwhile; its append stands.
                    let _ = caller.send(answer);
                }
            }
            Err(error) => {
                let (what, cause) = (error.what, Cause(error.source.into()));
                tracing::warn!(what, %cause, appends = callers.len(), "a batch of appends failed");
                for caller in callers {
                    let _ = caller.send(Err(Unavailable::new(what, cause.clone()).into()));
                }
            }
        }
    }

    /// In a task of its own, so that a panic or a hang of the backend ends the batch and not the gatherer.
    async fn write(&self, batch: Vec<Append>) -> Result<Vec<Answer>, Unavailable> {
        let appends = batch.len();
        let backend = Arc::clone(&self.backend);
        let mut writing = tokio::spawn(async move { backend.append_batch(batch).await });
        let failure = match timeout(self.limits.deadline, &mut writing).await {
            Ok(Ok(Ok(answers))) if answers.len() == appends => return Ok(answers),
            Ok(Ok(Ok(answers))) => Failure::Miscounted { answers: answers.len(), appends },
            Ok(Ok(Err(unavailable))) => return Err(unavailable),
            Ok(Err(_)) => Failure::Panicked,
            Err(_) => {
                writing.abort();
                Failure::Stuck
            }
        };
        Err(Unavailable::new(WHAT, failure))
    }

    fn count(&self, appends: usize) {
        let appends = u64::try_from(appends).unwrap_or(u64::MAX);
        self.counters.batches.fetch_add(1, Ordering::Relaxed);
        self.counters.appends.fetch_add(appends, Ordering::Relaxed);
        self.counters.largest.fetch_max(appends, Ordering::Relaxed);
    }
}
