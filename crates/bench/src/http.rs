//! Claims a second over HTTP: the whole path of the running executable (key, limits, names, decide, append).
use std::net::SocketAddr;

use deed_store::EventStore;
use deed_store_postgres::{PostgresConfig, PostgresStore};
use deed_store_sqlite::{SqliteConfig, SqliteStore};
use deed_testkit::Postgres;

use crate::site::{ALL, Site};
use crate::talk::Talk;
use crate::{append, load, pgbench, reference, rounds};

pub async fn on_sqlite(name: &str, connections: usize) -> rounds::Row {
    let aim = rounds::Aim {
        subject: format!("POST /v1/domains/claims, {connections} connections"),
        reference: "one insert per transaction, plain loop".to_owned(),
        floor: 0.5,
        target: 1.0,
    };
    rounds::interleaved(name, aim, rounds::rounds(), async || {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("reference.db");
        let reference = tokio::task::spawn_blocking(move || reference::appends_per_second(&path))
            .await
            .expect("the loop");
        let (subject, acknowledged) = subject(&Site::new(folder.path(), None), connections).await;
        let store = SqliteStore::open(SqliteConfig::new(folder.path().join("deed.db"))).await;
        let store = store.expect("the store");
        let faults = lost(&store, acknowledged).await;
        store.close().await.expect("the store closes");
        rounds::Round { reference, subject, faults }
    })
    .await
}

/// Everything behind the interface runs in the same process, with the bus in it: the path of a request is the same.
pub async fn on_postgres(name: &str, connections: usize, server: &Postgres) -> rounds::Row {
    let (floor, target) = if connections <= 32 { (0.8, 1.4) } else { (1.2, 2.2) };
    let aim = rounds::Aim {
        subject: format!("POST /v1/domains/claims, {connections} connections"),
        reference: "pgbench, 32 clients, the same rows in one statement".to_owned(),
        floor,
        target,
    };
    rounds::interleaved(name, aim, rounds::rounds(), async || {
        let folder = tempfile::tempdir().expect("a folder");
        let database = server.database().await;
        let reference = pgbench::appends_per_second(database.url()).await;
        let config = PostgresConfig::new(database.url().to_owned());
        deed_store_postgres::migrate(&config).await.expect("tables");
        pgbench::checkpoint(database.url()).await;
        let site = Site::new(folder.path(), Some(database.url()));
        let (subject, acknowledged) = subject(&site, connections).await;
        let store = PostgresStore::connect(config).await.expect("the store");
        let faults = lost(&store, acknowledged).await;
        store.close().await;
        rounds::Round { reference, subject, faults }
    })
    .await
}

async fn subject(site: &Site, connections: usize) -> (f64, u64) {
    let key = site.key().await;
    let server = site.serve(ALL).await;
    let listen = server.listen;
    let done = load::run(connections, rounds::length(), |turn| client(listen, key.clone(), turn)).await;
    // Not a soft stop: what was acknowledged has to be there all the same.
    server.kill().await;
    (done.rate, done.count)
}

async fn client(listen: SocketAddr, key: String, turn: load::Turn) -> u64 {
    let mut talk = Talk::to(listen, &key).await;
    let mut done = 0;
    while let Some(n) = turn.number() {
        assert_eq!(talk.claim(n).await.status, 200, "the server refuses the load");
        done += 1;
    }
    done
}

/// Claims acknowledged and not in the log, and gaps in the log.
async fn lost(store: &dyn EventStore, acknowledged: u64) -> u64 {
    let (claims, gaps) = append::gaps(store).await;
    acknowledged.saturating_sub(claims) + gaps
}
