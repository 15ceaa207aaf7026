//! Claims per second over HTTP: the whole path of the running executable (key, limits, names, decide,
//! append).
use std::{net::SocketAddr, time::Duration};

use deed_api::relay::RELAY;
use deed_claims::Clock;
use deed_store::{Checkpoints, EventStore, SystemClock};
use deed_store_postgres::{PostgresConfig, PostgresStore};
use deed_store_sqlite::{SqliteConfig, SqliteStore};
use deed_testkit::{Postgres, RabbitMq};

use crate::api_client::ApiClient;
use crate::service::{ALL, ServiceSettings};
use crate::{append, load, pgbench, reference, rounds};

/// Longer than any measurement.
const LONG: Duration = Duration::from_hours(24);

pub async fn on_sqlite(name: &str, connections: usize) -> rounds::Row {
    let comparison = rounds::Comparison {
        subject: format!("POST /v1/domains/claims, {connections} connections"),
        reference: "one insert per transaction, plain loop".to_owned(),
        floor: 0.5,
        target: 1.0,
    };
    rounds::interleaved(name, comparison, rounds::rounds(), async || {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("reference.db");
        let reference = tokio::task::spawn_blocking(move || reference::appends_per_second(&path))
            .await
            .expect("the loop");
        let (subject, acknowledged) =
            subject(&ServiceSettings::new(folder.path(), None), ALL, connections).await;
        let store = SqliteStore::open(SqliteConfig::new(folder.path().join("deed.db"))).await;
        let store = store.expect("the store");
        let faults = lost(&store, acknowledged).await;
        store.close().await.expect("the store closes");
        rounds::RoundResult { reference, subject, faults }
    })
    .await
}

/// Where the other roles run.
#[derive(Clone, Copy)]
pub enum OtherRoles<'a> {
    /// In other processes: the measured one is one of several `api` processes, and does not lead the relay.
    Elsewhere(&'a RabbitMq),
    /// In the same process, on the same processors.
    Inside,
}

pub async fn on_postgres(
    name: &str,
    connections: usize,
    other_roles: OtherRoles<'_>,
    server: &Postgres,
) -> rounds::Row {
    let (who, floor, target) = match (other_roles, connections) {
        (OtherRoles::Inside, _) => ("all roles", 0.4, 0.8),
        (OtherRoles::Elsewhere(_), ..=32) => ("role api", 0.8, 1.4),
        (OtherRoles::Elsewhere(_), _) => ("role api", 1.2, 2.2),
    };
    let comparison = rounds::Comparison {
        subject: format!("POST /v1/domains/claims, {who}, {connections} connections"),
        reference: "pgbench, 32 clients, the same rows in one statement".to_owned(),
        floor,
        target,
    };
    rounds::interleaved(name, comparison, rounds::rounds(), async || {
        let folder = tempfile::tempdir().expect("a folder");
        let database = server.database().await;
        let reference = pgbench::appends_per_second(database.url()).await;
        let config = PostgresConfig::new(database.url().to_owned());
        deed_store_postgres::migrate(&config).await.expect("tables");
        let store = PostgresStore::connect(config).await.expect("the store");
        let site = ServiceSettings::new(folder.path(), Some(database.url()));
        let (site, roles, _vhost) = match other_roles {
            OtherRoles::Inside => (site, ALL, None),
            OtherRoles::Elsewhere(broker) => {
                let led = store
                    .acquire(RELAY, "another", SystemClock.now(), LONG)
                    .await
                    .expect("the store answers");
                assert!(led.is_some(), "another process leads the relay");
                let vhost = broker.vhost().await;
                (site.with("BUS__URL", vhost.url()), "api", Some(vhost))
            }
        };
        pgbench::checkpoint(database.url()).await;
        let (subject, acknowledged) = subject(&site, roles, connections).await;
        let faults = lost(&store, acknowledged).await;
        store.close().await;
        rounds::RoundResult { reference, subject, faults }
    })
    .await
}

async fn subject(site: &ServiceSettings, roles: &str, connections: usize) -> (f64, u64) {
    let key = site.key().await;
    let server = site.serve(roles).await;
    let listen = server.listen;
    let done = load::run(connections, rounds::length(), |worker| client(listen, key.clone(), worker)).await;
    // A kill: acknowledged claims have to survive it.
    server.kill().await;
    (done.rate, done.count)
}

async fn client(listen: SocketAddr, key: String, worker: load::Worker) -> u64 {
    let mut client = ApiClient::to(listen, &key).await;
    let mut done = 0;
    while let Some(n) = worker.number() {
        assert_eq!(client.claim(n).await.status, 200, "the server refuses the load");
        done += 1;
    }
    done
}

/// Acknowledged claims that are not in the log, plus gaps in the log.
async fn lost(store: &dyn EventStore, acknowledged: u64) -> u64 {
    let (claims, gaps) = append::gaps(store).await;
    acknowledged.saturating_sub(claims) + gaps
}
