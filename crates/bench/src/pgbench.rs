//! The reference on PostgreSQL: pgbench with the same rows, one statement per append, full durability.
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::rounds;

/// The tables, without triggers and read models: a minimal log with idempotent requests.
const TABLES: &str = "
DROP TABLE IF EXISTS ref_events, ref_streams, ref_requests;
CREATE TABLE ref_events(position bigserial PRIMARY KEY, stream text NOT NULL, version bigint NOT NULL, kind text NOT NULL,
  schema int NOT NULL, payload jsonb NOT NULL, metadata jsonb NOT NULL, recorded_at timestamptz NOT NULL, UNIQUE (stream, version));
CREATE TABLE ref_streams(stream text PRIMARY KEY, version bigint NOT NULL);
CREATE TABLE ref_requests(key text PRIMARY KEY, status int NOT NULL, body text NOT NULL);";

/// Appends per second (two events, the head of the stream, an idempotency row).
pub async fn appends_per_second(url: &str) -> f64 {
    run(url, &["-c", TABLES]).await;
    checkpoint(url).await;
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("append.sql");
    std::fs::write(&script, statement()).expect("the script is written");
    let seconds = rounds::length().as_secs().max(1).to_string();
    let output = Command::new(program("pgbench"))
        .args(["-n", "-M", "prepared", "-c", "32", "-j", "2", "-T", &seconds, "-f"])
        .arg(&script)
        .arg(url)
        .output()
        .await
        .expect("pgbench runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said} {}", String::from_utf8_lossy(&output.stderr));
    run(url, &["-c", "DROP TABLE ref_events, ref_streams, ref_requests"]).await;
    let tps = said.lines().find_map(|line| line.strip_prefix("tps = "));
    tps.and_then(|rest| rest.split(' ').next()?.parse().ok()).unwrap_or_else(|| panic!("no rate in {said}"))
}

/// A checkpoint, so that neither side pays for writes of the other.
pub async fn checkpoint(url: &str) {
    run(url, &["-c", "CHECKPOINT"]).await;
}

fn statement() -> String {
    let at = chrono::DateTime::<chrono::Utc>::from_timestamp(1_780_000_000, 0).expect("a valid instant");
    let (_, events) = crate::sample::claim(0, at);
    let rows: Vec<String> = events
        .iter()
        .zip(1..)
        .map(|(event, version)| {
            // pgbench would take `:word` for a variable; JSON with a space after each colon is equivalent.
            let payload = event.payload().expect("JSON").replace('\'', "''").replace(':', ": ");
            format!("({version}, '{}', {}, '{payload}'::jsonb)", event.kind(), event.schema())
        })
        .collect();
    let values = rows.join(", ");
    format!(
        "\\set n random(1, 1000000000000)\n\
         WITH s AS (INSERT INTO ref_streams VALUES ('apex-bench-' || :n || '.com', 2) \
           ON CONFLICT (stream) DO UPDATE SET version = ref_streams.version + 2 RETURNING stream, version), \
         r AS (INSERT INTO ref_requests VALUES ('idem-' || :n, 200, '{{\"success\": true}}') ON CONFLICT DO NOTHING) \
         INSERT INTO ref_events(stream, version, kind, schema, payload, metadata, recorded_at) \
         SELECT s.stream, s.version - 2 + v.version, v.kind, v.schema, v.payload, '{{}}'::jsonb, now() \
         FROM s, (VALUES {values}) AS v(version, kind, schema, payload);\n"
    )
}

async fn run(url: &str, words: &[&str]) {
    let output = Command::new(program("psql"))
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", url])
        .args(words)
        .output()
        .await
        .expect("psql runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A program of the newest installed PostgreSQL.
pub fn program(name: &str) -> PathBuf {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|folder| Some(folder.ok()?.path().join("bin").join(name)))
        .filter(|path| path.exists())
        .collect();
    found.sort();
    found.pop().unwrap_or_else(|| Path::new(name).to_owned())
}
