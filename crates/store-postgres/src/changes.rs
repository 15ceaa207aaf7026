//! What a batch changes in the read models, as columns: one statement a table for any number of rows.
use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use deed_claims::Scope;
use deed_store::{AppRow, Changes, ClaimRow, DueRow, OwnershipRow, Unavailable};
use sqlx::postgres::PgConnection;

use crate::columns::signed;

/// The stable text of a scope.
pub(crate) const fn scope(scope: Scope) -> &'static str {
    match scope {
        Scope::Apex => "apex",
        Scope::Host => "host",
    }
}

/// Changes, column by column. Bodies are text before a transaction begins.
pub(crate) struct Columns<'a> {
    /// Streams of which all claims and all due work are given.
    touched: Vec<&'a str>,
    ownerships: Vec<&'a OwnershipRow>,
    ownership_bodies: Vec<String>,
    claims: Vec<&'a ClaimRow>,
    claim_ids: Vec<String>,
    claim_bodies: Vec<String>,
    /// In the order of their key: everybody who changes several locks them in it.
    due: Vec<(&'a str, String, &'a DueRow)>,
    apps: Vec<&'a AppRow>,
    app_bodies: Vec<String>,
}

impl<'a> Columns<'a> {
    pub(crate) fn of(what: &'static str, changes: &'a Changes) -> Result<Self, Unavailable> {
        let unwritable = |e: serde_json::Error| Unavailable::new(what, e);
        let touched = changes.ownerships.iter().map(|row| row.stream.as_str());
        let touched = touched.chain(changes.claims.iter().map(|row| row.stream.as_str()));
        let touched = touched.chain(changes.due.iter().map(|(stream, _)| stream.as_str()));
        let due = changes.due.iter().map(|(stream, row)| (stream.as_str(), row.claim_id.to_string(), row));
        let mut due: Vec<_> = due.collect();
        due.sort_by(|(s, c, d), (t, e, f)| {
            (s, c, d.kind.as_str(), d.attempt).cmp(&(t, e, f.kind.as_str(), f.attempt))
        });
        let ownerships = changes.ownerships.iter().map(|row| serde_json::to_string(&row.state));
        let claims = changes.claims.iter().map(|row| serde_json::to_string(&row.claim));
        let apps = changes.apps.iter().map(|row| serde_json::to_string(&row.app));
        Ok(Self {
            touched: touched.collect::<BTreeSet<_>>().into_iter().collect(),
            ownership_bodies: ownerships.collect::<Result<_, _>>().map_err(unwritable)?,
            ownerships: changes.ownerships.iter().collect(),
            claim_bodies: claims.collect::<Result<_, _>>().map_err(unwritable)?,
            claim_ids: changes.claims.iter().map(|row| row.claim.id.to_string()).collect(),
            claims: changes.claims.iter().collect(),
            due,
            app_bodies: apps.collect::<Result<_, _>>().map_err(unwritable)?,
            apps: changes.apps.iter().collect(),
        })
    }

    pub(crate) async fn write(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        if !self.ownerships.is_empty() {
            self.write_ownerships(connection).await?;
        }
        if !self.touched.is_empty() {
            self.write_claims(connection).await?;
            self.write_due(connection).await?;
        }
        if !self.apps.is_empty() {
            self.write_apps(connection).await?;
        }
        Ok(())
    }

    async fn write_ownerships(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let streams: Vec<_> = self.ownerships.iter().map(|row| row.stream.as_str()).collect();
        let versions: Vec<_> = self.ownerships.iter().map(|row| signed(row.version.0)).collect();
        sqlx::query!(
            "INSERT INTO ownerships (stream, version, body)
             SELECT stream, version, body::json FROM unnest($1::text[], $2::bigint[], $3::text[]) AS r (stream, version, body)
             ON CONFLICT (stream) DO UPDATE SET version = excluded.version, body = excluded.body",
            &streams as &[&str],
            &versions,
            &self.ownership_bodies
        )
        .execute(connection)
        .await
        .map(|_| ())
    }

    async fn write_claims(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "DELETE FROM claims WHERE stream = ANY ($1::text[])
             AND NOT EXISTS (SELECT FROM unnest($2::text[]) AS kept (claim_id) WHERE kept.claim_id = claims.claim_id)",
            &self.touched as &[&str],
            &self.claim_ids
        )
        .execute(&mut *connection)
        .await?;
        if self.claims.is_empty() {
            return Ok(());
        }
        let streams: Vec<_> = self.claims.iter().map(|row| row.stream.as_str()).collect();
        let versions: Vec<_> = self.claims.iter().map(|row| signed(row.version.0)).collect();
        let workspaces: Vec<_> =
            self.claims.iter().map(|row| row.claim.holder.workspace().as_str()).collect();
        let apps = self.claims.iter().map(|row| row.claim.holder.app().map(deed_claims::AppId::as_str));
        let apps: Vec<Option<&str>> = apps.collect();
        let names: Vec<_> = self.claims.iter().map(|row| row.name.as_str()).collect();
        let scopes: Vec<_> = self.claims.iter().map(|row| scope(row.scope)).collect();
        let statuses: Vec<_> = self.claims.iter().map(|row| row.status.as_str()).collect();
        let initiated: Vec<DateTime<Utc>> = self.claims.iter().map(|row| row.claim.initiated_at).collect();
        let open: Vec<_> =
            self.claims.iter().map(|row| row.claim.is_open() && !row.claim.is_held()).collect();
        sqlx::query!(
            "INSERT INTO claims
                 (claim_id, stream, version, workspace, app, name, scope, status, initiated_at, open, body)
             SELECT claim_id, stream, version, workspace, app, name, scope, status, initiated_at, open, body::json
             FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                         $9::timestamptz[], $10::boolean[], $11::text[])
                 AS r (claim_id, stream, version, workspace, app, name, scope, status, initiated_at, open, body)
             ON CONFLICT (claim_id) DO UPDATE SET
                 stream = excluded.stream, version = excluded.version, workspace = excluded.workspace,
                 app = excluded.app, name = excluded.name, scope = excluded.scope, status = excluded.status,
                 initiated_at = excluded.initiated_at, open = excluded.open, body = excluded.body",
            &self.claim_ids,
            &streams as &[&str],
            &versions,
            &workspaces as &[&str],
            &apps as &[Option<&str>],
            &names as &[&str],
            &scopes as &[&str],
            &statuses as &[&str],
            &initiated,
            &open,
            &self.claim_bodies
        )
        .execute(connection)
        .await
        .map(|_| ())
    }

    async fn write_due(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let streams: Vec<_> = self.due.iter().map(|(stream, ..)| *stream).collect();
        let claims: Vec<_> = self.due.iter().map(|(_, claim, _)| claim.as_str()).collect();
        let kinds: Vec<_> = self.due.iter().map(|(.., row)| row.kind.as_str()).collect();
        let attempts: Vec<i64> = self.due.iter().map(|(.., row)| row.attempt.into()).collect();
        let instants: Vec<_> = self.due.iter().map(|(.., row)| row.due_at).collect();
        sqlx::query!(
            "DELETE FROM due_work AS d WHERE stream = ANY ($1::text[]) AND NOT EXISTS (
                 SELECT FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[])
                     AS kept (stream, claim_id, kind, attempt)
                 WHERE kept.stream = d.stream AND kept.claim_id = d.claim_id AND kept.kind = d.kind
                   AND kept.attempt = d.attempt)",
            &self.touched as &[&str],
            &streams as &[&str],
            &claims as &[&str],
            &kinds as &[&str],
            &attempts
        )
        .execute(&mut *connection)
        .await?;
        if self.due.is_empty() {
            return Ok(());
        }
        // A row that is due when it was keeps its visibility.
        sqlx::query!(
            "INSERT INTO due_work (stream, claim_id, kind, attempt, due_at, visible_at)
             SELECT stream, claim_id, kind, attempt, due_at, due_at
             FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[])
                 AS r (stream, claim_id, kind, attempt, due_at)
             ON CONFLICT (stream, claim_id, kind, attempt) DO UPDATE SET
                 due_at = excluded.due_at, visible_at = excluded.due_at
             WHERE due_work.due_at <> excluded.due_at",
            &streams as &[&str],
            &claims as &[&str],
            &kinds as &[&str],
            &attempts,
            &instants
        )
        .execute(connection)
        .await
        .map(|_| ())
    }

    async fn write_apps(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let streams: Vec<_> = self.apps.iter().map(|row| row.stream.as_str()).collect();
        let versions: Vec<_> = self.apps.iter().map(|row| signed(row.version.0)).collect();
        let ids: Vec<_> = self.apps.iter().map(|row| row.app.app_id.as_str()).collect();
        let workspaces: Vec<_> = self.apps.iter().map(|row| row.app.workspace_id.as_str()).collect();
        let created: Vec<_> = self.apps.iter().map(|row| row.app.created_at).collect();
        let deleted: Vec<_> = self.apps.iter().map(|row| row.app.deleted).collect();
        sqlx::query!(
            "INSERT INTO apps (stream, version, app_id, workspace, created_at, deleted, body)
             SELECT stream, version, app_id, workspace, created_at, deleted, body::json
             FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::timestamptz[], $6::boolean[], $7::text[])
                 AS r (stream, version, app_id, workspace, created_at, deleted, body)
             ON CONFLICT (stream) DO UPDATE SET
                 version = excluded.version, app_id = excluded.app_id, workspace = excluded.workspace,
                 created_at = excluded.created_at, deleted = excluded.deleted, body = excluded.body",
            &streams as &[&str],
            &versions,
            &ids as &[&str],
            &workspaces as &[&str],
            &created,
            &deleted,
            &self.app_bodies
        )
        .execute(connection)
        .await
        .map(|_| ())
    }
}

/// Empties every read model. Rows are deleted, not cut off: whoever reads meanwhile sees them until this is committed.
pub(crate) async fn clear(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM ownerships").execute(&mut *connection).await?;
    sqlx::query!("DELETE FROM claims").execute(&mut *connection).await?;
    sqlx::query!("DELETE FROM due_work").execute(&mut *connection).await?;
    sqlx::query!("DELETE FROM apps").execute(connection).await?;
    Ok(())
}
