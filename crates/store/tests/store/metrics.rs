//! Metrics of leases and lag, also while the store does not answer.
use std::{sync::Arc, time::Duration};

use deed_store::conformance::samples::{apex, append, at, requested};
use deed_store::{Append, Backlog, LeaseKeeper, LeaseMetrics, SubscriptionMetrics};
use prometheus::{Registry, TextEncoder};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::faulty::{Call, Fault, FaultyStore, RuntimeClock};

const TTL: Duration = Duration::from_secs(30);
const NAME: &str = "relay";

fn text(registry: &Registry) -> String {
    TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
}

/// A store whose events are of second 0, and the watched lag of a subscription that processes none.
struct WatchedLag {
    store: FaultyStore,
    metrics: SubscriptionMetrics,
}

impl WatchedLag {
    async fn start(events: u64) -> Self {
        let (store, registry) = (FaultyStore::new(), Registry::new());
        for version in 0..events {
            let event = append(&apex("acme.com"), version, vec![requested(1, 1, 0)]);
            store.append_now(Append { at: at(0), ..event });
        }
        let metrics = SubscriptionMetrics::register(&registry, NAME).unwrap();
        let watched = Self { store, metrics };
        let (tables, metrics) = (watched.store.checkpoints(), watched.metrics.clone());
        let clock = RuntimeClock::new();
        tokio::spawn(async move { metrics.watch(&*tables, &clock, NAME).await });
        // The first poll is immediate.
        sleep(Duration::from_millis(1)).await;
        watched
    }

    fn inject(&self, times: usize, fault: Fault) {
        self.store.inject(Call::Lag, std::iter::repeat_n(fault, times));
    }

    fn values(&self) -> (f64, i64) {
        #[expect(clippy::cast_possible_truncation, reason = "whole seconds are compared")]
        let age = self.metrics.lag.age() as i64;
        (self.metrics.lag.count(), age)
    }

    /// The values after more polls.
    async fn after(&self, polls: u32) -> (f64, i64) {
        sleep(Backlog::EVERY * polls).await;
        self.values()
    }
}

#[tokio::test(start_paused = true)]
async fn lag_grows_until_events_are_processed() {
    let watched = WatchedLag::start(2).await;
    assert_eq!(watched.values(), (2.0, 0));
    assert_eq!(watched.after(12).await, (2.0, 60));
    watched.store.set_checkpoint(NAME, 2);
    assert_eq!(watched.after(1).await, (0.0, 0));
}

#[tokio::test(start_paused = true)]
async fn unavailable_store_makes_lag_unknown() {
    for fault in [Fault::Refuse, Fault::Hang] {
        // A hanging poll is abandoned after the time of one poll.
        let times = if fault == Fault::Hang { 6 } else { 12 };
        let watched = WatchedLag::start(0).await;
        assert_eq!(watched.values(), (0.0, 0));
        watched.inject(times, fault);
        let (count, age) = watched.after(12).await;
        assert!(count.is_nan(), "{fault:?}: {count}");
        assert_eq!(age, 60, "{fault:?}: an event may have come since the last answer");
        assert_eq!(watched.after(1).await, (0.0, 0), "{fault:?}");

        let watched = WatchedLag::start(1).await;
        watched.after(6).await;
        watched.inject(times, fault);
        let (count, age) = watched.after(12).await;
        assert!(count.is_nan(), "{fault:?}: {count}");
        assert_eq!(age, 90, "{fault:?}: the known event counts as waiting");
    }
}

#[tokio::test(start_paused = true)]
async fn lease_metrics_count_each_change() {
    let (store, clock, registry) = (FaultyStore::new(), Arc::new(RuntimeClock::new()), Registry::new());
    let metrics = LeaseMetrics::register(&registry, NAME).unwrap();
    let values = || {
        let text = text(&registry);
        let figures = ["held{lease=\"relay\"}", "changes_total{change=\"gained\",lease=\"relay\"}"]
            .into_iter()
            .chain(["changes_total{change=\"lost\",lease=\"relay\"}"])
            .map(|series| {
                let line = text.lines().find_map(|line| line.strip_prefix(&format!("deed_lease_{series} ")));
                line.unwrap_or_else(|| panic!("{series} is missing in {text}")).parse::<u32>().unwrap()
            });
        <[u32; 3]>::try_from(figures.collect::<Vec<_>>()).unwrap()
    };
    assert_eq!(values(), [0, 0, 0]);
    let stop = CancellationToken::new();
    let take = async || {
        let keeper =
            LeaseKeeper::acquire(store.checkpoints(), clock.clone(), NAME, "mine", TTL, &metrics, &stop)
                .await;
        keeper.unwrap()
    };
    let mine = take().await;
    assert_eq!(values(), [1, 1, 0]);
    mine.release().await;
    assert_eq!(values(), [0, 1, 1]);
    let mine = take().await;
    store.take_over(NAME, at(1_000_000));
    mine.lost().await;
    drop(mine);
    assert_eq!(values(), [0, 2, 2]);
}
