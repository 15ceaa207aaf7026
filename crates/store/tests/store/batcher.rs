//! The batcher, against a backend that replies when and how the test says.
use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use deed_claims::StreamId;
use deed_store::conformance::samples::{apex, append, requested};
use deed_store::{
    Append, AppendError, Appended, BatchBackend, BatchLimits, BatchStats, Batcher, Position, Unavailable,
    Version,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

type AppendResult = Result<Appended, AppendError>;
type Replies = Vec<AppendResult>;
type Appends = Batcher<Append, AppendResult>;

/// One running batch; the test ends it.
struct RunningBatch {
    batch: Vec<Append>,
    end: oneshot::Sender<Result<Replies, Unavailable>>,
}

impl RunningBatch {
    fn streams(&self) -> Vec<&StreamId> {
        self.batch.iter().map(|append| &append.writes[0].stream).collect()
    }

    /// All appends succeed; the position is the place in the batch.
    fn succeed(self) {
        let replies = (1..=self.batch.len()).map(|n| Ok(written(n))).collect();
        self.end.send(Ok(replies)).unwrap();
    }
}

fn written(n: usize) -> Appended {
    Appended { position: Position(u64::try_from(n).unwrap()), versions: vec![Version(1)] }
}

struct Backend(mpsc::Sender<RunningBatch>);

#[async_trait]
impl BatchBackend for Backend {
    type Op = Append;
    type OpResult = AppendResult;

    async fn execute_batch(&self, batch: Vec<Append>) -> Result<Replies, Unavailable> {
        let (end, ended) = oneshot::channel();
        self.0.send(RunningBatch { batch, end }).await.unwrap();
        ended.await.unwrap_or_else(|_| panic!("the test makes the backend panic"))
    }
}

const LIMITS: BatchLimits = BatchLimits { queue: 64, batch: 8, deadline: Duration::from_secs(10) };

fn start(limits: BatchLimits) -> (Appends, mpsc::Receiver<RunningBatch>) {
    let (batches, begun) = mpsc::channel(1);
    (Batcher::start("append", Arc::new(Backend(batches)), limits), begun)
}

fn stream(n: usize) -> StreamId {
    apex(&format!("n{n}.com"))
}

type Appending = JoinHandle<AppendResult>;

fn appending(batcher: &Appends, n: usize) -> Appending {
    let batcher = batcher.clone();
    tokio::spawn(async move { batcher.submit(append(&stream(n), 0, vec![requested(1, 1, 0)])).await? })
}

async fn next(begun: &mut mpsc::Receiver<RunningBatch>) -> RunningBatch {
    timeout(Duration::from_secs(30), begun.recv()).await.unwrap().unwrap()
}

/// One append in its own batch, and others queued behind it, in order.
async fn behind_one(
    batcher: &Appends,
    begun: &mut mpsc::Receiver<RunningBatch>,
    waiting: std::ops::Range<usize>,
) -> (RunningBatch, Appending, Vec<Appending>) {
    let first = appending(batcher, 0);
    let running = next(begun).await;
    let mut behind = vec![];
    for (before, n) in waiting.enumerate() {
        behind.push(appending(batcher, n));
        while batcher.stats().queued <= u64::try_from(before).unwrap() {
            tokio::task::yield_now().await;
        }
    }
    (running, first, behind)
}

fn unavailable(answer: Result<Appended, AppendError>) -> String {
    match answer {
        Err(AppendError::Unavailable(error)) => error.to_string() + ": " + &error.source.to_string(),
        other => panic!("expected a failure: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn idle_batcher_executes_at_once() {
    let (batcher, mut begun) = start(LIMITS);
    let started = Instant::now();
    for n in 0..3 {
        let answer = appending(&batcher, n);
        let running = next(&mut begun).await;
        assert_eq!(running.streams(), [&stream(n)]);
        running.succeed();
        assert_eq!(answer.await.unwrap().unwrap(), written(1));
    }
    assert_eq!(started.elapsed(), Duration::ZERO);
    assert_eq!(batcher.stats(), BatchStats { batches: 3, ops: 3, largest: 1, queued: 0 });
}

#[tokio::test(start_paused = true)]
async fn batches_queued_ops_in_order_up_to_limit() {
    let (batcher, mut begun) = start(LIMITS);
    let (running, first, behind) = behind_one(&batcher, &mut begun, 1..12).await;
    assert_eq!(batcher.stats().queued, 11);
    running.succeed();
    first.await.unwrap().unwrap();

    for expected in [1..9, 9..12] {
        let running = next(&mut begun).await;
        let streams: Vec<_> = expected.map(stream).collect();
        assert_eq!(running.streams(), streams.iter().collect::<Vec<_>>());
        running.succeed();
    }
    let places: Vec<usize> = (1..=8).chain(1..=3).collect();
    for (answer, place) in behind.into_iter().zip(places) {
        assert_eq!(answer.await.unwrap().unwrap(), written(place));
    }
    assert_eq!(batcher.stats(), BatchStats { batches: 3, ops: 12, largest: 8, queued: 0 });
}

#[tokio::test(start_paused = true)]
async fn conflict_fails_its_own_caller_only() {
    let (batcher, mut begun) = start(LIMITS);
    let (running, first, mut behind) = behind_one(&batcher, &mut begun, 1..4).await;
    running.succeed();
    first.await.unwrap().unwrap();
    let conflict = AppendError::Conflict { stream: stream(2), expected: Version(0), actual: Version(7) };
    next(&mut begun).await.end.send(Ok(vec![Ok(written(1)), Err(conflict), Ok(written(2))])).unwrap();
    assert_eq!(behind.remove(0).await.unwrap().unwrap(), written(1));
    let refused = behind.remove(0).await.unwrap();
    assert!(matches!(refused, Err(AppendError::Conflict { actual: Version(7), .. })), "{refused:?}");
    assert_eq!(behind.remove(0).await.unwrap().unwrap(), written(2));
}

/// A failed batch fails all its callers, and the next batch is executed.
async fn cause_of_failed_batch(
    limits: BatchLimits,
    fail: impl FnOnce(RunningBatch) -> Option<RunningBatch>,
) -> String {
    let (batcher, mut begun) = start(limits);
    let (running, first, behind) = behind_one(&batcher, &mut begun, 1..4).await;
    running.succeed();
    first.await.unwrap().unwrap();
    let left_open = fail(next(&mut begun).await);
    let mut causes = vec![];
    for answer in behind {
        causes.push(unavailable(answer.await.unwrap()));
    }
    causes.dedup();
    assert_eq!(causes.len(), 1, "{causes:?}");

    let answer = appending(&batcher, 9);
    next(&mut begun).await.succeed();
    answer.await.unwrap().unwrap();
    let aborted = left_open.is_none_or(|running| running.end.is_closed());
    assert!(aborted, "the backend still executes a batch without callers");
    causes.remove(0)
}

#[tokio::test(start_paused = true)]
async fn failed_batch_fails_each_caller_with_cause() {
    let cause = cause_of_failed_batch(LIMITS, |running| {
        let failure = Unavailable::new("write to the disk", "the disk is full");
        running.end.send(Err(failure)).unwrap();
        None
    });
    assert_eq!(cause.await, "the store is unavailable: write to the disk: the disk is full");
}

#[tokio::test(start_paused = true)]
async fn backend_panic_fails_its_batch_only() {
    let cause = cause_of_failed_batch(LIMITS, |running| {
        drop(running);
        None
    });
    assert_eq!(cause.await, "the store is unavailable: append: the backend panicked");
}

#[tokio::test(start_paused = true)]
async fn wrong_number_of_replies_fails_the_batch() {
    let cause = cause_of_failed_batch(LIMITS, |running| {
        running.end.send(Ok(vec![Ok(written(1))])).unwrap();
        None
    });
    assert_eq!(cause.await, "the store is unavailable: append: the backend answered 1 of 3 appends");
}

#[tokio::test(start_paused = true)]
async fn aborts_batch_after_deadline() {
    let started = Instant::now();
    let cause = cause_of_failed_batch(LIMITS, Some).await;
    assert_eq!(cause, "the store is unavailable: append: no answer within the deadline");
    assert_eq!(started.elapsed(), LIMITS.deadline);
}

#[tokio::test(start_paused = true)]
async fn skips_ops_of_callers_that_gave_up() {
    let (batcher, mut begun) = start(LIMITS);
    let (running, first, mut behind) = behind_one(&batcher, &mut begun, 1..5).await;
    first.abort();
    for gone in [3, 1] {
        let gone = behind.remove(gone);
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
    }
    assert!(first.await.unwrap_err().is_cancelled());
    running.succeed();

    let running = next(&mut begun).await;
    assert_eq!(running.streams(), [&stream(1), &stream(3)]);
    running.succeed();
    for (place, answer) in (1..).zip(behind) {
        assert_eq!(answer.await.unwrap().unwrap(), written(place));
    }
    assert_eq!(batcher.stats().ops, 3);
}

#[tokio::test(start_paused = true)]
async fn full_queue_blocks_until_deadline() {
    let (batcher, mut begun) = start(BatchLimits { queue: 2, batch: 1, ..LIMITS });
    let (running, first, mut behind) = behind_one(&batcher, &mut begun, 1..3).await;
    let started = Instant::now();
    let (lucky, refused) = (appending(&batcher, 3), appending(&batcher, 4));
    sleep(LIMITS.deadline / 2).await;
    assert!(!lucky.is_finished());
    running.succeed();
    first.await.unwrap().unwrap();

    // The free place went to the caller that had waited longest.
    let running = next(&mut begun).await;
    let refused = unavailable(refused.await.unwrap());
    assert_eq!(refused, "the store is unavailable: append: the queue of appends stayed full");
    assert_eq!(started.elapsed(), LIMITS.deadline);
    drop((running, lucky, behind.pop()));
}

#[tokio::test(start_paused = true)]
async fn close_executes_queued_ops_and_rejects_new_ones() {
    let (batcher, mut begun) = start(LIMITS);
    let (running, first, behind) = behind_one(&batcher, &mut begun, 1..12).await;
    let closing = tokio::spawn({
        let batcher = batcher.clone();
        async move { batcher.close().await }
    });
    let refused = loop {
        let late = appending(&batcher, 99);
        tokio::task::yield_now().await;
        if late.is_finished() {
            break unavailable(late.await.unwrap());
        }
        late.abort();
    };
    assert_eq!(refused, "the store is unavailable: append: the batcher is closed");
    assert!(!closing.is_finished());
    running.succeed();
    for _ in 0..2 {
        next(&mut begun).await.succeed();
    }
    closing.await.unwrap();
    for answer in std::iter::once(first).chain(behind) {
        assert!(answer.is_finished());
        answer.await.unwrap().unwrap();
    }
    batcher.close().await;
}

#[tokio::test(start_paused = true)]
async fn worker_ends_with_last_handle() {
    let (batcher, mut begun) = start(LIMITS);
    drop(batcher);
    assert!(timeout(Duration::from_secs(30), begun.recv()).await.unwrap().is_none());
}

// As in a server: a woken task runs next, before other tasks that are ready.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn callers_that_submit_again_share_batches() {
    let (batcher, mut begun) = start(LIMITS);
    let tasks = 6;
    let replying = tokio::spawn(async move {
        loop {
            next(&mut begun).await.succeed();
        }
    });
    // All on the one worker, and none before all are ready: the speed of this thread does not matter.
    let appending = batcher.clone();
    tokio::spawn(async move {
        let together = Arc::new(tokio::sync::Barrier::new(tasks));
        let mut running = tokio::task::JoinSet::new();
        for task in 0..tasks {
            let (batcher, together) = (appending.clone(), Arc::clone(&together));
            running.spawn(async move {
                together.wait().await;
                for n in 0..20 {
                    let stream = stream(task * 100 + n);
                    batcher.submit(append(&stream, 0, vec![requested(1, 1, 0)])).await.unwrap().unwrap();
                }
            });
        }
        running.join_all().await;
    })
    .await
    .unwrap();
    replying.abort();
    // The first op may be alone; all others share batches.
    let stats = batcher.stats();
    assert_eq!((stats.ops, stats.largest), (120, 6));
    assert!(stats.batches <= 22, "{stats:?}");
}
