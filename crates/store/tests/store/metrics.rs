//! What is told of leases and lags, while all is well and while nobody answers.
use std::{sync::Arc, time::Duration};

use deed_store::conformance::samples::{apex, append, at, requested};
use deed_store::{Append, Backlog, LeaseKeeper, LeaseMetrics, SubscriptionMetrics};
use prometheus::{Registry, TextEncoder};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::fake::{Call, Fault, Memory, RuntimeClock};

const TTL: Duration = Duration::from_secs(30);
const NAME: &str = "relay";

fn text(registry: &Registry) -> String {
    TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
}

/// A store whose log has an event of second 0, and the lag of a subscription that passes none.
struct Behind {
    store: Memory,
    metrics: SubscriptionMetrics,
}

impl Behind {
    async fn start(events: u64) -> Self {
        let (store, registry) = (Memory::new(), Registry::new());
        for version in 0..events {
            let event = append(&apex("acme.com"), version, vec![requested(1, 1, 0)]);
            store.append_now(Append { at: at(0), ..event });
        }
        let metrics = SubscriptionMetrics::register(&registry, NAME).unwrap();
        let behind = Self { store, metrics };
        let (tables, watched) = (behind.store.tables(), behind.metrics.clone());
        let clock = RuntimeClock::new();
        tokio::spawn(async move { watched.watch(&*tables, &clock, NAME).await });
        // The first question is asked at once.
        sleep(Duration::from_millis(1)).await;
        behind
    }

    fn breaks(&self, times: usize, fault: Fault) {
        self.store.breaks(Call::Behind, std::iter::repeat_n(fault, times));
    }

    fn told(&self) -> (f64, i64) {
        #[expect(clippy::cast_possible_truncation, reason = "whole seconds are compared")]
        let age = self.metrics.lag.age() as i64;
        (self.metrics.lag.count(), age)
    }

    /// After so many more questions.
    async fn after(&self, questions: u32) -> (f64, i64) {
        sleep(Backlog::EVERY * questions).await;
        self.told()
    }
}

#[tokio::test(start_paused = true)]
async fn a_lag_grows_older_until_it_is_gone() {
    let behind = Behind::start(2).await;
    assert_eq!(behind.told(), (2.0, 0));
    assert_eq!(behind.after(12).await, (2.0, 60));
    behind.store.place_checkpoint(NAME, 2);
    assert_eq!(behind.after(1).await, (0.0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_leaves_no_old_figures_behind() {
    for fault in [Fault::Refuse, Fault::Hang] {
        // One that hangs takes the time of a question to be given up.
        let times = if fault == Fault::Hang { 6 } else { 12 };
        let behind = Behind::start(0).await;
        assert_eq!(behind.told(), (0.0, 0));
        behind.breaks(times, fault);
        let (count, age) = behind.after(12).await;
        assert!(count.is_nan(), "{fault:?}: {count}");
        assert_eq!(age, 60, "{fault:?}: nobody knows what has come since the last answer");
        assert_eq!(behind.after(1).await, (0.0, 0), "{fault:?}");

        let behind = Behind::start(1).await;
        behind.after(6).await;
        behind.breaks(times, fault);
        let (count, age) = behind.after(12).await;
        assert!(count.is_nan(), "{fault:?}: {count}");
        assert_eq!(age, 90, "{fault:?}: what waited before waits still, for all that is known");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_told_of_while_it_is_held_and_each_change_counts() {
    let (store, clock, registry) = (Memory::new(), Arc::new(RuntimeClock::new()), Registry::new());
    let metrics = LeaseMetrics::register(&registry, NAME).unwrap();
    let told = || {
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
    assert_eq!(told(), [0, 0, 0]);
    let stop = CancellationToken::new();
    let take = async || {
        let keeper =
            LeaseKeeper::acquire(store.tables(), clock.clone(), NAME, "mine", TTL, &metrics, &stop).await;
        keeper.unwrap()
    };
    let mine = take().await;
    assert_eq!(told(), [1, 1, 0]);
    mine.release().await;
    assert_eq!(told(), [0, 1, 1]);
    let mine = take().await;
    store.usurp(NAME, at(1_000_000));
    mine.lost().await;
    drop(mine);
    assert_eq!(told(), [0, 2, 2]);
}
