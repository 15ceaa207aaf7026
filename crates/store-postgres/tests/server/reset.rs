//! Resetting the read models, and replacing unexpected rows.
use std::time::Duration;

use deed_store::conformance::samples::{apex, at, by_workspace, changes, initiated, requested};
use deed_store::{Changes, Checkpoints, DueWork, Lease, Position, ReadModels};
use deed_store_postgres::PostgresStore;

use crate::given::{Given, run, text};

async fn hold(store: &PostgresStore) -> Lease {
    store.acquire("projection", "test", at(0), Duration::from_secs(30)).await.unwrap().unwrap()
}

fn acme() -> Changes {
    changes(&apex("acme.com"), &[initiated(1, "acme.com", by_workspace(1), 0), requested(1, 1, 1)])
}

async fn waiting(store: &PostgresStore) -> u64 {
    store.overdue(at(0)).await.unwrap().waiting
}

#[tokio::test]
async fn reset_leaves_no_dead_rows() {
    let given = Given::empty().await.migrated().await;
    let store = given.store().await;
    let lease = hold(&store).await;
    store.apply(&lease, Position(0), Position(2), acme()).await.unwrap();
    assert_eq!(waiting(&store).await, 2);
    store.reset(&lease).await.unwrap();
    assert_eq!(waiting(&store).await, 0);
    let mut raw = given.raw().await;
    for table in ["ownerships", "claims", "due_work", "apps"] {
        let pages = format!("SELECT pg_relation_size('{table}')::text");
        assert_eq!(text(&mut raw, &pages).await, "0", "{table}");
    }
}

#[tokio::test]
async fn reset_does_not_wait_for_long_reader() {
    let given = Given::empty().await.migrated().await;
    let store = given.store().await;
    let lease = hold(&store).await;
    let empty = store.digest().await.unwrap();
    store.apply(&lease, Position(0), Position(2), acme()).await.unwrap();
    let mut reader = given.raw().await;
    run(&mut reader, "BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    let claims = "SELECT count(*)::text FROM claims";
    assert_eq!(text(&mut reader, claims).await, "1");

    store.reset(&lease).await.unwrap();
    assert_eq!(store.digest().await.unwrap(), empty);
    assert_eq!((waiting(&store).await, store.checkpoint("projection").await.unwrap()), (0, Position(0)));
    assert_eq!(text(&mut reader, claims).await, "1", "the reader lost its rows");
    run(&mut reader, "COMMIT").await.unwrap();
}

#[tokio::test]
async fn replaces_unexpected_rows() {
    let given = Given::empty().await.migrated().await;
    let store = given.store().await;
    let lease = hold(&store).await;
    let mut first = acme();
    first.new_streams.insert(apex("acme.com"));
    store.apply(&lease, Position(0), Position(2), first.clone()).await.unwrap();
    let digest = store.digest().await.unwrap();
    let mut raw = given.raw().await;
    run(&mut raw, "UPDATE claims SET status = 'spoilt'").await.unwrap();
    run(&mut raw, "INSERT INTO due_work VALUES ('apex:acme.com', 'clm_x', 'check', 9, now(), now())")
        .await
        .unwrap();
    assert_ne!(store.digest().await.unwrap(), digest);
    store.apply(&lease, Position(2), Position(4), first).await.unwrap();
    assert_eq!(store.digest().await.unwrap(), digest);
    assert_eq!((waiting(&store).await, store.checkpoint("projection").await.unwrap()), (2, Position(4)));
}
