//! Batching (group commit): operations that are submitted at the same time run as one batch, each with its own reply.
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

use crate::{Unavailable, spans};

/// How often the worker yields to tasks that are ready before it closes a batch that is smaller than the previous one.
const YIELDS: usize = 3;

/// What a backend does for the batcher: many writes in one transaction, or many reads in one query.
#[async_trait]
pub trait BatchBackend: Send + Sync + 'static {
    /// One operation.
    type Op: Send + 'static;
    /// Its reply.
    type OpResult: Send + 'static;

    /// Executes a batch; returns one reply for each operation, in their order.
    ///
    /// # Errors
    /// When the store does not answer; then either nothing or everything of the batch was done.
    async fn execute_batch(&self, batch: Vec<Self::Op>) -> Result<Vec<Self::OpResult>, Unavailable>;
}

/// Bounds of a batcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Operations that may be queued.
    pub queue: usize,
    /// Operations in one batch.
    pub batch: usize,
    /// How long an operation may take, time in the queue included, and how long one batch may take.
    pub deadline: Duration,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self { queue: 4_096, batch: 256, deadline: Duration::from_secs(10) }
    }
}

/// What a batcher has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BatchStats {
    /// Batches, failed ones included.
    pub batches: u64,
    /// Operations in them.
    pub ops: u64,
    /// Operations in the largest batch.
    pub largest: u64,
    /// Operations that are queued now.
    pub queued: u64,
}

#[derive(Debug, Default)]
struct Counters {
    batches: AtomicU64,
    ops: AtomicU64,
    largest: AtomicU64,
}

/// A submitted operation in the queue.
struct QueuedOp<Op, Reply> {
    op: Op,
    reply: oneshot::Sender<Result<Reply, Unavailable>>,
    /// The caller's span; the size of the batch is recorded in it.
    span: Span,
}

/// Why it is unknown whether an operation was done.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the queue of {0}s stayed full")]
    QueueFull(&'static str),
    #[error("the batcher is closed")]
    Closed,
    #[error("no answer within the deadline")]
    CallDeadline,
    #[error("the batch did not end within the deadline")]
    BatchDeadline,
    #[error("the backend panicked")]
    Panicked,
    #[error("the backend answered {replies} of {ops} {operation}s")]
    ReplyCount { replies: usize, ops: usize, operation: &'static str },
}

/// The cause of a failed batch, shared by the errors of all its callers.
#[derive(Debug, Clone)]
struct SharedCause(Arc<dyn Error + Send + Sync>);

impl fmt::Display for SharedCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for SharedCause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// Batches concurrent calls: one task executes the batches, and each caller waits for its own reply.
///
/// An operation that finds the batcher idle is executed at once, alone. After a batch, its callers get the chance to be
/// together in the next one. Cheap to clone. The task ends with [`close`](Self::close), or when the last clone is
/// dropped.
pub struct Batcher<Op, Reply> {
    operation: &'static str,
    queue: mpsc::Sender<QueuedOp<Op, Reply>>,
    deadline: Duration,
    counters: Arc<Counters>,
    closing: CancellationToken,
    task: TaskTracker,
}

impl<Op, Reply> Clone for Batcher<Op, Reply> {
    fn clone(&self) -> Self {
        Self {
            operation: self.operation,
            queue: self.queue.clone(),
            deadline: self.deadline,
            counters: self.counters.clone(),
            closing: self.closing.clone(),
            task: self.task.clone(),
        }
    }
}

impl<Op, Reply> fmt::Debug for Batcher<Op, Reply> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batcher")
            .field("operation", &self.operation)
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

impl<Op: Send + 'static, Reply: Send + 'static> Batcher<Op, Reply> {
    /// Starts a batcher in front of a backend; `operation` names one call in errors. Needs a Tokio runtime.
    pub fn start(
        operation: &'static str,
        backend: Arc<dyn BatchBackend<Op = Op, OpResult = Reply>>,
        limits: BatchLimits,
    ) -> Self {
        let (queue, receiver) = mpsc::channel(limits.queue.max(1));
        let (counters, closing) = (Arc::new(Counters::default()), CancellationToken::new());
        let task = TaskTracker::new();
        let worker = BatchWorker { operation, backend, limits, counters: Arc::clone(&counters) };
        task.spawn(worker.run(receiver, closing.clone()));
        task.close();
        Self { operation, queue, deadline: limits.deadline, counters, closing, task }
    }

    /// Submits an operation and waits for its reply.
    ///
    /// # Errors
    /// When the batch failed, the queue stayed full, or there was no reply within the deadline.
    pub async fn submit(&self, op: Op) -> Result<Reply, Unavailable> {
        let deadline = Instant::now() + self.deadline;
        let slot = tokio::select! {
            // A batcher that is closing accepts nothing more, even if its queue has room.
            biased;
            () = self.closing.cancelled() => return Err(self.failed(Failure::Closed)),
            slot = timeout_at(deadline, self.queue.reserve()) => slot,
        };
        let (sender, receiver) = oneshot::channel();
        match slot {
            Ok(Ok(slot)) => slot.send(QueuedOp { op, reply: sender, span: Span::current() }),
            Ok(Err(_)) => return Err(self.failed(Failure::Closed)),
            Err(_) => return Err(self.failed(Failure::QueueFull(self.operation))),
        }
        match timeout_at(deadline, receiver).await {
            Ok(Ok(reply)) => reply,
            // The worker replies to every operation unless its runtime was shut down.
            Ok(Err(_)) => Err(self.failed(Failure::Closed)),
            Err(_) => Err(self.failed(Failure::CallDeadline)),
        }
    }

    fn failed(&self, failure: Failure) -> Unavailable {
        Unavailable::new(self.operation, failure)
    }

    /// What has been done so far.
    pub fn stats(&self) -> BatchStats {
        let queued = self.queue.max_capacity() - self.queue.capacity();
        BatchStats {
            batches: self.counters.batches.load(Ordering::Relaxed),
            ops: self.counters.ops.load(Ordering::Relaxed),
            largest: self.counters.largest.load(Ordering::Relaxed),
            queued: u64::try_from(queued).unwrap_or(u64::MAX),
        }
    }

    /// Accepts nothing more, executes what is queued, and returns when that is answered, or after the deadline.
    pub async fn close(&self) {
        self.closing.cancel();
        if timeout(self.deadline, self.task.wait()).await.is_err() {
            let deadline = self.deadline;
            tracing::error!(
                what = self.operation,
                ?deadline,
                "calls were still under way when their deadline passed"
            );
        }
    }
}

/// The task behind a batcher.
struct BatchWorker<Op, Reply> {
    operation: &'static str,
    backend: Arc<dyn BatchBackend<Op = Op, OpResult = Reply>>,
    limits: BatchLimits,
    counters: Arc<Counters>,
}

impl<Op: Send + 'static, Reply: Send + 'static> BatchWorker<Op, Reply> {
    async fn run(self, mut queue: mpsc::Receiver<QueuedOp<Op, Reply>>, closing: CancellationToken) {
        let limit = self.limits.batch.max(1);
        let mut batch = Vec::with_capacity(limit);
        let mut previous = 0;
        while receive(&mut queue, &closing, &mut batch, limit).await {
            fill(&mut queue, &mut batch, previous, limit).await;
            previous = batch.len();
            // A caller that gave up was told that the result is unknown; it is safer not to do the operation.
            batch.retain(|queued| !queued.reply.is_closed());
            if !batch.is_empty() {
                self.execute(batch.drain(..)).await;
            }
        }
    }

    async fn execute(&self, batch: impl Iterator<Item = QueuedOp<Op, Reply>>) {
        let batch: Vec<_> = batch.collect();
        let size = batch.len();
        let (ops, callers): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|queued| {
                spans::record_batch_size(&queued.span, size);
                (queued.op, queued.reply)
            })
            .unzip();
        self.count(size);
        match self.execute_supervised(ops).await {
            Ok(replies) => {
                for (caller, reply) in callers.into_iter().zip(replies) {
                    // A caller may have given up meanwhile; its write stands.
                    let _ = caller.send(Ok(reply));
                }
            }
            Err(error) => {
                let (operation, cause) = (error.operation, SharedCause(error.source.into()));
                tracing::warn!(what = operation, %cause, calls = callers.len(), "a batch failed");
                for caller in callers {
                    let _ = caller.send(Err(Unavailable::new(operation, cause.clone())));
                }
            }
        }
    }

    /// Runs in a task of its own, so that a panic or a hang of the backend ends the batch and not the worker.
    async fn execute_supervised(&self, ops: Vec<Op>) -> Result<Vec<Reply>, Unavailable> {
        let count = ops.len();
        let backend = Arc::clone(&self.backend);
        let mut running = tokio::spawn(async move { backend.execute_batch(ops).await });
        let failure = match timeout(self.limits.deadline, &mut running).await {
            Ok(Ok(Ok(replies))) if replies.len() == count => return Ok(replies),
            Ok(Ok(Ok(replies))) => {
                Failure::ReplyCount { replies: replies.len(), ops: count, operation: self.operation }
            }
            Ok(Ok(Err(unavailable))) => return Err(unavailable),
            Ok(Err(_)) => Failure::Panicked,
            Err(_) => {
                running.abort();
                Failure::BatchDeadline
            }
        };
        Err(Unavailable::new(self.operation, failure))
    }

    fn count(&self, ops: usize) {
        let ops = u64::try_from(ops).unwrap_or(u64::MAX);
        self.counters.batches.fetch_add(1, Ordering::Relaxed);
        self.counters.ops.fetch_add(ops, Ordering::Relaxed);
        self.counters.largest.fetch_max(ops, Ordering::Relaxed);
    }
}

/// Waits for the first operation of a batch and takes those that are queued behind it. False when the queue is closed
/// and empty.
async fn receive<T>(
    queue: &mut mpsc::Receiver<T>,
    closing: &CancellationToken,
    batch: &mut Vec<T>,
    limit: usize,
) -> bool {
    loop {
        tokio::select! {
            biased;
            () = closing.cancelled(), if !queue.is_closed() => queue.close(),
            received = queue.recv_many(batch, limit) => return received > 0,
        }
    }
}

/// Yields briefly: callers of the last batch usually submit again at once, which keeps batches large.
async fn fill<T>(queue: &mut mpsc::Receiver<T>, batch: &mut Vec<T>, previous: usize, limit: usize) {
    for _ in 0..YIELDS {
        if batch.len() >= previous.min(limit) {
            return;
        }
        tokio::task::yield_now().await;
        while batch.len() < limit
            && let Ok(next) = queue.try_recv()
        {
            batch.push(next);
        }
    }
}
