//! The lease keeper.
use std::{iter::repeat_n, sync::Arc, time::Duration};

use deed_store::conformance::samples::at;
use deed_store::{Checkpoints, LeaseKeeper, LeaseMetrics};
use prometheus::Registry;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::faulty::{Call, Fault, FaultyStore, RuntimeClock};

const TTL: Duration = Duration::from_secs(30);
const NAME: &str = "dispatcher";

fn metrics() -> LeaseMetrics {
    LeaseMetrics::register(&Registry::new(), NAME).unwrap()
}

async fn keeper(store: &FaultyStore, clock: &Arc<RuntimeClock>, owner: &str) -> LeaseKeeper {
    let stop = CancellationToken::new();
    LeaseKeeper::acquire(store.checkpoints(), clock.clone(), NAME, owner, TTL, &metrics(), &stop)
        .await
        .unwrap()
}

fn start() -> (FaultyStore, Arc<RuntimeClock>) {
    (FaultyStore::new(), Arc::new(RuntimeClock::new()))
}

#[tokio::test(start_paused = true)]
async fn keeps_lease_until_released() {
    let (store, clock) = start();
    let mine = keeper(&store, &clock, "mine").await;
    sleep(TTL * 20).await;
    assert!(!mine.is_lost());
    let now = at(i64::try_from(TTL.as_secs() * 20).unwrap());
    assert_eq!(store.checkpoints().acquire(NAME, "other", now, TTL).await.unwrap(), None);
    store.checkpoints().renew(mine.lease(), now, TTL).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn standby_acquires_released_lease() {
    let (store, clock) = start();
    let mine = keeper(&store, &clock, "mine").await;
    let epoch = mine.lease().epoch;
    let standby = tokio::spawn({
        let (store, clock) = (store.clone(), clock.clone());
        async move { keeper(&store, &clock, "standby").await }
    });
    sleep(TTL * 5).await;
    assert!(!standby.is_finished());
    mine.release().await;
    let released = Instant::now();
    let theirs = standby.await.unwrap();
    assert!(released.elapsed() <= TTL / 3, "{:?}", released.elapsed());
    assert!(theirs.lease().epoch > epoch);
    assert_eq!(theirs.lease().owner, "standby");
}

#[tokio::test(start_paused = true)]
async fn dropped_lease_expires() {
    let (store, clock) = start();
    let mine = keeper(&store, &clock, "mine").await;
    sleep(TTL * 2).await;
    drop(mine);
    let dropped = Instant::now();
    let theirs = keeper(&store, &clock, "standby").await;
    assert!(dropped.elapsed() <= TTL * 4 / 3, "{:?}", dropped.elapsed());
    theirs.release().await;
}

#[tokio::test(start_paused = true)]
async fn lost_lease_is_not_released() {
    let (store, clock) = start();
    let mine = keeper(&store, &clock, "mine").await;
    store.take_over(NAME, at(3_600));
    timeout(TTL / 2, mine.lost()).await.unwrap();
    assert!(mine.is_lost());
    mine.release().await;
    assert_eq!(store.checkpoints().acquire(NAME, "mine", at(20), TTL).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn keeps_lease_through_short_outage() {
    let (store, clock) = start();
    let mine = keeper(&store, &clock, "mine").await;
    store.inject(Call::Renew, [Fault::Refuse, Fault::Hang, Fault::Refuse]);
    sleep(TTL * 3).await;
    assert!(!mine.is_lost());
    assert_eq!(store.checkpoints().acquire(NAME, "other", at(90), TTL).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn loses_lease_before_it_expires() {
    for fault in [Fault::Refuse, Fault::Hang] {
        let (store, clock) = start();
        let (mine, began) = (keeper(&store, &clock, "mine").await, Instant::now());
        store.inject(Call::Renew, repeat_n(fault, 100));
        mine.lost().await;
        assert!(began.elapsed() <= TTL, "{fault:?}: {:?}", began.elapsed());
        assert!(began.elapsed() >= TTL * 2 / 3, "{fault:?}: {:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn retries_acquire_after_outage() {
    let (store, clock) = start();
    store.inject(Call::Acquire, [Fault::Refuse, Fault::Hang]);
    let began = Instant::now();
    let mine = keeper(&store, &clock, "mine").await;
    assert_eq!(began.elapsed(), TTL);
    assert!(!mine.is_lost());
}

#[tokio::test(start_paused = true)]
async fn stop_ends_the_wait_for_a_lease() {
    let (store, clock) = start();
    let _mine = keeper(&store, &clock, "mine").await;
    let stop = CancellationToken::new();
    let waiting = tokio::spawn({
        let (store, clock, stop) = (store.clone(), clock.clone(), stop.clone());
        async move {
            LeaseKeeper::acquire(store.checkpoints(), clock, NAME, "standby", TTL, &metrics(), &stop)
                .await
                .is_none()
        }
    });
    sleep(TTL * 2).await;
    assert!(!waiting.is_finished());
    stop.cancel();
    assert!(waiting.await.unwrap());
}
