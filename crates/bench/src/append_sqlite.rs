//! Appends through the port (two events, expected version, idempotency row) on SQLite, with many tasks at once.
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use chrono::{DateTime, Utc};
use deed_store::{
    Append, Begin, EventStore, Idempotency, KeyId, Metadata, Position, Receipt, RequestKey, StoredResponse,
    StreamWrite, Version,
};
use deed_store_sqlite::{SqliteConfig, SqliteStore};

use crate::{reference, rounds, sample};

pub async fn row(name: &str, tasks: usize) -> rounds::Row {
    let mut pairs = vec![];
    let mut faults = 0;
    for _ in 0..rounds::rounds() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("reference.db");
        let reference = tokio::task::spawn_blocking(move || reference::appends_per_second(&path))
            .await
            .expect("the loop");
        let (subject, missing) = subject(folder.path(), tasks).await;
        faults += missing;
        pairs.push((reference, subject));
    }
    rounds::Row {
        name: name.to_owned(),
        subject: format!("store append, {tasks} tasks"),
        reference: "one insert per transaction, plain loop".to_owned(),
        floor: 2.0,
        target: 5.0,
        pairs,
        faults,
    }
}

async fn subject(folder: &std::path::Path, tasks: usize) -> (f64, u64) {
    let store = SqliteStore::open(SqliteConfig::new(folder.join("subject.db"))).await.expect("a store");
    let next = Arc::new(AtomicU64::new(0));
    let (begin, length) = (Instant::now(), rounds::length());
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..tasks {
        let (store, next) = (store.clone(), next.clone());
        running.spawn(async move {
            let mut done = 0_u64;
            while begin.elapsed() < length {
                one(&store, next.fetch_add(1, Ordering::Relaxed)).await;
                done += 1;
            }
            done
        });
    }
    let acknowledged: u64 = running.join_all().await.into_iter().sum();
    #[expect(clippy::cast_precision_loss, reason = "counts of seconds-long runs are small")]
    let rate = acknowledged as f64 / begin.elapsed().as_secs_f64();
    let last = store.last_position().await.expect("the head");
    let missing = last.0.abs_diff(acknowledged * 2) + gaps(&store).await;
    store.close().await.expect("the store closes");
    (rate, missing)
}

async fn one(store: &SqliteStore, n: u64) {
    let at = DateTime::<Utc>::from_timestamp(1_780_000_000, 0).expect("a valid instant");
    let (stream, events) = sample::claim(n, at);
    let request = RequestKey { key_id: KeyId("key_bench".into()), idempotency_key: format!("idem-{n}") };
    // The row that the receipt completes: two writes for us where the reference has one.
    let begun =
        store.begin(&request, [7; 32], at, at + chrono::Duration::seconds(60), at).await.expect("a request");
    assert_eq!(begun, Begin::Started);
    let receipt =
        Receipt { request, response: StoredResponse { status: 200, body: "{\"success\":true}".into() } };
    let writes = vec![StreamWrite { stream, expected: Version(0), events }];
    let append = Append { writes, receipt: Some(receipt), metadata: Metadata::default(), at };
    store.append(append).await.expect("an append");
}

async fn gaps(store: &SqliteStore) -> u64 {
    let (mut after, mut gaps) = (Position(0), 0);
    loop {
        let events = store.read_log(after, 5000).await.expect("the log");
        for event in &events {
            gaps += u64::from(event.position.0 != after.0 + 1);
            after = event.position;
        }
        if events.is_empty() {
            return gaps;
        }
    }
}
