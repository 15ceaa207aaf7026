//! Running a subscription.
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

use crate::fake::{Call, Fault, Memory, RuntimeClock};

const NAME: &str = "follower";
const TTL: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const BREATH: Duration = Duration::from_millis(5);

/// What the subscriber does with a batch; `Done` when nothing else is planned.
enum Step {
    Done,
    DoneUpTo(u64),
    DoneByItself,
    Takes(Duration),
    Fails,
    Lost,
}

/// A batch as the subscriber saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    when: Instant,
    owner: String,
    from: u64,
    positions: Vec<u64>,
}

struct Follower {
    store: Memory,
    steps: VecDeque<Step>,
    seen: watch::Sender<Vec<Seen>>,
    /// Batches in hand now, and batches that were taken out of hand.
    in_hand: watch::Sender<(u32, u32)>,
}

struct InHand(watch::Sender<(u32, u32)>);

impl Drop for InHand {
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
        self.in_hand.send_modify(|(now, _)| {
            *now += 1;
            assert_eq!(*now, 1, "two batches are in hand");
        });
        let _in_hand = InHand(self.in_hand.clone());
        assert_eq!(batch.events.last().unwrap().position, batch.to);
        let seen = Seen {
            when: Instant::now(),
            owner: batch.lease.owner.clone(),
            from: batch.from.0,
            positions: batch.events.iter().map(|event| event.position.0).collect(),
        };
        self.seen.send_modify(|all| all.push(seen));
        match self.steps.pop_front().unwrap_or(Step::Done) {
            Step::Done => Ok(Progress::Advance),
            Step::DoneUpTo(part) => Ok(Progress::AdvanceTo(Position(part))),
            Step::DoneByItself => {
                self.store.tables().advance(batch.lease, batch.from, batch.to).await.unwrap();
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
    seen: watch::Receiver<Vec<Seen>>,
    in_hand: watch::Receiver<(u32, u32)>,
}

struct Setting {
    store: Memory,
    clock: Arc<RuntimeClock>,
}

impl Setting {
    fn new(events: u64) -> Self {
        let setting = Self { store: Memory::new(), clock: Arc::new(RuntimeClock::new()) };
        for version in 0..events {
            setting.store.append_now(append(&apex("acme.com"), version, vec![requested(1, 1, 0)]));
        }
        setting
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
            seen: watch::Sender::default(),
            in_hand: watch::Sender::default(),
        };
        let (seen, in_hand, stop) =
            (follower.seen.subscribe(), follower.in_hand.subscribe(), CancellationToken::new());
        let (store, clock, stopping) = (self.store.clone(), self.clock.clone(), stop.clone());
        let task = tokio::spawn(async move {
            let lease = LeaseMetrics::register(&Registry::new(), NAME).unwrap();
            let (log, tables) = (Arc::new(store.clone()), store.tables());
            run_subscription(log, tables, clock, &mut follower, &config, &lease, stopping).await
        });
        Running { task, stop, seen, in_hand }
    }

    async fn checkpoint(&self) -> u64 {
        self.store.tables().checkpoint(NAME).await.unwrap().0
    }

    async fn checkpoint_becomes(&self, expected: u64) {
        let moved = timeout(TTL * 10, async {
            while self.checkpoint().await != expected {
                sleep(Duration::from_millis(10)).await;
            }
        });
        moved.await.unwrap_or_else(|_| panic!("the checkpoint did not come to {expected}"));
    }
}

impl Running {
    async fn sees(&mut self, batches: usize) -> Vec<Seen> {
        let seen = timeout(TTL * 10, self.seen.wait_for(|seen| seen.len() >= batches));
        seen.await.unwrap().unwrap()[..batches].to_vec()
    }

    async fn stopped(self) {
        self.stop.cancel();
        timeout(TTL * 10, self.task).await.unwrap().unwrap().unwrap();
    }
}

fn places(seen: &[Seen]) -> Vec<(u64, Vec<u64>)> {
    seen.iter().map(|batch| (batch.from, batch.positions.clone())).collect()
}

fn pauses(seen: &[Seen]) -> Vec<Duration> {
    seen.windows(2).map(|two| two[1].when - two[0].when).collect()
}

#[tokio::test(start_paused = true)]
async fn the_log_is_followed_from_the_checkpoint_on_in_batches() {
    let setting = Setting::new(8);
    setting.store.place_checkpoint(NAME, 2);
    let mut running = setting.run("mine", []);
    let seen = running.sees(2).await;
    assert_eq!(places(&seen), [(2, vec![3, 4, 5]), (5, vec![6, 7, 8])]);
    setting.checkpoint_becomes(8).await;
    running.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn what_follows_closely_comes_in_one_batch_and_a_full_batch_is_followed_at_once() {
    let setting = Setting::new(1);
    let mut running = setting.run("mine", []);
    let first = running.sees(1).await[0].when;
    for version in 1..=2 {
        sleep(BREATH / 5).await;
        setting.store.append_now(append(&apex("acme.com"), version, vec![requested(1, 1, 0)]));
    }
    let seen = running.sees(2).await;
    assert_eq!(places(&seen), [(0, vec![1]), (1, vec![2, 3])]);
    // The clock counts whole milliseconds and never too few of them.
    assert!((BREATH..=BREATH + Duration::from_millis(1)).contains(&(seen[1].when - first)), "{seen:?}");

    sleep(BREATH * 2).await;
    for version in 3..8 {
        setting.store.append_now(append(&apex("acme.com"), version, vec![requested(1, 1, 0)]));
    }
    let seen = running.sees(4).await;
    assert_eq!(places(&seen)[2..], [(3, vec![4, 5, 6]), (6, vec![7, 8])]);
    assert_eq!(seen[2].when, seen[3].when);
    running.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn a_hint_wakes_the_subscription_and_without_one_it_looks_by_itself() {
    let setting = Setting::new(1);
    let mut running = setting.run("mine", []);
    running.sees(1).await;
    setting.checkpoint_becomes(1).await;
    sleep(BREATH * 2).await;

    let told = Instant::now();
    setting.store.append_now(append(&apex("acme.com"), 1, vec![requested(1, 1, 0)]));
    assert_eq!(running.sees(2).await[1].when, told);
    setting.checkpoint_becomes(2).await;

    let untold = Instant::now();
    setting.store.append_silently(append(&apex("acme.com"), 2, vec![requested(1, 1, 0)]));
    let waited = running.sees(3).await[2].when - untold;
    assert!(waited <= POLL, "{waited:?}");
    running.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_a_batch_that_was_done_in_part_comes_again() {
    let setting = Setting::new(4);
    let mut running = setting.run("mine", [Step::DoneUpTo(2)]);
    assert_eq!(places(&running.sees(2).await), [(0, vec![1, 2, 3]), (2, vec![3, 4])]);
    setting.checkpoint_becomes(4).await;
    running.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn a_place_outside_of_the_batch_is_no_progress() {
    let setting = Setting::new(4);
    let mut running = setting.run("mine", [Step::DoneUpTo(4), Step::DoneUpTo(0)]);
    let seen = running.sees(3).await;
    assert_eq!(places(&seen), [(0, vec![1, 2, 3]), (0, vec![1, 2, 3]), (0, vec![1, 2, 3])]);
    assert_eq!(pauses(&seen), [FIRST_PAUSE, FIRST_PAUSE * 2]);
    running.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_the_subscriber_moved_is_left_alone() {
    let setting = Setting::new(5);
    let mut running = setting.run("mine", [Step::DoneByItself, Step::DoneByItself]);
    assert_eq!(places(&running.sees(2).await), [(0, vec![1, 2, 3]), (3, vec![4, 5])]);
    setting.checkpoint_becomes(5).await;
    sleep(TTL).await;
    assert_eq!(running.seen.borrow().len(), 2);
    running.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_batch_comes_again_after_pauses_that_double_up_to_a_limit() {
    let setting = Setting::new(7);
    let failing = || std::iter::repeat_with(|| Step::Fails);
    let steps = failing().take(6).chain([Step::Done, Step::Fails]);
    let mut running = setting.run("mine", steps);
    let seen = running.sees(9).await;
    assert!(places(&seen[..7]).iter().all(|place| *place == (0, vec![1, 2, 3])));
    let expected = [1, 2, 4, 8, 8, 8, 0, 1].map(|times| FIRST_PAUSE * times);
    assert_eq!(pauses(&seen), expected);
    assert_eq!(places(&seen[7..]), [(3, vec![4, 5, 6]), (3, vec![4, 5, 6])]);
    setting.checkpoint_becomes(7).await;
    running.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn a_gap_in_the_log_is_not_handed_over() {
    let setting = Setting::new(5);
    setting.store.breaks(Call::ReadLog, repeat_n(Fault::Gap, 3));
    let (began, mut running) = (Instant::now(), setting.run("mine", []));
    let seen = running.sees(2).await;
    assert_eq!(places(&seen), [(0, vec![1, 2, 3]), (3, vec![4, 5])]);
    assert_eq!(seen[0].when - began, FIRST_PAUSE * 7);
    running.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn a_log_that_cannot_be_read_is_read_again() {
    let setting = Setting::new(2);
    setting.store.breaks(Call::ReadLog, [Fault::Refuse, Fault::Hang, Fault::Refuse]);
    let mut running = setting.run("mine", []);
    assert_eq!(places(&running.sees(1).await), [(0, vec![1, 2])]);
    running.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn before_an_event_of_a_newer_version_it_stops_and_lets_a_standby_go_on() {
    let setting = Setting::new(3);
    setting.store.breaks(Call::ReadLog, [Fault::Newer]);
    let older = setting.run("older", []);
    let begun = Instant::now();
    sleep(Duration::from_millis(10)).await;
    let mut newer = setting.run("newer", []);
    let seen = newer.sees(1).await;
    assert_eq!((places(&seen), seen[0].owner.as_str()), (vec![(0, vec![1, 2, 3])], "newer"));
    assert!(seen[0].when - begun < TTL, "nobody waited for the lease to run out");
    assert_eq!(older.seen.borrow().len(), 0, "nothing is skipped");
    newer.stopped().await;
    older.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn an_event_of_a_newer_version_is_tried_again_after_a_while_and_stopping_does_not_wait() {
    let setting = Setting::new(3);
    setting.store.breaks(Call::ReadLog, [Fault::Newer]);
    let mut running = setting.run("mine", []);
    let begun = Instant::now();
    assert_eq!(places(&running.sees(1).await), [(0, vec![1, 2, 3])]);
    assert!(begun.elapsed() >= TTL);
    running.stopped().await;

    setting.store.breaks(Call::ReadLog, [Fault::Newer]);
    let running = setting.run("mine", []);
    sleep(Duration::from_millis(10)).await;
    let told = Instant::now();
    running.stopped().await;
    assert_eq!(told.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_not_done_twice_because_an_answer_of_the_store_got_lost() {
    let setting = Setting::new(3);
    setting.store.breaks(Call::Advance, [Fault::LoseAnswer, Fault::Refuse]);
    let mut running = setting.run("mine", []);
    running.sees(1).await;
    setting.checkpoint_becomes(3).await;
    sleep(TTL).await;
    setting.store.breaks(Call::Advance, [Fault::Refuse, Fault::Refuse]);
    setting.store.append_now(append(&apex("acme.com"), 3, vec![requested(1, 1, 0)]));
    setting.checkpoint_becomes(4).await;
    assert_eq!(places(&running.seen.borrow()), [(0, vec![1, 2, 3]), (3, vec![4])]);
    running.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn a_standby_goes_on_where_the_first_was_when_it_stopped() {
    let setting = Setting::new(3);
    let mut first = setting.run("first", []);
    first.sees(1).await;
    setting.checkpoint_becomes(3).await;
    let mut second = setting.run("second", []);
    setting.store.append_now(append(&apex("acme.com"), 3, vec![requested(1, 1, 0)]));
    first.sees(2).await;
    setting.checkpoint_becomes(4).await;
    sleep(TTL * 3).await;
    assert_eq!(second.seen.borrow().len(), 0);

    first.stopped().await;
    let stopped = Instant::now();
    setting.store.append_now(append(&apex("acme.com"), 4, vec![requested(1, 1, 0)]));
    let seen = second.sees(1).await;
    assert_eq!((places(&seen), seen[0].owner.as_str()), (vec![(4, vec![5])], "second"));
    assert!(seen[0].when - stopped <= TTL / 3);
    second.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn the_lease_is_kept_while_a_batch_takes_long() {
    let setting = Setting::new(3);
    let mut first = setting.run("first", [Step::Takes(TTL * 5)]);
    first.sees(1).await;
    let second = setting.run("second", []);
    setting.checkpoint_becomes(3).await;
    assert_eq!(first.seen.borrow().len(), 1);
    assert_eq!(second.seen.borrow().len(), 0);
    first.stopped().await;
    second.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_lease_takes_the_batch_out_of_hand_and_is_asked_for_anew() {
    let setting = Setting::new(3);
    let mut running = setting.run("mine", [Step::Takes(TTL * 1_000)]);
    running.sees(1).await;
    setting.store.usurp(NAME, at(120));
    let taken = timeout(TTL / 2, running.in_hand.wait_for(|in_hand| *in_hand == (0, 1))).await.is_ok();
    assert!(taken);
    assert_eq!(setting.checkpoint().await, 0);

    let seen = running.sees(2).await;
    assert_eq!(places(&seen[1..]), [(0, vec![1, 2, 3])]);
    assert!(seen[1].when - seen[0].when >= Duration::from_mins(2));
    setting.checkpoint_becomes(3).await;
    running.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_moved_behind_the_subscription_is_read_anew() {
    let setting = Setting::new(6);
    let mut running = setting.run("mine", [Step::Takes(FIRST_PAUSE), Step::Lost]);
    running.sees(1).await;
    setting.store.place_checkpoint(NAME, 2);
    let seen = running.sees(3).await;
    assert_eq!(places(&seen), [(0, vec![1, 2, 3]), (2, vec![3, 4, 5]), (2, vec![3, 4, 5])]);
    assert_eq!(pauses(&seen), [FIRST_PAUSE * 2, FIRST_PAUSE * 2]);
    running.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_went_back_in_a_silence_is_made_good_without_anything_new() {
    let setting = Setting::new(3);
    let mut running = setting.run("mine", []);
    running.sees(1).await;
    setting.checkpoint_becomes(3).await;
    // As after a crash of a server that had not brought the last step to the disk.
    setting.store.place_checkpoint(NAME, 1);
    assert_eq!(places(&running.sees(2).await), [(0, vec![1, 2, 3]), (1, vec![2, 3])]);
    setting.checkpoint_becomes(3).await;
    running.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_fails_because_the_store_went_back_is_begun_anew_from_there() {
    let setting = Setting::new(4);
    let mut running = setting.run("mine", [Step::Done, Step::Fails]);
    running.sees(1).await;
    setting.checkpoint_becomes(3).await;
    setting.store.place_checkpoint(NAME, 1);
    assert_eq!(places(&running.sees(3).await)[2], (1, vec![2, 3, 4]));
    setting.checkpoint_becomes(4).await;
    running.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_beyond_the_log_is_fatal() {
    let setting = Setting::new(2);
    setting.store.place_checkpoint(NAME, 3);
    let ended = timeout(TTL, setting.run("mine", []).task).await.unwrap().unwrap();
    assert_eq!(ended.unwrap_err().to_string(), "the checkpoint of follower is at 3, but the log ends at 2");
    let free = setting.store.tables().acquire(NAME, "other", at(0), TTL).await.unwrap();
    assert!(free.is_some(), "the lease was not released");
}

#[tokio::test(start_paused = true)]
async fn stopping_finishes_what_is_in_hand_and_releases_the_lease() {
    let setting = Setting::new(6);
    let mut running = setting.run("mine", [Step::Takes(TTL / 2)]);
    running.sees(1).await;
    let asked = Instant::now();
    let seen = running.seen.clone();
    running.stopped().await;
    assert_eq!(asked.elapsed(), TTL / 2);
    assert_eq!(setting.checkpoint().await, 3);
    assert_eq!(seen.borrow().len(), 1);
    let free = setting.store.tables().acquire(NAME, "other", at(15), TTL).await.unwrap();
    assert!(free.is_some(), "the lease was not released");
}

#[tokio::test(start_paused = true)]
async fn stopping_does_not_wait_for_ever() {
    let setting = Setting::new(3);
    let mut running = setting.run("mine", [Step::Takes(TTL * 1_000)]);
    running.sees(1).await;
    let asked = Instant::now();
    running.stopped().await;
    assert_eq!(asked.elapsed(), TTL);
    assert_eq!(setting.checkpoint().await, 0);
}

#[tokio::test(start_paused = true)]
async fn stopping_an_idle_or_failing_subscription_is_immediate() {
    for steps in [vec![], vec![Step::Fails, Step::Fails, Step::Fails]] {
        let setting = Setting::new(1);
        let mut running = setting.run("mine", steps);
        running.sees(1).await;
        let standby = setting.run("standby", []);
        sleep(FIRST_PAUSE / 2).await;
        let asked = Instant::now();
        running.stopped().await;
        standby.stopped().await;
        assert_eq!(asked.elapsed(), Duration::ZERO);
    }
}
