//! The suite: leases and checkpoints.
use std::sync::Arc;

use tokio::task::JoinSet;

use super::samples::{apex, append, at, requested};
use super::{PROJECTION, StoreUnderTest, TTL, hold, superseded, within};
use crate::{Append, Behind, LeaseError, Position};

fn lost(result: &Result<(), LeaseError>) {
    assert!(matches!(result, Err(LeaseError::Lost)), "{result:?}");
}

/// Until it runs out; its holder may ask again, and other leases are free.
pub async fn a_lease_has_one_holder<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let store = under_test.checkpoints();
    let mine = hold(&under_test).await;
    assert_eq!((mine.name.as_str(), mine.owner.as_str()), (PROJECTION, "suite"));
    assert_eq!(store.acquire(PROJECTION, "another", at(1), TTL).await.unwrap(), None);
    assert_eq!(store.acquire(PROJECTION, "another", at(29), TTL).await.unwrap(), None);
    let relay = store.acquire("relay", "another", at(1), TTL).await.unwrap().unwrap();
    assert_eq!((relay.name.as_str(), relay.owner.as_str()), ("relay", "another"));

    let again = store.acquire(PROJECTION, "suite", at(20), TTL).await.unwrap().unwrap();
    assert!(again.epoch >= mine.epoch);
    assert_eq!(
        store.acquire(PROJECTION, "another", at(49), TTL).await.unwrap(),
        None,
        "asking again prolongs"
    );

    store.renew(&again, at(45), TTL).await.unwrap();
    assert_eq!(store.acquire(PROJECTION, "another", at(74), TTL).await.unwrap(), None, "renewing prolongs");
}

/// And the one before it is not the holder any more.
pub async fn a_lease_that_ran_out_goes_to_another_with_a_higher_epoch<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let store = under_test.checkpoints();
    let (old, taken) = superseded(&under_test).await;
    assert_eq!(taken.owner, "another");
    assert!(taken.epoch > old.epoch);
    assert_eq!(store.acquire(PROJECTION, "suite", at(32), TTL).await.unwrap(), None);
    let back = store.acquire(PROJECTION, "suite", at(62), TTL).await.unwrap().unwrap();
    assert!(back.epoch > taken.epoch);
}

/// Nor does the old holder's farewell free the new one's lease.
pub async fn a_lease_that_was_taken_over_cannot_be_renewed_or_released<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let store = under_test.checkpoints();
    let (old, taken) = superseded(&under_test).await;
    lost(&store.renew(&old, at(32), TTL).await);
    store.release(&old).await.unwrap();
    assert_eq!(store.acquire(PROJECTION, "suite", at(33), TTL).await.unwrap(), None);
    store.renew(&taken, at(34), TTL).await.unwrap();
}

/// For whoever asks next, with a higher epoch than ever before; and it cannot be renewed.
pub async fn a_released_lease_is_free_at_once<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let store = under_test.checkpoints();
    let mine = hold(&under_test).await;
    store.release(&mine).await.unwrap();
    lost(&store.renew(&mine, at(1), TTL).await);
    let theirs = store.acquire(PROJECTION, "another", at(2), TTL).await.unwrap().unwrap();
    assert!(theirs.epoch > mine.epoch);
}

/// However many ask at once.
pub async fn one_of_many_rivals_gets_a_lease<S: StoreUnderTest>() {
    let under_test = S::start().await;
    for round in 0..5 {
        let mut rivals = JoinSet::new();
        for rival in 0..8 {
            let store = Arc::clone(&under_test.checkpoints());
            let (name, owner) = (format!("round-{round}"), format!("rival-{rival}"));
            rivals.spawn(async move { store.acquire(&name, &owner, at(0), TTL).await.unwrap() });
        }
        let mut won = vec![];
        while let Some(lease) = within(rivals.join_next()).await {
            won.extend(lease.unwrap());
        }
        assert_eq!(won.len(), 1, "{won:?}");
    }
}

/// Each subscription has one of its own, which begins at 0 and outlives its lease.
pub async fn a_checkpoint_moves_from_where_it_is<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let store = under_test.checkpoints();
    assert_eq!(store.checkpoint(PROJECTION).await.unwrap(), Position(0));
    let lease = hold(&under_test).await;
    assert_eq!(store.checkpoint(PROJECTION).await.unwrap(), Position(0));
    store.advance(&lease, Position(0), Position(5)).await.unwrap();
    for from in [0, 4, 6] {
        lost(&store.advance(&lease, Position(from), Position(9)).await);
    }
    assert_eq!(store.checkpoint(PROJECTION).await.unwrap(), Position(5));
    store.advance(&lease, Position(5), Position(7)).await.unwrap();
    assert_eq!(store.checkpoint(PROJECTION).await.unwrap(), Position(7));
    assert_eq!(store.checkpoint("relay").await.unwrap(), Position(0));
    store.release(&lease).await.unwrap();
    let next = store.acquire(PROJECTION, "another", at(1), TTL).await.unwrap().unwrap();
    assert_eq!(store.checkpoint(PROJECTION).await.unwrap(), Position(7));
    store.advance(&next, Position(7), Position(8)).await.unwrap();
}

/// Whoever was replaced cannot move it, from the right place either.
pub async fn a_checkpoint_moves_only_under_the_newest_lease<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let store = under_test.checkpoints();
    let (old, taken) = superseded(&under_test).await;
    lost(&store.advance(&old, Position(0), Position(5)).await);
    assert_eq!(store.checkpoint(PROJECTION).await.unwrap(), Position(0));
    store.advance(&taken, Position(0), Position(5)).await.unwrap();
    assert_eq!(store.checkpoint(PROJECTION).await.unwrap(), Position(5));
}

/// Of the events after the checkpoint the oldest counts, whatever lies before it.
pub async fn a_lag_tells_what_is_left_and_since_when<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let store = under_test.checkpoints();
    let nothing = Behind { count: 0, since: None };
    assert_eq!(store.behind(PROJECTION).await.unwrap(), nothing);
    for version in 0..3_u32 {
        let second = i64::from(version) * 10;
        let event = append(&apex("acme.com"), version.into(), vec![requested(1, version + 1, second)]);
        under_test.events().append(Append { at: at(second), ..event }).await.unwrap();
    }
    assert_eq!(store.behind(PROJECTION).await.unwrap(), Behind { count: 3, since: Some(at(0)) });
    let lease = hold(&under_test).await;
    store.advance(&lease, Position(0), Position(1)).await.unwrap();
    assert_eq!(store.behind(PROJECTION).await.unwrap(), Behind { count: 2, since: Some(at(10)) });
    assert_eq!(store.behind("relay").await.unwrap(), Behind { count: 3, since: Some(at(0)) });
    store.advance(&lease, Position(1), Position(3)).await.unwrap();
    assert_eq!(store.behind(PROJECTION).await.unwrap(), nothing);
    // As after an old backup was restored.
    store.advance(&lease, Position(3), Position(9)).await.unwrap();
    assert_eq!(store.behind(PROJECTION).await.unwrap(), nothing);
}
