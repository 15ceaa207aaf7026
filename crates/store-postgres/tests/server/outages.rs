//! The server crashes and restarts.
use std::time::Duration;

use deed_store::conformance::samples::apex;
use deed_store::{EventStore, Position};
use deed_store_postgres::{OpenError, PostgresStore};
use deed_testkit::eventually;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::given::{Given, TIMEOUT, assert_gapless, assert_kept, write_next};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_resumes_after_server_crash() {
    let given = Given::alone().await.migrated().await;
    let stores = [given.store().await, given.store().await];
    let (stop, mut writers) = (CancellationToken::new(), JoinSet::new());
    for writer in 0..16 {
        let (store, stop) = (stores[writer % stores.len()].clone(), stop.clone());
        writers.spawn(async move {
            let (stream, mut acknowledged) = (apex(&format!("writer-{writer}.com")), vec![]);
            while !stop.is_cancelled() {
                match write_next(&store, &stream).await {
                    Some(appended) => acknowledged.push(appended),
                    None => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
            acknowledged
        });
    }
    let grown_beyond = async |position: u64| {
        eventually("the log to grow", TIMEOUT, || async {
            stores[0].last_position().await.ok().filter(|last| last.0 > position)
        })
        .await
        .0
    };
    for _ in 0..2 {
        let before = grown_beyond(0).await;
        grown_beyond(before + 200).await;
        let server = given.server.clone();
        tokio::task::spawn_blocking(move || server.stop_immediate()).await.unwrap();
        stores[0].last_position().await.expect_err("the server is down");
        let error = PostgresStore::connect(given.config()).await.expect_err("the server is down");
        assert!(matches!(error, OpenError::Unavailable { .. }), "{error:?}");
        let server = given.server.clone();
        tokio::task::spawn_blocking(move || server.restart()).await.unwrap();
        let after = grown_beyond(0).await;
        grown_beyond(after + 200).await;
    }
    stop.cancel();
    let acknowledged = writers.join_all().await.concat();
    let log = stores[1].read_log(Position(0), usize::MAX).await.unwrap();
    assert_gapless(&log);
    assert_kept(&log, &acknowledged);
}
