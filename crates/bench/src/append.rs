//! Appends through the port (two events, expected version, idempotency row) by many concurrent tasks.
use std::sync::Arc;

use chrono::{DateTime, Utc};
use deed_store::{
    Append, Begin, EventStore, Idempotency, KeyId, Metadata, Position, Receipt, RequestKey, StoredResponse,
    StreamWrite, Version,
};
use deed_store_postgres::{PostgresConfig, PostgresStore};
use deed_store_sqlite::{SqliteConfig, SqliteStore};
use deed_testkit::Postgres;

use crate::{load, pgbench, reference, rounds, sample};

pub async fn on_sqlite(name: &str, tasks: usize) -> rounds::Row {
    let comparison = rounds::Comparison {
        subject: format!("store append, {tasks} tasks"),
        reference: "one insert per transaction, plain loop".to_owned(),
        floor: 2.0,
        target: 5.0,
    };
    rounds::interleaved(name, comparison, rounds::rounds(), async || {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("reference.db");
        let reference = tokio::task::spawn_blocking(move || reference::appends_per_second(&path))
            .await
            .expect("the loop");
        let store =
            SqliteStore::open(SqliteConfig::new(folder.path().join("subject.db"))).await.expect("a store");
        let (subject, faults) = subject(&store, tasks).await;
        store.close().await.expect("the store closes");
        rounds::RoundResult { reference, subject, faults }
    })
    .await
}

pub async fn on_postgres(name: &str, tasks: usize, server: &Postgres) -> rounds::Row {
    let (floor, target) = if tasks <= 32 { (1.0, 1.9) } else { (1.6, 3.0) };
    let comparison = rounds::Comparison {
        subject: format!("store append, {tasks} tasks"),
        reference: "pgbench, 32 clients, the same rows in one statement".to_owned(),
        floor,
        target,
    };
    rounds::interleaved(name, comparison, rounds::rounds(), async || {
        let database = server.database().await;
        let reference = pgbench::appends_per_second(database.url()).await;
        let config = PostgresConfig::new(database.url().to_owned());
        deed_store_postgres::migrate(&config).await.expect("tables");
        pgbench::checkpoint(database.url()).await;
        let store = PostgresStore::connect(config).await.expect("a store");
        let (subject, faults) = subject(&store, tasks).await;
        store.close().await;
        rounds::RoundResult { reference, subject, faults }
    })
    .await
}

async fn subject<S>(store: &S, tasks: usize) -> (f64, u64)
where
    S: EventStore + Idempotency + Clone + 'static,
{
    let store = Arc::new(store.clone());
    let done = load::run(tasks, rounds::length(), |worker| {
        let store = store.clone();
        async move {
            let mut done = 0;
            while let Some(n) = worker.number() {
                one(&*store, n).await;
                done += 1;
            }
            done
        }
    })
    .await;
    let last = store.last_position().await.expect("the head");
    (done.rate, last.0.abs_diff(done.count * 2) + gaps(&*store).await.1)
}

async fn one<S: EventStore + Idempotency>(store: &S, n: u64) {
    let at = DateTime::<Utc>::from_timestamp(1_780_000_000, 0).expect("a valid instant");
    let (stream, events) = sample::claim(n, at);
    let request = RequestKey { key_id: KeyId("key_bench".into()), idempotency_key: format!("idem-{n}") };
    // The row that the receipt completes: two writes where the reference has one.
    let begun =
        store.begin(&request, [7; 32], at, at + chrono::Duration::seconds(60), at).await.expect("a request");
    assert_eq!(begun, Begin::Started);
    let receipt =
        Receipt { request, response: StoredResponse { status: 200, body: "{\"success\":true}".into() } };
    let writes = vec![StreamWrite { stream, expected: Version(0), events }];
    let append = Append { writes, receipt: Some(receipt), metadata: Metadata::default(), at };
    store.append(append).await.expect("an append");
}

/// The number of claims in the log, and of gaps.
pub async fn gaps(store: &dyn EventStore) -> (u64, u64) {
    let (mut after, mut claims, mut gaps) = (Position(0), 0, 0);
    loop {
        let events = store.read_log(after, 5000).await.expect("the log");
        for event in &events {
            gaps += u64::from(event.position.0 != after.0 + 1);
            after = event.position;
            claims += u64::from(event.event.kind() == "ClaimInitiated");
        }
        if events.is_empty() {
            return (claims, gaps);
        }
    }
}
