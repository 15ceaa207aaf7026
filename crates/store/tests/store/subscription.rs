//! The subscription runner.
use std::{collections::VecDeque, iter::repeat_n, sync::Arc, time::Duration};

use async_trait::async_trait;
use deed_store::conformance::samples::{apex, append, at, requested};
use deed_store::{
    Batch, Checkpoints, LeaseMetrics, Position, Progress, Subscriber, SubscriberError, SubscriptionConfig,
    SubscriptionError, run_subscription,
};
use prometheus::Registry;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::faulty::{Call, Fault, FaultyStore, RuntimeClock};

const NAME: &str = "follower";
const TTL: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const COALESCE: Duration = Duration::from_millis(5);

/// What the subscriber does with a batch; `Advance` by default.
enum Step {
    Advance,
    AdvanceTo(u64),
    Advanced,
    Takes(Duration),
    Fails,
    Lost,
}

/// A batch that the subscriber received.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Delivered {
    when: Instant,
    owner: String,
    from: u64,
    positions: Vec<u64>,
}

struct Follower {
    store: FaultyStore,
    steps: VecDeque<Step>,
    delivered: watch::Sender<Vec<Delivered>>,
    /// Batches that are being processed, and batches that ended.
    in_flight: watch::Sender<(u32, u32)>,
}

struct InFlightGuard(watch::Sender<(u32, u32)>);

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.0.send_modify(|(now, ended)| (*now, *ended) = (*now - 1, *ended + 1));
    }
}

#[async_trait]
impl Subscriber for Follower {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn consume(&mut self, batch: Batch<'_>) -> Result<Progress, SubscriberError> {
        self.in_flight.send_modify(|(now, _)| {
            *now += 1;
            assert_eq!(*now, 1, "two batches at the same time");
        });
        let _in_flight = InFlightGuard(self.in_flight.clone());
        assert_eq!(batch.events.last().unwrap().position, batch.to);
        let delivered = Delivered {
            when: Instant::now(),
            owner: batch.lease.owner.clone(),
            from: batch.from.0,
            positions: batch.events.iter().map(|event| event.position.0).collect(),
        };
        self.delivered.send_modify(|all| all.push(delivered));
        match self.steps.pop_front().unwrap_or(Step::Advance) {
            Step::Advance => Ok(Progress::Advance),
            Step::AdvanceTo(part) => Ok(Progress::AdvanceTo(Position(part))),
            Step::Advanced => {
                self.store.checkpoints().advance(batch.lease, batch.from, batch.to).await.unwrap();
                Ok(Progress::Advanced)
            }
            Step::Takes(time) => {
                sleep(time).await;
                Ok(Progress::Advance)
            }
            Step::Fails => Err(SubscriberError::Retry("not now".into())),
            Step::Lost => Err(SubscriberError::Lost),
        }
    }
}

struct Running {
    task: JoinHandle<Result<(), SubscriptionError>>,
    stop: CancellationToken,
    delivered: watch::Receiver<Vec<Delivered>>,
    in_flight: watch::Receiver<(u32, u32)>,
}

struct Fixture {
    store: FaultyStore,
    clock: Arc<RuntimeClock>,
}

impl Fixture {
    fn new(events: u64) -> Self {
        let fixture = Self { store: FaultyStore::new(), clock: Arc::new(RuntimeClock::new()) };
        for version in 0..events {
            fixture.store.append_now(append(&apex("acme.com"), version, vec![requested(1, 1, 0)]));
        }
        fixture
    }

    fn run(&self, owner: &str, steps: impl IntoIterator<Item = Step>) -> Running {
        let config = SubscriptionConfig {
            owner: owner.to_owned(),
            batch: 3,
            lease_ttl: TTL,
            poll: POLL,
            backoff_max: FIRST_PAUSE * 8,
        };
        let mut follower = Follower {
            store: self.store.clone(),
            steps: steps.into_iter().collect(),
            delivered: watch::Sender::default(),
            in_flight: watch::Sender::default(),
        };
        let (delivered, in_flight, stop) =
            (follower.delivered.subscribe(), follower.in_flight.subscribe(), CancellationToken::new());
        let (store, clock, stopping) = (self.store.clone(), self.clock.clone(), stop.clone());
        let task = tokio::spawn(async move {
            let lease = LeaseMetrics::register(&Registry::new(), NAME).unwrap();
            let (log, tables) = (Arc::new(store.clone()), store.checkpoints());
            run_subscription(log, tables, clock, &mut follower, &config, &lease, stopping).await
        });
        Running { task, stop, delivered, in_flight }
    }

    async fn checkpoint(&self) -> u64 {
        self.store.checkpoints().checkpoint(NAME).await.unwrap().0
    }

    async fn checkpoint_becomes(&self, expected: u64) {
        let moved = timeout(TTL * 10, async {
            while self.checkpoint().await != expected {
                sleep(Duration::from_millis(10)).await;
            }
        });
        moved.await.unwrap_or_else(|_| panic!("the checkpoint did not reach {expected}"));
    }
}

impl Running {
    async fn receives(&mut self, batches: usize) -> Vec<Delivered> {
        let seen = timeout(TTL * 10, self.delivered.wait_for(|seen| seen.len() >= batches));
        seen.await.unwrap().unwrap()[..batches].to_vec()
    }

    async fn stopped(self) {
        self.stop.cancel();
        timeout(TTL * 10, self.task).await.unwrap().unwrap().unwrap();
    }
}

fn ranges(seen: &[Delivered]) -> Vec<(u64, Vec<u64>)> {
    seen.iter().map(|batch| (batch.from, batch.positions.clone())).collect()
}

/// Pauses have jitter: each lasts from half of its longest time to that.
fn assert_pauses(actual: &[Duration], longest: &[Duration]) {
    let fits = |(actual, longest): (&Duration, &Duration)| (*longest / 2..=*longest).contains(actual);
    let all_fit = actual.len() == longest.len() && actual.iter().zip(longest).all(fits);
    assert!(all_fit, "{actual:?}, at most {longest:?}");
}

fn pauses(seen: &[Delivered]) -> Vec<Duration> {
    seen.windows(2).map(|two| two[1].when - two[0].when).collect()
}

#[tokio::test(start_paused = true)]
async fn follows_log_from_checkpoint_in_batches() {
    let fixture = Fixture::new(8);
    fixture.store.set_checkpoint(NAME, 2);
    let mut running = fixture.run("mine", []);
    let seen = running.receives(2).await;
    assert_eq!(ranges(&seen), [(2, vec![3, 4, 5]), (5, vec![6, 7, 8])]);
    fixture.checkpoint_becomes(8).await;
    running.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn coalesces_events_after_partial_batch_only() {
    let fixture = Fixture::new(1);
    let mut running = fixture.run("mine", []);
    let first = running.receives(1).await[0].when;
    for version in 1..=2 {
        sleep(COALESCE / 5).await;
        fixture.store.append_now(append(&apex("acme.com"), version, vec![requested(1, 1, 0)]));
    }
    let seen = running.receives(2).await;
    assert_eq!(ranges(&seen), [(0, vec![1]), (1, vec![2, 3])]);
    // The clock rounds up to whole milliseconds.
    assert!((COALESCE..=COALESCE + Duration::from_millis(1)).contains(&(seen[1].when - first)), "{seen:?}");

    sleep(COALESCE * 2).await;
    for version in 3..8 {
        fixture.store.append_now(append(&apex("acme.com"), version, vec![requested(1, 1, 0)]));
    }
    let seen = running.receives(4).await;
    assert_eq!(ranges(&seen)[2..], [(3, vec![4, 5, 6]), (6, vec![7, 8])]);
    assert_eq!(seen[2].when, seen[3].when);
    running.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn wakes_on_hint_and_polls_without_one() {
    let fixture = Fixture::new(1);
    let mut running = fixture.run("mine", []);
    running.receives(1).await;
    fixture.checkpoint_becomes(1).await;
    sleep(COALESCE * 2).await;

    let hinted = Instant::now();
    fixture.store.append_now(append(&apex("acme.com"), 1, vec![requested(1, 1, 0)]));
    assert_eq!(running.receives(2).await[1].when, hinted);
    fixture.checkpoint_becomes(2).await;

    let unhinted = Instant::now();
    fixture.store.append_silently(append(&apex("acme.com"), 2, vec![requested(1, 1, 0)]));
    let waited = running.receives(3).await[2].when - unhinted;
    assert!(waited <= POLL, "{waited:?}");
    running.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn redelivers_rest_of_partly_processed_batch() {
    let fixture = Fixture::new(4);
    let mut running = fixture.run("mine", [Step::AdvanceTo(2)]);
    assert_eq!(ranges(&running.receives(2).await), [(0, vec![1, 2, 3]), (2, vec![3, 4])]);
    fixture.checkpoint_becomes(4).await;
    running.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn position_outside_batch_is_no_progress() {
    let fixture = Fixture::new(4);
    let mut running = fixture.run("mine", [Step::AdvanceTo(4), Step::AdvanceTo(0)]);
    let seen = running.receives(3).await;
    assert_eq!(ranges(&seen), [(0, vec![1, 2, 3]), (0, vec![1, 2, 3]), (0, vec![1, 2, 3])]);
    assert_pauses(&pauses(&seen), &[FIRST_PAUSE, FIRST_PAUSE * 2]);
    running.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn leaves_checkpoint_that_subscriber_moved() {
    let fixture = Fixture::new(5);
    let mut running = fixture.run("mine", [Step::Advanced, Step::Advanced]);
    assert_eq!(ranges(&running.receives(2).await), [(0, vec![1, 2, 3]), (3, vec![4, 5])]);
    fixture.checkpoint_becomes(5).await;
    sleep(TTL).await;
    assert_eq!(running.delivered.borrow().len(), 2);
    running.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn retries_failed_batch_with_doubling_pauses() {
    let fixture = Fixture::new(7);
    let failing = || std::iter::repeat_with(|| Step::Fails);
    let steps = failing().take(6).chain([Step::Advance, Step::Fails]);
    let mut running = fixture.run("mine", steps);
    let seen = running.receives(9).await;
    assert!(ranges(&seen[..7]).iter().all(|range| *range == (0, vec![1, 2, 3])));
    let expected = [1, 2, 4, 8, 8, 8, 0, 1].map(|times| FIRST_PAUSE * times);
    assert_pauses(&pauses(&seen), &expected);
    assert_eq!(ranges(&seen[7..]), [(3, vec![4, 5, 6]), (3, vec![4, 5, 6])]);
    fixture.checkpoint_becomes(7).await;
    running.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn does_not_deliver_log_with_gap() {
    let fixture = Fixture::new(5);
    fixture.store.inject(Call::ReadLog, repeat_n(Fault::Gap, 3));
    let (began, mut running) = (Instant::now(), fixture.run("mine", []));
    let seen = running.receives(2).await;
    assert_eq!(ranges(&seen), [(0, vec![1, 2, 3]), (3, vec![4, 5])]);
    assert_pauses(&[seen[0].when - began], &[FIRST_PAUSE * 7]);
    running.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn retries_failed_log_read() {
    let fixture = Fixture::new(2);
    fixture.store.inject(Call::ReadLog, [Fault::Refuse, Fault::Hang, Fault::Refuse]);
    let mut running = fixture.run("mine", []);
    assert_eq!(ranges(&running.receives(1).await), [(0, vec![1, 2])]);
    running.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn leaves_newer_event_to_standby() {
    let fixture = Fixture::new(3);
    fixture.store.inject(Call::ReadLog, [Fault::Newer]);
    let older = fixture.run("older", []);
    let begun = Instant::now();
    sleep(Duration::from_millis(10)).await;
    let mut newer = fixture.run("newer", []);
    let seen = newer.receives(1).await;
    assert_eq!((ranges(&seen), seen[0].owner.as_str()), (vec![(0, vec![1, 2, 3])], "newer"));
    assert!(seen[0].when - begun < TTL, "the standby did not wait for the lease to expire");
    assert_eq!(older.delivered.borrow().len(), 0, "nothing is skipped");
    newer.stopped().await;
    older.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn retries_newer_event_after_lease_ttl() {
    let fixture = Fixture::new(3);
    fixture.store.inject(Call::ReadLog, [Fault::Newer]);
    let mut running = fixture.run("mine", []);
    let begun = Instant::now();
    assert_eq!(ranges(&running.receives(1).await), [(0, vec![1, 2, 3])]);
    assert!(begun.elapsed() >= TTL);
    running.stopped().await;

    fixture.store.inject(Call::ReadLog, [Fault::Newer]);
    let running = fixture.run("mine", []);
    sleep(Duration::from_millis(10)).await;
    let stopped = Instant::now();
    running.stopped().await;
    assert_eq!(stopped.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn lost_answer_does_not_repeat_batch() {
    let fixture = Fixture::new(3);
    fixture.store.inject(Call::Advance, [Fault::LoseAnswer, Fault::Refuse]);
    let mut running = fixture.run("mine", []);
    running.receives(1).await;
    fixture.checkpoint_becomes(3).await;
    sleep(TTL).await;
    fixture.store.inject(Call::Advance, [Fault::Refuse, Fault::Refuse]);
    fixture.store.append_now(append(&apex("acme.com"), 3, vec![requested(1, 1, 0)]));
    fixture.checkpoint_becomes(4).await;
    assert_eq!(ranges(&running.delivered.borrow()), [(0, vec![1, 2, 3]), (3, vec![4])]);
    running.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn standby_continues_from_checkpoint() {
    let fixture = Fixture::new(3);
    let mut first = fixture.run("first", []);
    first.receives(1).await;
    fixture.checkpoint_becomes(3).await;
    let mut second = fixture.run("second", []);
    fixture.store.append_now(append(&apex("acme.com"), 3, vec![requested(1, 1, 0)]));
    first.receives(2).await;
    fixture.checkpoint_becomes(4).await;
    sleep(TTL * 3).await;
    assert_eq!(second.delivered.borrow().len(), 0);

    first.stopped().await;
    let stopped = Instant::now();
    fixture.store.append_now(append(&apex("acme.com"), 4, vec![requested(1, 1, 0)]));
    let seen = second.receives(1).await;
    assert_eq!((ranges(&seen), seen[0].owner.as_str()), (vec![(4, vec![5])], "second"));
    assert!(seen[0].when - stopped <= TTL / 3);
    second.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn keeps_lease_during_long_batch() {
    let fixture = Fixture::new(3);
    let mut first = fixture.run("first", [Step::Takes(TTL * 5)]);
    first.receives(1).await;
    let second = fixture.run("second", []);
    fixture.checkpoint_becomes(3).await;
    assert_eq!(first.delivered.borrow().len(), 1);
    assert_eq!(second.delivered.borrow().len(), 0);
    first.stopped().await;
    second.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn lost_lease_drops_batch_and_is_reacquired() {
    let fixture = Fixture::new(3);
    let mut running = fixture.run("mine", [Step::Takes(TTL * 1_000)]);
    running.receives(1).await;
    fixture.store.take_over(NAME, at(120));
    let taken = timeout(TTL / 2, running.in_flight.wait_for(|in_flight| *in_flight == (0, 1))).await.is_ok();
    assert!(taken);
    assert_eq!(fixture.checkpoint().await, 0);

    let seen = running.receives(2).await;
    assert_eq!(ranges(&seen[1..]), [(0, vec![1, 2, 3])]);
    assert!(seen[1].when - seen[0].when >= Duration::from_mins(2));
    fixture.checkpoint_becomes(3).await;
    running.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn rereads_checkpoint_that_another_moved() {
    let fixture = Fixture::new(6);
    let mut running = fixture.run("mine", [Step::Takes(FIRST_PAUSE), Step::Lost]);
    running.receives(1).await;
    fixture.store.set_checkpoint(NAME, 2);
    let seen = running.receives(3).await;
    assert_eq!(ranges(&seen), [(0, vec![1, 2, 3]), (2, vec![3, 4, 5]), (2, vec![3, 4, 5])]);
    assert_pauses(&pauses(&seen), &[FIRST_PAUSE * 2, FIRST_PAUSE * 2]);
    running.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn redelivers_after_checkpoint_went_back() {
    let fixture = Fixture::new(3);
    let mut running = fixture.run("mine", []);
    running.receives(1).await;
    fixture.checkpoint_becomes(3).await;
    // As after a crash of a server that had not written the last move to disk.
    fixture.store.set_checkpoint(NAME, 1);
    assert_eq!(ranges(&running.receives(2).await), [(0, vec![1, 2, 3]), (1, vec![2, 3])]);
    fixture.checkpoint_becomes(3).await;
    running.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn failed_batch_restarts_from_older_checkpoint() {
    let fixture = Fixture::new(4);
    let mut running = fixture.run("mine", [Step::Advance, Step::Fails]);
    running.receives(1).await;
    fixture.checkpoint_becomes(3).await;
    fixture.store.set_checkpoint(NAME, 1);
    assert_eq!(ranges(&running.receives(3).await)[2], (1, vec![2, 3, 4]));
    fixture.checkpoint_becomes(4).await;
    running.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn checkpoint_beyond_log_is_fatal() {
    let fixture = Fixture::new(2);
    fixture.store.set_checkpoint(NAME, 3);
    let ended = timeout(TTL, fixture.run("mine", []).task).await.unwrap().unwrap();
    assert_eq!(ended.unwrap_err().to_string(), "the checkpoint of follower is at 3, but the log ends at 2");
    let free = fixture.store.checkpoints().acquire(NAME, "other", at(0), TTL).await.unwrap();
    assert!(free.is_some(), "the lease was not released");
}

#[tokio::test(start_paused = true)]
async fn stop_finishes_batch_and_releases_lease() {
    let fixture = Fixture::new(6);
    let mut running = fixture.run("mine", [Step::Takes(TTL / 2)]);
    running.receives(1).await;
    let stopped = Instant::now();
    let seen = running.delivered.clone();
    running.stopped().await;
    assert_eq!(stopped.elapsed(), TTL / 2);
    assert_eq!(fixture.checkpoint().await, 3);
    assert_eq!(seen.borrow().len(), 1);
    let free = fixture.store.checkpoints().acquire(NAME, "other", at(15), TTL).await.unwrap();
    assert!(free.is_some(), "the lease was not released");
}

#[tokio::test(start_paused = true)]
async fn stop_abandons_batch_after_lease_ttl() {
    let fixture = Fixture::new(3);
    let mut running = fixture.run("mine", [Step::Takes(TTL * 1_000)]);
    running.receives(1).await;
    let stopped = Instant::now();
    running.stopped().await;
    assert_eq!(stopped.elapsed(), TTL);
    assert_eq!(fixture.checkpoint().await, 0);
}

#[tokio::test(start_paused = true)]
async fn stops_idle_or_failing_subscription_at_once() {
    for steps in [vec![], vec![Step::Fails, Step::Fails, Step::Fails]] {
        let fixture = Fixture::new(1);
        let mut running = fixture.run("mine", steps);
        running.receives(1).await;
        let standby = fixture.run("standby", []);
        sleep(FIRST_PAUSE / 2).await;
        let stopped = Instant::now();
        running.stopped().await;
        standby.stopped().await;
        assert_eq!(stopped.elapsed(), Duration::ZERO);
    }
}
