//! The suite: leases and checkpoints.
use std::sync::Arc;

use tokio::task::JoinSet;

use super::samples::{apex, append, at, requested};
use super::{PROJECTION, StoreUnderTest, TTL, hold, superseded, within};
use crate::{Append, Lag, LeaseError, Position};

fn lost(result: &Result<(), LeaseError>) {
    assert!(matches!(result, Err(LeaseError::Lost)), "{result:?}");
}

/// Until it expires; its owner can acquire it again, and other leases are free.
pub async fn lease_has_one_owner<S: StoreUnderTest>() {
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
        "acquiring again extends"
    );

    store.renew(&again, at(45), TTL).await.unwrap();
    assert_eq!(store.acquire(PROJECTION, "another", at(74), TTL).await.unwrap(), None, "renewing extends");
}

/// The previous owner has lost it.
pub async fn expired_lease_goes_to_another_with_higher_epoch<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let store = under_test.checkpoints();
    let (old, taken) = superseded(&under_test).await;
    assert_eq!(taken.owner, "another");
    assert!(taken.epoch > old.epoch);
    assert_eq!(store.acquire(PROJECTION, "suite", at(32), TTL).await.unwrap(), None);
    let back = store.acquire(PROJECTION, "suite", at(62), TTL).await.unwrap().unwrap();
    assert!(back.epoch > taken.epoch);
}

/// A release by the old owner does not free the lease of the new one.
pub async fn lost_lease_cannot_be_renewed_or_released<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let store = under_test.checkpoints();
    let (old, taken) = superseded(&under_test).await;
    lost(&store.renew(&old, at(32), TTL).await);
    store.release(&old).await.unwrap();
    assert_eq!(store.acquire(PROJECTION, "suite", at(33), TTL).await.unwrap(), None);
    store.renew(&taken, at(34), TTL).await.unwrap();
}

/// For the next owner, with a higher epoch; and it cannot be renewed.
pub async fn released_lease_is_free_at_once<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let store = under_test.checkpoints();
    let mine = hold(&under_test).await;
    store.release(&mine).await.unwrap();
    lost(&store.renew(&mine, at(1), TTL).await);
    let theirs = store.acquire(PROJECTION, "another", at(2), TTL).await.unwrap().unwrap();
    assert!(theirs.epoch > mine.epoch);
}

/// Many concurrent attempts.
pub async fn one_rival_acquires_lease<S: StoreUnderTest>() {
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

/// Each subscription has its own checkpoint, which begins at 0 and outlives the lease.
pub async fn checkpoint_moves_from_expected_position_only<S: StoreUnderTest>() {
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

/// An old owner cannot move it, even from the right position.
pub async fn checkpoint_moves_under_newest_lease_only<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let store = under_test.checkpoints();
    let (old, taken) = superseded(&under_test).await;
    lost(&store.advance(&old, Position(0), Position(5)).await);
    assert_eq!(store.checkpoint(PROJECTION).await.unwrap(), Position(0));
    store.advance(&taken, Position(0), Position(5)).await.unwrap();
    assert_eq!(store.checkpoint(PROJECTION).await.unwrap(), Position(5));
}

/// The oldest event after the checkpoint counts.
pub async fn lag_reports_count_and_oldest_event<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let store = under_test.checkpoints();
    let nothing = Lag { count: 0, since: None };
    assert_eq!(store.lag(PROJECTION).await.unwrap(), nothing);
    for version in 0..3_u32 {
        let second = i64::from(version) * 10;
        let event = append(&apex("acme.com"), version.into(), vec![requested(1, version + 1, second)]);
        under_test.events().append(Append { at: at(second), ..event }).await.unwrap();
    }
    assert_eq!(store.lag(PROJECTION).await.unwrap(), Lag { count: 3, since: Some(at(0)) });
    let lease = hold(&under_test).await;
    store.advance(&lease, Position(0), Position(1)).await.unwrap();
    assert_eq!(store.lag(PROJECTION).await.unwrap(), Lag { count: 2, since: Some(at(10)) });
    assert_eq!(store.lag("relay").await.unwrap(), Lag { count: 3, since: Some(at(0)) });
    store.advance(&lease, Position(1), Position(3)).await.unwrap();
    assert_eq!(store.lag(PROJECTION).await.unwrap(), nothing);
    // As after the restore of an old backup.
    store.advance(&lease, Position(3), Position(9)).await.unwrap();
    assert_eq!(store.lag(PROJECTION).await.unwrap(), nothing);
}
