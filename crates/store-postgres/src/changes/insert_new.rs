//! Inserts the rows of new streams.
use sqlx::postgres::PgConnection;

use super::ownership_columns::{ClaimColumns, DueColumns, OwnershipColumns, SnapshotColumns};

impl OwnershipColumns<'_> {
    /// Fails when a row exists.
    pub(super) async fn insert(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        if !self.ownerships.streams.is_empty() {
            self.ownerships.insert(connection).await?;
        }
        if !self.claims.ids.is_empty() {
            self.claims.insert(connection).await?;
        }
        if !self.due.streams.is_empty() {
            self.due.insert(connection).await?;
        }
        Ok(())
    }
}

impl SnapshotColumns<'_> {
    async fn insert(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let rows = self;
        sqlx::query!(
            "INSERT INTO ownerships (stream, version, body)
             SELECT stream, version, body::json FROM unnest($1::text[], $2::bigint[], $3::text[]) AS r (stream, version, body)",
            &rows.streams as &[&str],
            &rows.versions,
            &rows.bodies
        )
        .execute(connection)
        .await
        .map(|_| ())
    }
}

impl ClaimColumns<'_> {
    async fn insert(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let rows = self;
        sqlx::query!(
            "INSERT INTO claims
                 (claim_id, stream, version, workspace, app, name, scope, status, initiated_at, open, body)
             SELECT claim_id, stream, version, workspace, app, name, scope, status, initiated_at, open, body::json
             FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                         $9::timestamptz[], $10::boolean[], $11::text[])
                 AS r (claim_id, stream, version, workspace, app, name, scope, status, initiated_at, open, body)",
            &rows.ids,
            &rows.streams as &[&str],
            &rows.versions,
            &rows.workspaces as &[&str],
            &rows.apps as &[Option<&str>],
            &rows.names as &[&str],
            &rows.scopes as &[&str],
            &rows.statuses as &[&str],
            &rows.initiated,
            &rows.open,
            &rows.bodies
        )
        .execute(connection)
        .await
        .map(|_| ())
    }
}

impl DueColumns<'_> {
    async fn insert(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let rows = self;
        sqlx::query!(
            "INSERT INTO due_work (stream, claim_id, kind, attempt, due_at, visible_at)
             SELECT stream, claim_id, kind, attempt, due_at, due_at
             FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[])
                 AS r (stream, claim_id, kind, attempt, due_at)",
            &rows.streams as &[&str],
            &rows.claims,
            &rows.kinds as &[&str],
            &rows.attempts,
            &rows.instants
        )
        .execute(connection)
        .await
        .map(|_| ())
    }
}
