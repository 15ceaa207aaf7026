//! A connection that is open but carries no data: calls on it time out, and other calls do not wait for it.
use std::{net::SocketAddr, time::Duration};

use deed_store::conformance::samples::{apex, append, at, request, requested};
use deed_store::{BatchLimits, EventStore, Idempotency, Position, StreamWrite};
use deed_store_postgres::PostgresStore;
use deed_testkit::{Proxy, eventually};
use tokio::time::{Instant, timeout};

use crate::given::{Given, TIMEOUT, assert_gapless};

/// The statement time-out, the grace beyond it, and time for a busy machine.
const CALL_LIMIT: Duration = Duration::from_secs(6);

async fn behind_a_proxy(given: &Given) -> (Proxy, PostgresStore) {
    let url = given.database.url();
    let (user, rest) = url.split_once('@').unwrap();
    let (server, database) = rest.split_once('/').unwrap();
    let proxy = Proxy::start(server.parse::<SocketAddr>().unwrap()).await;
    let mut config = given.config();
    config.url = format!("{user}@{}/{database}", proxy.address());
    config.acquire_timeout = Duration::from_secs(1);
    config.statement_timeout = Duration::from_secs(1);
    config.batch_limits = BatchLimits { deadline: Duration::from_secs(2), ..BatchLimits::default() };
    (proxy, PostgresStore::connect(config).await.unwrap())
}

fn next(stream: &str, version: u64) -> deed_store::Append {
    append(&apex(stream), version, vec![requested(1, 1, 0)])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_connection_times_out_and_is_dropped() {
    let given = Given::empty().await.migrated().await;
    let (proxy, store) = behind_a_proxy(&given).await;
    store.append(next("acme.com", 0)).await.unwrap();
    store.begin(&request(1, "k"), [1; 32], at(0), at(60), at(-60)).await.unwrap();
    store.last_position().await.unwrap();
    proxy.freeze();
    let frozen = Instant::now();
    let request = request(1, "l");
    let (append, begin, read) = tokio::join!(
        timeout(CALL_LIMIT, store.append(next("acme.com", 1))),
        timeout(CALL_LIMIT, store.begin(&request, [1; 32], at(0), at(60), at(-60))),
        timeout(CALL_LIMIT, store.last_position()),
    );
    append.unwrap().unwrap_err();
    begin.unwrap().unwrap_err();
    read.unwrap().unwrap_err();
    // New connections freeze too.
    timeout(CALL_LIMIT, store.last_position()).await.unwrap().unwrap_err();
    assert!(frozen.elapsed() < CALL_LIMIT);

    proxy.thaw();
    let version =
        store.read_stream(&apex("acme.com"), deed_store::Version(0), usize::MAX).await.unwrap().len();
    store.append(next("acme.com", version.try_into().unwrap())).await.unwrap();
    assert_gapless(&store.read_log(Position(0), 10).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_process_does_not_block_appends() {
    let given = Given::empty().await.migrated().await;
    let (proxy, freezing) = behind_a_proxy(&given).await;
    let other = given.store().await;
    for round in 0..3 {
        let mut appending = tokio::task::JoinSet::new();
        for writer in 0..8 {
            let freezing = freezing.clone();
            appending.spawn(async move {
                for version in 0.. {
                    let write = StreamWrite {
                        stream: apex(&format!("frozen-{round}-{writer}.com")),
                        expected: deed_store::Version(version * 20),
                        events: vec![requested(1, 1, 0); 20],
                    };
                    let append = deed_store::Append { writes: vec![write], ..next("x.com", 0) };
                    if freezing.append(append).await.is_err() {
                        return;
                    }
                }
            });
        }
        let before = other.last_position().await.unwrap();
        eventually("the log to grow", TIMEOUT, || async {
            other.last_position().await.ok().filter(|last| last.0 > before.0 + 200)
        })
        .await;
        proxy.freeze();
        timeout(CALL_LIMIT, other.append(next("acme.com", round))).await.unwrap().unwrap();
        appending.join_all().await;
        proxy.thaw();
        freezing.last_position().await.ok();
    }
    assert_gapless(&other.read_log(Position(0), usize::MAX).await.unwrap());
}
