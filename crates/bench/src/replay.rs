//! Reading the whole log and rebuilding the read models, each compared with psql copying the same rows in
//! order.
use std::process::Stdio;
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use deed_claims::Clock;
use deed_projector::{IfHeld, Projector, ProjectorMetrics, RebuildConfig, rebuild};
use deed_store::{Checkpoints, Position, SystemClock, log_pages};
use deed_store_postgres::{PostgresConfig, PostgresStore};
use deed_testkit::{Database, Postgres};
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::{load::per_second, pgbench, rounds, sample};

/// Events per page.
const PAGE: usize = 5000;

/// The number of events; set by `DEED_BENCH_EVENTS`.
fn events() -> u64 {
    std::env::var("DEED_BENCH_EVENTS").ok().and_then(|count| count.parse().ok()).unwrap_or(1_000_000)
}

/// A database with claims of two events each, written directly by SQL, because the port would take minutes.
pub async fn filled(server: &Postgres) -> Database {
    let database = server.database().await;
    let config = PostgresConfig::new(database.url().to_owned());
    deed_store_postgres::migrate(&config).await.expect("tables");
    let at = DateTime::<Utc>::from_timestamp(1_780_000_000, 0).expect("a valid instant");
    let (_, two) = sample::claim(0, at);
    let id = two[0].payload().expect("JSON");
    let id: serde_json::Value = serde_json::from_str(&id).expect("JSON");
    let id = id["claimId"].as_str().expect("a claim has an id").to_owned();
    let quoted = |text: String| format!("'{}'", text.replace('\'', "''"));
    let values: Vec<String> = two
        .iter()
        .zip(1..)
        .map(|(event, version)| {
            let payload = quoted(event.payload().expect("JSON"));
            format!("({version}, '{}', {}, {payload})", event.kind(), event.schema())
        })
        .collect();
    // Each claim has its own name and id; ids end in the number in hexadecimal.
    let (head, tail) = id.split_at(id.len() - 8);
    assert!(tail.bytes().all(|b| b.is_ascii_hexdigit()), "an id ends in hexadecimal digits: {id}");
    database
        .sql(&format!(
            "INSERT INTO events (position, stream, version, kind, schema, payload, metadata, recorded_at)
             SELECT (n - 1) * 2 + v.version, 'apex:bench-' || n || '.com', v.version, v.kind, v.schema,
               replace(replace(v.payload, 'bench-0.com', 'bench-' || n || '.com'), '{id}', '{head}' || lpad(to_hex(n), 8, '0'))::json,
               '{{}}'::json, '{at}'
             FROM generate_series(1, {claims}) AS n, (VALUES {values}) AS v(version, kind, schema, payload)
             ORDER BY 1",
            claims = events() / 2,
            at = at.to_rfc3339(),
            values = values.join(", "),
        ))
        .await;
    database.sql("VACUUM ANALYZE").await;
    database
}

/// Events per second that psql copies in order.
async fn copied(database: &Database) -> f64 {
    pgbench::checkpoint(database.url()).await;
    let begin = Instant::now();
    let copy = "COPY (SELECT position, stream, version, kind, schema, payload, metadata, recorded_at FROM events \
                ORDER BY position) TO STDOUT";
    let status = tokio::process::Command::new(pgbench::program("psql"))
        .args(["-X", "-q", "-d", database.url(), "-c", copy])
        .stdout(Stdio::null())
        .status()
        .await
        .expect("psql runs");
    assert!(status.success());
    per_second(events(), begin.elapsed())
}

pub async fn replay(name: &str, database: &Database) -> rounds::Row {
    let store =
        PostgresStore::connect(PostgresConfig::new(database.url().to_owned())).await.expect("a store");
    let comparison = rounds::Comparison {
        subject: format!("read and decode {} events, {PAGE} at a time", events()),
        reference: "psql COPY of the same ordered rows".to_owned(),
        floor: 0.7,
        target: 1.2,
    };
    let row = rounds::interleaved(name, comparison, rounds::rounds(), async || {
        let reference = copied(database).await;
        let begin = Instant::now();
        let mut read = 0;
        let mut pages = std::pin::pin!(log_pages(&store, Position(0), Position(events()), PAGE));
        while let Some(page) = pages.next().await {
            read += page.expect("the log").len() as u64;
        }
        let subject = per_second(read, begin.elapsed());
        rounds::RoundResult { reference, subject, faults: read.abs_diff(events()) }
    })
    .await;
    store.close().await;
    row
}

pub async fn folded(name: &str, database: &Database) -> rounds::Row {
    let store =
        PostgresStore::connect(PostgresConfig::new(database.url().to_owned())).await.expect("a store");
    let comparison = rounds::Comparison {
        subject: format!("rebuild from {} events, rows written, {PAGE} at a time", events()),
        reference: "psql COPY of the same ordered rows".to_owned(),
        floor: 0.3,
        target: 0.6,
    };
    let checkpoints: Arc<dyn Checkpoints> = Arc::new(store.clone());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let metrics = ProjectorMetrics::register(&prometheus::Registry::new()).expect("metrics");
    let mut projector = Projector::new(Arc::new(store.clone()), std::time::Duration::from_secs(30), metrics);
    let how = RebuildConfig {
        owner: "bench".to_owned(),
        batch: PAGE,
        lease_ttl: std::time::Duration::from_secs(10),
        if_held: IfHeld::TakeOver,
    };
    // Three rounds, because a rebuild takes much longer than other rounds.
    let row = rounds::interleaved(name, comparison, rounds::rounds().min(3), async || {
        let reference = copied(database).await;
        let (begin, stop) = (Instant::now(), CancellationToken::new());
        let done =
            rebuild(&store, &checkpoints, &clock, &mut projector, &how, &stop).await.expect("a rebuild");
        let subject = per_second(events(), begin.elapsed());
        rounds::RoundResult { reference, subject, faults: done.to.0.abs_diff(events()) }
    })
    .await;
    store.close().await;
    row
}
