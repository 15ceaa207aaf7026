//! Group commit: against a backend that answers when and how the test says.
use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use deed_claims::StreamId;
use deed_store::conformance::samples::{apex, append, requested};
use deed_store::{
    Append, AppendBackend, AppendError, Appended, GroupCommit, GroupCommitLimits, GroupCommitStats, Position,
    Unavailable, Version,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

type Answers = Vec<Result<Appended, AppendError>>;

/// One transaction, for the test to end.
struct Transaction {
    batch: Vec<Append>,
    end: oneshot::Sender<Result<Answers, Unavailable>>,
}

impl Transaction {
    fn streams(&self) -> Vec<&StreamId> {
        self.batch.iter().map(|append| &append.writes[0].stream).collect()
    }

    /// Everything is written; the position says which append of the batch it was.
    fn commit(self) {
        let answers = (1..=self.batch.len()).map(|n| Ok(written(n))).collect();
        self.end.send(Ok(answers)).unwrap();
    }
}

fn written(n: usize) -> Appended {
    Appended { position: Position(u64::try_from(n).unwrap()), versions: vec![Version(1)] }
}

struct Backend(mpsc::Sender<Transaction>);

#[async_trait]
impl AppendBackend for Backend {
    async fn append_batch(&self, batch: Vec<Append>) -> Result<Answers, Unavailable> {
        let (end, ended) = oneshot::channel();
        self.0.send(Transaction { batch, end }).await.unwrap();
        ended.await.unwrap_or_else(|_| panic!("the backend panics because the test says so"))
    }
}

const LIMITS: GroupCommitLimits =
    GroupCommitLimits { queue: 64, batch: 8, deadline: Duration::from_secs(10) };

fn start(limits: GroupCommitLimits) -> (GroupCommit, mpsc::Receiver<Transaction>) {
    let (transactions, begun) = mpsc::channel(1);
    (GroupCommit::start(Arc::new(Backend(transactions)), limits), begun)
}

fn stream(n: usize) -> StreamId {
    apex(&format!("n{n}.com"))
}

type Appending = JoinHandle<Result<Appended, AppendError>>;

fn appending(commit: &GroupCommit, n: usize) -> Appending {
    let commit = commit.clone();
    tokio::spawn(async move { commit.append(append(&stream(n), 0, vec![requested(1, 1, 0)])).await })
}

async fn next(begun: &mut mpsc::Receiver<Transaction>) -> Transaction {
    timeout(Duration::from_secs(30), begun.recv()).await.unwrap().unwrap()
}

/// One append in a transaction of its own, and these waiting behind it, in their order.
async fn behind_one(
    commit: &GroupCommit,
    begun: &mut mpsc::Receiver<Transaction>,
    waiting: std::ops::Range<usize>,
) -> (Transaction, Appending, Vec<Appending>) {
    let first = appending(commit, 0);
    let transaction = next(begun).await;
    let mut behind = vec![];
    for (before, n) in waiting.enumerate() {
        behind.push(appending(commit, n));
        while commit.stats().waiting <= u64::try_from(before).unwrap() {
            tokio::task::yield_now().await;
        }
    }
    (transaction, first, behind)
}

fn unavailable(answer: Result<Appended, AppendError>) -> String {
    match answer {
        Err(AppendError::Unavailable(error)) => error.to_string() + ": " + &error.source.to_string(),
        other => panic!("this was to fail: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_append_that_finds_the_gatherer_idle_is_written_at_once_and_alone() {
    let (commit, mut begun) = start(LIMITS);
    let started = Instant::now();
    for n in 0..3 {
        let answer = appending(&commit, n);
        let transaction = next(&mut begun).await;
        assert_eq!(transaction.streams(), [&stream(n)]);
        transaction.commit();
        assert_eq!(answer.await.unwrap().unwrap(), written(1));
    }
    assert_eq!(started.elapsed(), Duration::ZERO);
    assert_eq!(commit.stats(), GroupCommitStats { batches: 3, appends: 3, largest: 1, waiting: 0 });
}

#[tokio::test(start_paused = true)]
async fn appends_that_wait_are_written_together_in_order_and_up_to_the_limit() {
    let (commit, mut begun) = start(LIMITS);
    let (transaction, first, behind) = behind_one(&commit, &mut begun, 1..12).await;
    assert_eq!(commit.stats().waiting, 11);
    transaction.commit();
    first.await.unwrap().unwrap();

    for expected in [1..9, 9..12] {
        let transaction = next(&mut begun).await;
        let streams: Vec<_> = expected.map(stream).collect();
        assert_eq!(transaction.streams(), streams.iter().collect::<Vec<_>>());
        transaction.commit();
    }
    let places: Vec<usize> = (1..=8).chain(1..=3).collect();
    for (answer, place) in behind.into_iter().zip(places) {
        assert_eq!(answer.await.unwrap().unwrap(), written(place));
    }
    assert_eq!(commit.stats(), GroupCommitStats { batches: 3, appends: 12, largest: 8, waiting: 0 });
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_told_to_its_own_caller_only() {
    let (commit, mut begun) = start(LIMITS);
    let (transaction, first, mut behind) = behind_one(&commit, &mut begun, 1..4).await;
    transaction.commit();
    first.await.unwrap().unwrap();
    let conflict = AppendError::Conflict { stream: stream(2), expected: Version(0), actual: Version(7) };
    next(&mut begun).await.end.send(Ok(vec![Ok(written(1)), Err(conflict), Ok(written(2))])).unwrap();
    assert_eq!(behind.remove(0).await.unwrap().unwrap(), written(1));
    let refused = behind.remove(0).await.unwrap();
    assert!(matches!(refused, Err(AppendError::Conflict { actual: Version(7), .. })), "{refused:?}");
    assert_eq!(behind.remove(0).await.unwrap().unwrap(), written(2));
}

/// What goes wrong with a batch is told to all of it, and the next batch is written.
async fn after_trouble(
    limits: GroupCommitLimits,
    trouble: impl FnOnce(Transaction) -> Option<Transaction>,
) -> String {
    let (commit, mut begun) = start(limits);
    let (transaction, first, behind) = behind_one(&commit, &mut begun, 1..4).await;
    transaction.commit();
    first.await.unwrap().unwrap();
    let left_open = trouble(next(&mut begun).await);
    let mut causes = vec![];
    for answer in behind {
        causes.push(unavailable(answer.await.unwrap()));
    }
    causes.dedup();
    assert_eq!(causes.len(), 1, "{causes:?}");

    let answer = appending(&commit, 9);
    next(&mut begun).await.commit();
    answer.await.unwrap().unwrap();
    let given_up = left_open.is_none_or(|transaction| transaction.end.is_closed());
    assert!(given_up, "the backend still works on a transaction that nobody waits for");
    causes.remove(0)
}

#[tokio::test(start_paused = true)]
async fn a_failed_transaction_is_told_to_each_of_its_appends_with_its_cause() {
    let cause = after_trouble(LIMITS, |transaction| {
        let failure = Unavailable::new("write to the disk", "the disk is full");
        transaction.end.send(Err(failure)).unwrap();
        None
    });
    assert_eq!(cause.await, "the store is unavailable: write to the disk: the disk is full");
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_backend_ends_its_batch_only() {
    let cause = after_trouble(LIMITS, |transaction| {
        drop(transaction);
        None
    });
    assert_eq!(cause.await, "the store is unavailable: append: the backend panicked");
}

#[tokio::test(start_paused = true)]
async fn answers_that_do_not_match_the_appends_are_given_to_nobody() {
    let cause = after_trouble(LIMITS, |transaction| {
        transaction.end.send(Ok(vec![Ok(written(1))])).unwrap();
        None
    });
    assert_eq!(cause.await, "the store is unavailable: append: the backend answered 1 of 3 appends");
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_does_not_end_is_given_up_and_others_follow() {
    let started = Instant::now();
    let cause = after_trouble(LIMITS, Some).await;
    assert_eq!(cause, "the store is unavailable: append: no answer within the deadline");
    assert_eq!(started.elapsed(), LIMITS.deadline);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_leaves_others_their_answers_and_is_not_written_for() {
    let (commit, mut begun) = start(LIMITS);
    let (transaction, first, mut behind) = behind_one(&commit, &mut begun, 1..5).await;
    first.abort();
    for gone in [3, 1] {
        let gone = behind.remove(gone);
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
    }
    assert!(first.await.unwrap_err().is_cancelled());
    transaction.commit();

    let transaction = next(&mut begun).await;
    assert_eq!(transaction.streams(), [&stream(1), &stream(3)]);
    transaction.commit();
    for (place, answer) in (1..).zip(behind) {
        assert_eq!(answer.await.unwrap().unwrap(), written(place));
    }
    assert_eq!(commit.stats().appends, 3);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_pushes_back_until_the_deadline() {
    let (commit, mut begun) = start(GroupCommitLimits { queue: 2, batch: 1, ..LIMITS });
    let (transaction, first, mut behind) = behind_one(&commit, &mut begun, 1..3).await;
    let started = Instant::now();
    let (lucky, refused) = (appending(&commit, 3), appending(&commit, 4));
    sleep(LIMITS.deadline / 2).await;
    assert!(!lucky.is_finished());
    transaction.commit();
    first.await.unwrap().unwrap();

    // The one place that came free was for who had waited longest.
    let transaction = next(&mut begun).await;
    let refused = unavailable(refused.await.unwrap());
    assert_eq!(refused, "the store is unavailable: append: the queue of appends stayed full");
    assert_eq!(started.elapsed(), LIMITS.deadline);
    drop((transaction, lucky, behind.pop()));
}

#[tokio::test(start_paused = true)]
async fn closing_writes_what_waits_and_refuses_what_comes() {
    let (commit, mut begun) = start(LIMITS);
    let (transaction, first, behind) = behind_one(&commit, &mut begun, 1..12).await;
    let closing = tokio::spawn({
        let commit = commit.clone();
        async move { commit.close().await }
    });
    let refused = loop {
        let late = appending(&commit, 99);
        tokio::task::yield_now().await;
        if late.is_finished() {
            break unavailable(late.await.unwrap());
        }
        late.abort();
    };
    assert_eq!(refused, "the store is unavailable: append: the gatherer is closed");
    assert!(!closing.is_finished());
    transaction.commit();
    for _ in 0..2 {
        next(&mut begun).await.commit();
    }
    closing.await.unwrap();
    for answer in std::iter::once(first).chain(behind) {
        assert!(answer.is_finished());
        answer.await.unwrap().unwrap();
    }
    commit.close().await;
}

#[tokio::test(start_paused = true)]
async fn the_gatherer_ends_with_its_last_handle() {
    let (commit, mut begun) = start(LIMITS);
    drop(commit);
    assert!(timeout(Duration::from_secs(30), begun.recv()).await.unwrap().is_none());
}

// Like a server's runtime: whoever is woken by a task runs right behind it, before the others that wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn those_who_come_back_at_once_stay_together() {
    let (commit, mut begun) = start(LIMITS);
    let tasks = 6;
    let committing = tokio::spawn(async move {
        loop {
            next(&mut begun).await.commit();
        }
    });
    // All on the one worker, and none before the others are there: how fast this thread starts them says nothing.
    let appending = commit.clone();
    tokio::spawn(async move {
        let together = Arc::new(tokio::sync::Barrier::new(tasks));
        let mut running = tokio::task::JoinSet::new();
        for task in 0..tasks {
            let (commit, together) = (appending.clone(), Arc::clone(&together));
            running.spawn(async move {
                together.wait().await;
                for n in 0..20 {
                    let stream = stream(task * 100 + n);
                    commit.append(append(&stream, 0, vec![requested(1, 1, 0)])).await.unwrap();
                }
            });
        }
        running.join_all().await;
    })
    .await
    .unwrap();
    committing.abort();
    // The first may be alone, and all others find their company.
    let stats = commit.stats();
    assert_eq!((stats.appends, stats.largest), (120, 6));
    assert!(stats.batches <= 22, "{stats:?}");
}
