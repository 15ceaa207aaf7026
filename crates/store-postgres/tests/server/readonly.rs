//! After a failover the old server is read-only: connections to it are dropped.
use deed_store::conformance::samples::{apex, append, at, requested};
use deed_store::{AppendError, Checkpoints, EventStore};
use std::time::Duration;

use crate::given::{Given, run};

#[tokio::test]
async fn read_only_server_is_unavailable() {
    let given = Given::empty().await.migrated().await;
    let (store, mut admin) = (given.store().await, given.raw().await);
    let stream = apex("acme.com");
    store.append(append(&stream, 0, vec![requested(1, 1, 0)])).await.unwrap();
    let database = given.database.url().rsplit_once('/').unwrap().1;
    let of_all = format!("ALTER DATABASE {database} SET default_transaction_read_only =");
    run(&mut admin, &format!("{of_all} on")).await.unwrap();
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    run(&mut admin, others).await.unwrap();
    // The first call finds its connection closed, the next ones a read-only server.
    for _ in 0..3 {
        let error = store.append(append(&stream, 1, vec![requested(1, 2, 0)])).await.unwrap_err();
        assert!(matches!(error, AppendError::Unavailable(_)), "{error:?}");
        store.acquire("relay", "me", at(0), Duration::from_secs(30)).await.unwrap_err();
    }
    run(&mut admin, "SET default_transaction_read_only = off").await.unwrap();
    run(&mut admin, &format!("{of_all} off")).await.unwrap();
    let appended = store.append(append(&stream, 1, vec![requested(1, 2, 0)])).await.unwrap();
    assert_eq!(appended.position.0, 2);
    store.acquire("relay", "me", at(0), Duration::from_secs(30)).await.unwrap().unwrap();
}
