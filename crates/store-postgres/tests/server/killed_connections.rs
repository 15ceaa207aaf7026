//! Connections are killed during appends and reads: acknowledged appends stay, and positions stay in order.
use std::{collections::HashSet, time::Duration};

use deed_store::conformance::samples::apex;
use deed_store::{EventStore, Position, RecordedEvent};
use deed_store_postgres::PostgresStore;
use deed_testkit::eventually;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::given::{Given, TIMEOUT, assert_gapless, assert_kept, run, write_next};

const KILLS: u32 = 60;
const WRITERS: usize = 12;

async fn tail(store: PostgresStore, stop: CancellationToken) -> Vec<RecordedEvent> {
    let mut seen: Vec<RecordedEvent> = vec![];
    loop {
        let is_last_read = stop.is_cancelled();
        let after = seen.last().map_or(Position(0), |event| event.position);
        match store.read_log(after, 50).await {
            Ok(more) if more.is_empty() && is_last_read => return seen,
            Ok(more) => seen.extend(more),
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_connections_lose_no_acknowledged_append() {
    let given = Given::empty().await.migrated().await;
    let stores = [given.store().await, given.store().await, given.store().await];
    let (stop, written) = (CancellationToken::new(), CancellationToken::new());
    let (mut writers, mut readers) = (JoinSet::new(), JoinSet::new());
    for writer in 0..WRITERS {
        let (store, stop) = (stores[writer % stores.len()].clone(), stop.clone());
        writers.spawn(async move {
            let (stream, mut acknowledged, mut unknown) = (apex(&format!("writer-{writer}.com")), vec![], 0);
            while !stop.is_cancelled() {
                match write_next(&store, &stream).await {
                    Some(appended) => acknowledged.push(appended),
                    None => unknown += 1,
                }
            }
            (acknowledged, unknown)
        });
    }
    for store in &stores {
        readers.spawn(tail(store.clone(), written.clone()));
    }
    let mut killer = given.raw().await;
    let mut hit = 0;
    while hit < KILLS {
        let victims =
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()
            AND pid <> pg_backend_pid() AND query LIKE '%deed_append%' ORDER BY random() LIMIT 1";
        hit += u32::try_from(run(&mut killer, victims).await.unwrap()).unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.cancel();
    let (mut acknowledged, mut unknown) = (vec![], 0);
    for (mine, lost) in writers.join_all().await {
        acknowledged.extend(mine);
        unknown += lost;
    }
    written.cancel();
    let log =
        eventually("a read", TIMEOUT, || async { stores[0].read_log(Position(0), usize::MAX).await.ok() })
            .await;
    assert_gapless(&log);
    assert_kept(&log, &acknowledged);
    assert!(unknown > 0, "no kill hit an append");
    let positions: HashSet<_> = acknowledged.iter().map(|(_, appended)| appended.position).collect();
    assert_eq!(positions.len(), acknowledged.len(), "a position was assigned twice");
    for seen in readers.join_all().await {
        assert_gapless(&seen);
        assert_eq!(seen.len(), log.len());
    }
}
