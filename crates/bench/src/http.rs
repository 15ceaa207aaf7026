//! Claims a second over HTTP: the whole path of the running executable (key, limits, names, decide, append).
use std::{net::SocketAddr, time::Duration};

use deed_api::relay::RELAY;
use deed_store::{Checkpoints, Clock, EventStore, SystemClock};
use deed_store_postgres::{PostgresConfig, PostgresStore};
use deed_store_sqlite::{SqliteConfig, SqliteStore};
use deed_testkit::{Postgres, RabbitMq};

use crate::site::{ALL, Site};
use crate::talk::Talk;
use crate::{append, load, pgbench, reference, rounds};

/// Longer than any row takes.
const LONG: Duration = Duration::from_hours(24);

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
        let (subject, acknowledged) = subject(&Site::new(folder.path(), None), ALL, connections).await;
        let store = SqliteStore::open(SqliteConfig::new(folder.path().join("deed.db"))).await;
        let store = store.expect("the store");
        let faults = lost(&store, acknowledged).await;
        store.close().await.expect("the store closes");
        rounds::Round { reference, subject, faults }
    })
    .await
}

/// Who runs beside the interface.
#[derive(Clone, Copy)]
pub enum Others<'a> {
    /// The process is one `api` of several, as a platform runs it: another of them leads the relay, and the views are
    /// made on other machines.
    Elsewhere(&'a RabbitMq),
    /// Relay, projector, dispatcher and verifier are in the same process and take from the same processors.
    Inside,
}

pub async fn on_postgres(
    name: &str,
    connections: usize,
    others: Others<'_>,
    server: &Postgres,
) -> rounds::Row {
    let (who, floor, target) = match (others, connections) {
        (Others::Inside, _) => ("all roles", 0.4, 0.8),
        (Others::Elsewhere(_), ..=32) => ("role api", 0.8, 1.4),
        (Others::Elsewhere(_), _) => ("role api", 1.2, 2.2),
    };
    let aim = rounds::Aim {
        subject: format!("POST /v1/domains/claims, {who}, {connections} connections"),
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
        let store = PostgresStore::connect(config).await.expect("the store");
        let site = Site::new(folder.path(), Some(database.url()));
        let (site, roles, _vhost) = match others {
            Others::Inside => (site, ALL, None),
            Others::Elsewhere(broker) => {
                let led = store
                    .acquire(RELAY, "another", SystemClock.now(), LONG)
                    .await
                    .expect("the store answers");
                assert!(led.is_some(), "somebody else leads the relay");
                let vhost = broker.vhost().await;
                (site.with("BUS__URL", vhost.url()), "api", Some(vhost))
            }
        };
        pgbench::checkpoint(database.url()).await;
        let (subject, acknowledged) = subject(&site, roles, connections).await;
        let faults = lost(&store, acknowledged).await;
        store.close().await;
        rounds::Round { reference, subject, faults }
    })
    .await
}

async fn subject(site: &Site, roles: &str, connections: usize) -> (f64, u64) {
    let key = site.key().await;
    let server = site.serve(roles).await;
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
