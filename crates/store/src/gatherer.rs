//! Gathering: what is handed in at the same time is carried out as one batch, and each gets its own answer.
use std::{
    error::Error,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Span;

use crate::{GroupCommitLimits, GroupCommitStats, Unavailable, spans};

/// What a backend does for the gatherer: many writes in one transaction, or many reads in one question.
#[async_trait]
pub trait BatchBackend: Send + Sync + 'static {
    /// One of them.
    type Op: Send + 'static;
    /// What its caller is told.
    type Answer: Send + 'static;

    /// Carries a batch out; one answer for each, in their order.
    ///
    /// # Errors
    /// When the store does not answer; then nothing, or everything, of the batch was done.
    async fn carry_out(&self, batch: Vec<Self::Op>) -> Result<Vec<Self::Answer>, Unavailable>;
}

/// How often tasks that are ready may run before a batch is closed that is smaller than the one before.
const RETURNS: usize = 3;

#[derive(Debug, Default)]
struct Counters {
    batches: AtomicU64,
    ops: AtomicU64,
    largest: AtomicU64,
}

struct Waiting<Op, Answer> {
    op: Op,
    answer: oneshot::Sender<Result<Answer, Unavailable>>,
    /// The caller's, to be told how many were gathered.
    span: Span,
}

/// Why nobody knows whether something was done.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the queue of {0}s stayed full")]
    Full(&'static str),
    #[error("the gatherer is closed")]
    Closed,
    #[error("no answer within the deadline")]
    Late,
    #[error("the batch did not end within the deadline")]
    Stuck,
    #[error("the backend panicked")]
    Panicked,
    #[error("the backend answered {answers} of {ops} {what}s")]
    Miscounted { answers: usize, ops: usize, what: &'static str },
}

/// The cause of a failed batch, told to everybody who had a part in it.
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

/// Gathers concurrent calls; one task carries them out, everybody else waits for their own answer.
///
/// What finds the gatherer idle is carried out at once, alone; after a batch, those who were in it are given the chance to
/// be in the next one together. Cheap to clone. The task ends with
/// [`close`](Self::close), or when the last clone is gone.
pub struct Gatherer<Op, Answer> {
    what: &'static str,
    queue: mpsc::Sender<Waiting<Op, Answer>>,
    deadline: Duration,
    counters: Arc<Counters>,
    closing: CancellationToken,
    task: TaskTracker,
}

impl<Op, Answer> Clone for Gatherer<Op, Answer> {
    fn clone(&self) -> Self {
        Self {
            what: self.what,
            queue: self.queue.clone(),
            deadline: self.deadline,
            counters: self.counters.clone(),
            closing: self.closing.clone(),
            task: self.task.clone(),
        }
    }
}

impl<Op, Answer> fmt::Debug for Gatherer<Op, Answer> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gatherer")
            .field("what", &self.what)
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

impl<Op: Send + 'static, Answer: Send + 'static> Gatherer<Op, Answer> {
    /// Starts the gatherer before a backend; `what` names one call in errors. Needs a Tokio runtime.
    pub fn start(
        what: &'static str,
        backend: Arc<dyn BatchBackend<Op = Op, Answer = Answer>>,
        limits: GroupCommitLimits,
    ) -> Self {
        let (queue, waiting) = mpsc::channel(limits.queue.max(1));
        let (counters, closing) = (Arc::new(Counters::default()), CancellationToken::new());
        let task = TaskTracker::new();
        let gathering = Gathering { what, backend, limits, counters: Arc::clone(&counters) };
        task.spawn(gathering.run(waiting, closing.clone()));
        task.close();
        Self { what, queue, deadline: limits.deadline, counters, closing, task }
    }

    /// Has something done and waits for its own answer.
    ///
    /// # Errors
    /// When the batch failed, the queue stayed full, or there was no answer within the deadline.
    pub async fn submit(&self, op: Op) -> Result<Answer, Unavailable> {
        let until = Instant::now() + self.deadline;
        let room = tokio::select! {
            // A gatherer that is closing takes no more, though it has room.
            biased;
            () = self.closing.cancelled() => return Err(self.failed(Failure::Closed)),
            room = timeout_at(until, self.queue.reserve()) => room,
        };
        let (answer, answered) = oneshot::channel();
        match room {
            Ok(Ok(room)) => room.send(Waiting { op, answer, span: Span::current() }),
            Ok(Err(_)) => return Err(self.failed(Failure::Closed)),
            Err(_) => return Err(self.failed(Failure::Full(self.what))),
        }
        match timeout_at(until, answered).await {
            Ok(Ok(answer)) => answer,
            // Only a gatherer that was torn down leaves a call without an answer.
            Ok(Err(_)) => Err(self.failed(Failure::Closed)),
            Err(_) => Err(self.failed(Failure::Late)),
        }
    }

    fn failed(&self, failure: Failure) -> Unavailable {
        Unavailable::new(self.what, failure)
    }

    /// What has been done so far.
    pub fn stats(&self) -> GroupCommitStats {
        let waiting = self.queue.max_capacity() - self.queue.capacity();
        GroupCommitStats {
            batches: self.counters.batches.load(Ordering::Relaxed),
            appends: self.counters.ops.load(Ordering::Relaxed),
            largest: self.counters.largest.load(Ordering::Relaxed),
            waiting: u64::try_from(waiting).unwrap_or(u64::MAX),
        }
    }

    /// Takes no more, carries out what waits, and returns when that is answered, or after the deadline.
    pub async fn close(&self) {
        self.closing.cancel();
        if timeout(self.deadline, self.task.wait()).await.is_err() {
            let (what, deadline) = (self.what, self.deadline);
            tracing::error!(what, ?deadline, "calls were still under way when their deadline passed");
        }
    }
}

struct Gathering<Op, Answer> {
    what: &'static str,
    backend: Arc<dyn BatchBackend<Op = Op, Answer = Answer>>,
    limits: GroupCommitLimits,
    counters: Arc<Counters>,
}

impl<Op: Send + 'static, Answer: Send + 'static> Gathering<Op, Answer> {
    async fn run(self, mut queue: mpsc::Receiver<Waiting<Op, Answer>>, closing: CancellationToken) {
        let limit = self.limits.batch.max(1);
        let mut gathered = Vec::with_capacity(limit);
        let mut last = 0;
        loop {
            tokio::select! {
                biased;
                () = closing.cancelled(), if !queue.is_closed() => queue.close(),
                // Waits for the first, and takes what is waiting behind it.
                taken = queue.recv_many(&mut gathered, limit) => {
                    if taken == 0 {
                        return;
                    }
                    // Those who were just answered are on their way back with their next call: a batch for the first of
                    // them alone would have all the others wait for it.
                    for _ in 0..RETURNS {
                        if gathered.len() >= last.min(limit) {
                            break;
                        }
                        tokio::task::yield_now().await;
                        while gathered.len() < limit && let Ok(next) = queue.try_recv() {
                            gathered.push(next);
                        }
                    }
                    last = gathered.len();
                    // Whoever does not wait any more was told that it is unknown; better then not to do it.
                    gathered.retain(|waiting| !waiting.answer.is_closed());
                    if !gathered.is_empty() {
                        self.serve(gathered.drain(..)).await;
                    }
                }
            }
        }
    }

    async fn serve(&self, gathered: impl Iterator<Item = Waiting<Op, Answer>>) {
        let gathered: Vec<_> = gathered.collect();
        let calls = gathered.len();
        let (batch, callers): (Vec<_>, Vec<_>) = gathered
            .into_iter()
            .map(|waiting| {
                spans::gathered(&waiting.span, calls);
                (waiting.op, waiting.answer)
            })
            .unzip();
        self.count(batch.len());
        match self.carry_out(batch).await {
            Ok(answers) => {
                for (caller, answer) in callers.into_iter().zip(answers) {
                    // A caller may have gone away meanwhile; what it wrote stands.
                    let _ = caller.send(Ok(answer));
                }
            }
            Err(error) => {
                let (what, cause) = (error.what, Cause(error.source.into()));
                tracing::warn!(what, %cause, calls = callers.len(), "a batch failed");
                for caller in callers {
                    let _ = caller.send(Err(Unavailable::new(what, cause.clone())));
                }
            }
        }
    }

    /// In a task of its own, so that a panic or a hang of the backend ends the batch and not the gatherer.
    async fn carry_out(&self, batch: Vec<Op>) -> Result<Vec<Answer>, Unavailable> {
        let ops = batch.len();
        let backend = Arc::clone(&self.backend);
        let mut running = tokio::spawn(async move { backend.carry_out(batch).await });
        let failure = match timeout(self.limits.deadline, &mut running).await {
            Ok(Ok(Ok(answers))) if answers.len() == ops => return Ok(answers),
            Ok(Ok(Ok(answers))) => Failure::Miscounted { answers: answers.len(), ops, what: self.what },
            Ok(Ok(Err(unavailable))) => return Err(unavailable),
            Ok(Err(_)) => Failure::Panicked,
            Err(_) => {
                running.abort();
                Failure::Stuck
            }
        };
        Err(Unavailable::new(self.what, failure))
    }

    fn count(&self, ops: usize) {
        let ops = u64::try_from(ops).unwrap_or(u64::MAX);
        self.counters.batches.fetch_add(1, Ordering::Relaxed);
        self.counters.ops.fetch_add(ops, Ordering::Relaxed);
        self.counters.largest.fetch_max(ops, Ordering::Relaxed);
    }
}
