//! What a batch changes in the read models, as rows: one statement a table for any number of them.
use std::collections::BTreeSet;

use deed_claims::{Scope, StreamId};
use deed_store::{Changes, Unavailable};
use serde::Serialize;
use sqlx::sqlite::SqliteConnection;

use crate::columns::{micros, rows};

/// Stream, version, body.
#[derive(Serialize)]
struct OwnershipColumns<'a>(&'a str, u64, String);

/// Claim, stream, version, workspace, app, name, scope, status, begin, open and not held, body.
#[derive(Serialize)]
struct ClaimColumns<'a>(
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
struct DueColumns<'a>(&'a str, String, &'static str, u32, i64);

/// Stream, version, app, workspace, creation, deleted, body.
#[derive(Serialize)]
struct AppColumns<'a>(&'a str, u64, &'a str, &'a str, i64, u8, String);

/// The stable text of a scope.
pub(crate) const fn scope(scope: Scope) -> &'static str {
    match scope {
        Scope::Apex => "apex",
        Scope::Host => "host",
    }
}

/// Changes as JSON arrays, one for each table.
pub(crate) struct Columns {
    /// Streams of which all claims and all due work are given, and something may be there.
    touched: String,
    ownerships: String,
    claims: String,
    due: String,
    apps: String,
}

impl Columns {
    pub(crate) fn of(what: &'static str, changes: &Changes) -> Result<Self, Unavailable> {
        let unwritable = |e: serde_json::Error| Unavailable::new(what, e);
        let touched = changes.ownerships.iter().map(|row| row.stream.as_str());
        let touched = touched.chain(changes.claims.iter().map(|row| row.stream.as_str()));
        let touched = touched.chain(changes.due.iter().map(|(stream, _)| stream.as_str()));
        // Of streams that are shown for the first time there is nothing to replace.
        let fresh: BTreeSet<_> = changes.fresh.iter().map(StreamId::as_str).collect();
        let touched = touched.filter(|stream| !fresh.contains(stream));
        let touched: Vec<_> = touched.collect::<BTreeSet<_>>().into_iter().collect();
        let ownerships = changes.ownerships.iter().map(|row| {
            let body = serde_json::to_string(&row.state)?;
            Ok(OwnershipColumns(row.stream.as_str(), row.version.0, body))
        });
        let claims = changes.claims.iter().map(|row| {
            let claim = &row.claim;
            Ok(ClaimColumns(
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
            DueColumns(stream.as_str(), row.claim_id.to_string(), kind, row.attempt, at)
        });
        let apps = changes.apps.iter().map(|row| {
            let app = &row.app;
            Ok(AppColumns(
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
            touched: rows(what, &touched)?,
            ownerships: rows(what, &ownerships.collect::<Result<Vec<_>, _>>().map_err(unwritable)?)?,
            claims: rows(what, &claims.collect::<Result<Vec<_>, _>>().map_err(unwritable)?)?,
            due: rows(what, &due.collect::<Vec<_>>())?,
            apps: rows(what, &apps.collect::<Result<Vec<_>, _>>().map_err(unwritable)?)?,
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
            self.touched,
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
            self.touched,
            self.due
        )
        .execute(&mut *connection)
        .await?;
        // A row that is due when it was keeps its visibility.
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

/// Empties every read model.
pub(crate) async fn clear(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM ownerships").execute(&mut *connection).await?;
    sqlx::query!("DELETE FROM claims").execute(&mut *connection).await?;
    sqlx::query!("DELETE FROM due_work").execute(&mut *connection).await?;
    sqlx::query!("DELETE FROM apps").execute(connection).await?;
    Ok(())
}
