//! The reference on SQLite: a plain loop with one transaction per append, the same rows, the same durability.
use std::{path::Path, time::Instant};

use chrono::{DateTime, Utc};
use rusqlite::{Connection, params};

use crate::{rounds, sample};

/// Appends per second (two events, the head of the stream, an idempotency row).
pub fn appends_per_second(path: &Path) -> f64 {
    let mut db = Connection::open(path).expect("a database");
    db.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
         CREATE TABLE IF NOT EXISTS events(position INTEGER PRIMARY KEY, stream TEXT NOT NULL, version INTEGER NOT NULL,
            kind TEXT NOT NULL, schema INTEGER NOT NULL, payload TEXT NOT NULL, metadata TEXT NOT NULL,
            recorded_at INTEGER NOT NULL, UNIQUE(stream, version)) STRICT;
         CREATE TABLE IF NOT EXISTS streams(stream TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT, WITHOUT ROWID;
         CREATE TABLE IF NOT EXISTS requests(key TEXT PRIMARY KEY, status INTEGER NOT NULL, body TEXT NOT NULL) STRICT, WITHOUT ROWID;
         DELETE FROM events; DELETE FROM streams; DELETE FROM requests; PRAGMA wal_checkpoint(TRUNCATE);",
    )
    .expect("the tables");
    let at = DateTime::<Utc>::from_timestamp(1_780_000_000, 0).expect("a valid instant");
    let (begin, length) = (Instant::now(), rounds::length());
    let mut done = 0_u64;
    while begin.elapsed() < length {
        let (stream, events) = sample::claim(done, at);
        let tx = db.transaction().expect("a transaction");
        let head: i64 = tx
            .prepare_cached("SELECT coalesce(max(version), 0) FROM streams WHERE stream = ?1")
            .and_then(|mut s| s.query_row([stream.as_str()], |row| row.get(0)))
            .expect("the head");
        let mut version = head;
        for event in &events {
            version += 1;
            tx.prepare_cached("INSERT INTO events(stream, version, kind, schema, payload, metadata, recorded_at) VALUES (?1, ?2, ?3, ?4, ?5, '{}', ?6)")
                .and_then(|mut s| s.execute(params![stream.as_str(), version, event.kind(), event.schema(), event.payload().expect("JSON"), at.timestamp_micros()]))
                .expect("an insert");
        }
        tx.prepare_cached("INSERT INTO streams(stream, version) VALUES (?1, ?2) ON CONFLICT(stream) DO UPDATE SET version = excluded.version")
            .and_then(|mut s| s.execute(params![stream.as_str(), version]))
            .expect("the new head");
        tx.prepare_cached("INSERT INTO requests(key, status, body) VALUES (?1, 200, ?2)")
            .and_then(|mut s| s.execute(params![format!("idem-{done}"), "{\"success\":true}"]))
            .expect("the idempotency row");
        tx.commit().expect("a commit");
        done += 1;
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of seconds-long runs are small")]
    let rate = done as f64 / begin.elapsed().as_secs_f64();
    rate
}
