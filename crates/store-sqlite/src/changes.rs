//! Changes of the read models as JSON rows: one statement per table for any number of rows.
use std::collections::BTreeSet;

use deed_claims::StreamId;
use deed_store::rows::scope;
use deed_store::{Changes, Unavailable};
use serde::Serialize;
use sqlx::sqlite::SqliteConnection;

use crate::columns::{json_rows, micros};

/// Stream, version, body.
#[derive(Serialize)]
struct OwnershipJson<'a>(&'a str, u64, String);

/// Claim, stream, version, workspace, app, name, scope, status, time of initiation, open and not held, body.
#[derive(Serialize)]
struct ClaimJson<'a>(
    String,
    &'a str,
    u64,
    &'a str,
    Option<&'a str>,
    &'a str,
    &'static str,
    &'a str,
    i64,
    u8,
    String,
);

/// Stream, claim, kind, attempt, due time.
#[derive(Serialize)]
struct DueJson<'a>(&'a str, String, &'static str, u32, i64);

/// Stream, version, app, workspace, time of creation, deleted, body.
#[derive(Serialize)]
struct AppJson<'a>(&'a str, u64, &'a str, &'a str, i64, u8, String);

/// Changes as JSON arrays, one per table.
pub(crate) struct EncodedChanges {
    /// Streams that may have rows already: claims and due work that are not given are deleted.
    replaced: String,
    ownerships: String,
    claims: String,
    due: String,
    apps: String,
}

impl EncodedChanges {
    pub(crate) fn of(operation: &'static str, changes: &Changes) -> Result<Self, Unavailable> {
        let unwritable = |e: serde_json::Error| Unavailable::new(operation, e);
        let streams = changes.ownerships.iter().map(|row| row.stream.as_str());
        let streams = streams.chain(changes.claims.iter().map(|row| row.stream.as_str()));
        let streams = streams.chain(changes.due.iter().map(|(stream, _)| stream.as_str()));
        // New streams have no rows to replace.
        let new: BTreeSet<_> = changes.new_streams.iter().map(StreamId::as_str).collect();
        let replaced = streams.filter(|stream| !new.contains(stream));
        let replaced: Vec<_> = replaced.collect::<BTreeSet<_>>().into_iter().collect();
        let ownerships = changes.ownerships.iter().map(|row| {
            let body = serde_json::to_string(&row.state)?;
            Ok(OwnershipJson(row.stream.as_str(), row.version.0, body))
        });
        let claims = changes.claims.iter().map(|row| {
            let claim = &row.claim;
            Ok(ClaimJson(
                claim.id.to_string(),
                row.stream.as_str(),
                row.version.0,
                claim.holder.workspace().as_str(),
                claim.holder.app().map(deed_claims::AppId::as_str),
                row.name.as_str(),
                scope(row.scope),
                &row.status,
                micros(claim.initiated_at),
                u8::from(claim.is_open() && !claim.is_held()),
                serde_json::to_string(claim)?,
            ))
        });
        let due = changes.due.iter().map(|(stream, row)| {
            let (kind, at) = (row.kind.as_str(), micros(row.due_at));
            DueJson(stream.as_str(), row.claim_id.to_string(), kind, row.attempt, at)
        });
        let apps = changes.apps.iter().map(|row| {
            let app = &row.app;
            Ok(AppJson(
                row.stream.as_str(),
                row.version.0,
                app.app_id.as_str(),
                app.workspace_id.as_str(),
                micros(app.created_at),
                u8::from(app.deleted),
                serde_json::to_string(app)?,
            ))
        });
        Ok(Self {
            replaced: json_rows(operation, &replaced)?,
            ownerships: json_rows(
                operation,
                &ownerships.collect::<Result<Vec<_>, _>>().map_err(unwritable)?,
            )?,
            claims: json_rows(operation, &claims.collect::<Result<Vec<_>, _>>().map_err(unwritable)?)?,
            due: json_rows(operation, &due.collect::<Vec<_>>())?,
            apps: json_rows(operation, &apps.collect::<Result<Vec<_>, _>>().map_err(unwritable)?)?,
        })
    }

    pub(crate) async fn write(&self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        self.write_ownerships(connection).await?;
        self.write_claims(connection).await?;
        self.write_due(connection).await?;
        self.write_apps(connection).await
    }

    async fn write_ownerships(&self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "INSERT INTO ownerships (stream, version, body)
             SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?) WHERE true
             ON CONFLICT (stream) DO UPDATE SET version = excluded.version, body = excluded.body",
            self.ownerships
        )
        .execute(connection)
        .await
        .map(|_| ())
    }

    async fn write_claims(&self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "DELETE FROM claims WHERE stream IN (SELECT value FROM json_each(?))
             AND claim_id NOT IN (SELECT value ->> 0 FROM json_each(?))",
            self.replaced,
            self.claims
        )
        .execute(&mut *connection)
        .await?;
        sqlx::query!(
            "INSERT INTO claims
                 (claim_id, stream, version, workspace, app, name, scope, status, initiated_at, open, body)
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
                    value ->> 7, value ->> 8, value ->> 9, value ->> 10
             FROM json_each(?) WHERE true
             ON CONFLICT (claim_id) DO UPDATE SET
                 stream = excluded.stream, version = excluded.version, workspace = excluded.workspace,
                 app = excluded.app, name = excluded.name, scope = excluded.scope, status = excluded.status,
                 initiated_at = excluded.initiated_at, open = excluded.open, body = excluded.body",
            self.claims
        )
        .execute(connection)
        .await
        .map(|_| ())
    }

    async fn write_due(&self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "DELETE FROM due_work WHERE stream IN (SELECT value FROM json_each(?))
             AND (stream, claim_id, kind, attempt) NOT IN (
                 SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?))",
            self.replaced,
            self.due
        )
        .execute(&mut *connection)
        .await?;
        // A row with an unchanged due time keeps its visibility.
        sqlx::query!(
            "INSERT INTO due_work (stream, claim_id, kind, attempt, due_at, visible_at)
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 4
             FROM json_each(?) WHERE true
             ON CONFLICT (stream, claim_id, kind, attempt) DO UPDATE SET
                 due_at = excluded.due_at, visible_at = excluded.due_at
             WHERE due_work.due_at <> excluded.due_at",
            self.due
        )
        .execute(connection)
        .await
        .map(|_| ())
    }

    async fn write_apps(&self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "INSERT INTO apps (stream, version, app_id, workspace, created_at, deleted, body)
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6
             FROM json_each(?) WHERE true
             ON CONFLICT (stream) DO UPDATE SET
                 version = excluded.version, app_id = excluded.app_id, workspace = excluded.workspace,
                 created_at = excluded.created_at, deleted = excluded.deleted, body = excluded.body",
            self.apps
        )
        .execute(connection)
        .await
        .map(|_| ())
    }
}

/// Deletes all rows of the read models.
pub(crate) async fn clear(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM ownerships").execute(&mut *connection).await?;
    sqlx::query!("DELETE FROM claims").execute(&mut *connection).await?;
    sqlx::query!("DELETE FROM due_work").execute(&mut *connection).await?;
    sqlx::query!("DELETE FROM apps").execute(connection).await?;
    Ok(())
}
