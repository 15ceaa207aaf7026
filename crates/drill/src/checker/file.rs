//! Reads a SQLite file in one snapshot, with the `sqlite3` program and its own SQL.
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use serde_json::Value;
use tokio::process::Command;

use super::database::Snapshot;
use super::evidence::{ClaimRow, DueRow, LogRow, OwnershipRow, Views};
use crate::clock::now;

/// The queries, run in one transaction; a table without rows gives an empty line.
const QUERIES: [&str; 6] = [
    "SELECT json_array(position, stream, version, kind, json(payload), recorded_at) FROM events ORDER BY position",
    "SELECT json_array(stream, version, json(body)) FROM ownerships",
    "SELECT json_array(claim_id, stream, version, workspace, app, name, scope, status, initiated_at, open, json(body))
     FROM claims",
    "SELECT json_array(stream, claim_id, kind, attempt, due_at, visible_at) FROM due_work",
    "SELECT json_array(stream, body) FROM apps",
    "SELECT json_array(name, position) FROM checkpoints",
];
/// The separator of results.
const SEPARATOR: &str = "--";

/// The log and the read models at one moment.
pub async fn snapshot(file: &Path) -> anyhow::Result<Snapshot> {
    let taken_at = now().timestamp_micros();
    let queries = QUERIES.map(|query| format!("{query};SELECT '{SEPARATOR}';")).concat();
    let mut sqlite = Command::new("sqlite3");
    sqlite.args(["-batch", "-cmd", ".timeout 10000"]).arg(file).arg(format!("BEGIN;{queries}COMMIT;"));
    let output = sqlite.stdin(Stdio::null()).kill_on_drop(true).output().await.context("running sqlite3")?;
    ensure!(output.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let next = format!("{SEPARATOR}\n");
    let mut tables = text.split(&next).map(rows);
    let mut next = || tables.next().context("every question has an answer")?;
    let (log, ownerships, claims, due, apps, checkpoints) =
        (next()?, next()?, next()?, next()?, next()?, next()?);
    let views = Views {
        ownerships: ownerships.into_iter().map(ownership).collect::<anyhow::Result<_>>()?,
        claims: claims.into_iter().map(claim).collect::<anyhow::Result<_>>()?,
        due: due.into_iter().map(due_row).collect::<anyhow::Result<_>>()?,
        apps: apps
            .into_iter()
            .map(|row| Ok(<(String, String)>::deserialize(row)?))
            .collect::<anyhow::Result<_>>()?,
        checkpoints: checkpoints
            .into_iter()
            .map(|row| Ok(<(String, i64)>::deserialize(row)?))
            .collect::<anyhow::Result<_>>()?,
    };
    Ok(Snapshot { log: log.into_iter().map(event).collect::<anyhow::Result<_>>()?, views, taken_at })
}

fn rows(answer: &str) -> anyhow::Result<Vec<Value>> {
    answer.lines().filter(|line| !line.is_empty()).map(|line| Ok(serde_json::from_str(line)?)).collect()
}

fn event(row: Value) -> anyhow::Result<LogRow> {
    let (position, stream, version, kind, payload, recorded_at) = Deserialize::deserialize(row)?;
    Ok(LogRow { position, stream, version, kind, payload, recorded_at })
}

fn ownership(row: Value) -> anyhow::Result<(String, OwnershipRow)> {
    let (stream, version, body) = Deserialize::deserialize(row)?;
    Ok((stream, OwnershipRow { version, body }))
}

/// The queried columns of `claims`; an empty app means the workspace itself.
type ClaimColumns = (String, String, i64, String, Option<String>, String, String, String, i64, i64, Value);

fn claim(row: Value) -> anyhow::Result<(String, ClaimRow)> {
    let (id, stream, version, workspace, app, name, scope, status, initiated_at, open, body) =
        ClaimColumns::deserialize(row)?;
    let (app, open) = (app.filter(|app| !app.is_empty()), open == 1);
    Ok((id, ClaimRow { stream, version, workspace, app, name, scope, status, initiated_at, open, body }))
}

fn due_row(row: Value) -> anyhow::Result<((String, String, String, i64), DueRow)> {
    let (stream, claim, kind, attempt, due_at, visible_at) = Deserialize::deserialize(row)?;
    Ok(((stream, claim, kind, attempt), DueRow { due_at, visible_at }))
}
