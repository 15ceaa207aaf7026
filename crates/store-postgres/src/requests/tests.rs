//! Batches of idempotent requests, in one process and in several.
use chrono::{DateTime, Utc};
use deed_store::{Idempotency, KeyId, StoredResponse};
use deed_testkit::Postgres;
use tokio::task::JoinSet;

use super::*;
use crate::{PostgresConfig, PostgresStore, migrate};

/// The server runs until it is dropped.
async fn stores<const N: usize>() -> (Arc<Postgres>, [PostgresStore; N]) {
    let server = tokio::task::spawn_blocking(Postgres::shared).await.unwrap();
    let config = PostgresConfig::new(server.database().await.url());
    migrate(&config).await.unwrap();
    let mut stores = vec![];
    for _ in 0..N {
        stores.push(PostgresStore::connect(config.clone()).await.unwrap());
    }
    (server, stores.try_into().unwrap())
}

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(second, 0).unwrap()
}

fn key(name: &str) -> RequestKey {
    RequestKey { key_id: KeyId("key_1".into()), idempotency_key: name.to_owned() }
}

fn begin(name: &str, fingerprint: u8, second: i64) -> RequestOp {
    RequestOp::Begin(BeginRequest {
        request: key(name),
        fingerprint: [fingerprint; 32],
        now: at(second),
        locked_until: at(second + 60),
        forget_before: at(second - 86_400),
    })
}

fn receipt(name: &str, body: &str) -> Receipt {
    Receipt { request: key(name), response: StoredResponse { status: 200, body: body.to_owned() } }
}

async fn begun(store: &PostgresStore, batch: Vec<RequestOp>) -> Vec<Begin> {
    let replies = RequestWriter(store.inner.clone()).execute_batch(batch).await.unwrap();
    replies.into_iter().map(|reply| reply.begun().unwrap()).collect()
}

#[tokio::test]
async fn complete_and_abandon_apply_after_begins() {
    let (_server, [store]) = stores().await;
    let batch = vec![
        RequestOp::Abandon(key("abandoned")),
        RequestOp::Complete(receipt("answered", "done")),
        RequestOp::Complete(receipt("answered", "again")),
        begin("abandoned", 1, 0),
        begin("answered", 1, 0),
        begin("untouched", 1, 0),
    ];
    RequestWriter(store.inner.clone()).execute_batch(batch).await.unwrap();
    let after = vec![begin("abandoned", 1, 1), begin("answered", 1, 1), begin("untouched", 1, 1)];
    let answered = Begin::Answered(receipt("answered", "done").response);
    assert_eq!(begun(&store, after).await, [Begin::Started, answered, Begin::Running]);
}

/// Begins one request many times concurrently in several processes; returns how often it was started.
async fn rivals(stores: &[PostgresStore], second: i64) -> usize {
    let mut begins = JoinSet::new();
    for store in stores.iter().cycle().take(64) {
        let store = store.clone();
        begins.spawn(async move {
            store.begin(&key("one"), [1; 32], at(second), at(second + 60), at(second - 86_400)).await.unwrap()
        });
    }
    let begun = begins.join_all().await;
    let of = |what: &Begin| begun.iter().filter(|begin| *begin == what).count();
    assert_eq!(of(&Begin::Started) + of(&Begin::Running), 64, "{begun:?}");
    of(&Begin::Started)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_starts_or_restarts_a_request() {
    let (_server, stores) = stores::<3>().await;
    for second in [0, 60, 120] {
        assert_eq!(rivals(&stores, second).await, 1);
    }
    let stats = stores[0].request_batcher.stats();
    assert!(stats.batches < stats.ops, "they were not batched: {stats:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opposite_key_orders_do_not_deadlock() {
    let (_server, stores) = stores::<2>().await;
    let mut working = JoinSet::new();
    for (which, store) in stores.iter().enumerate() {
        let store = store.clone();
        working.spawn(async move {
            for round in 0..100 {
                let mut keys: Vec<_> = (0..20).map(|n| format!("k{n}")).collect();
                if which == 1 {
                    keys.reverse();
                }
                let mut batch: Vec<_> = keys.iter().map(|key| begin(key, 1, round * 100)).collect();
                batch.extend(keys.iter().map(|key| RequestOp::Complete(receipt(key, "done"))));
                batch.extend(keys.iter().map(|key| RequestOp::Abandon(self::key(key))));
                RequestWriter(store.inner.clone()).execute_batch(batch).await.unwrap();
            }
        });
    }
    working.join_all().await;
}
