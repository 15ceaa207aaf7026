//! Replaces the rows of streams that may have rows.
use sqlx::postgres::PgConnection;

use super::ownership_columns::OwnershipColumns;

impl OwnershipColumns<'_> {
    /// Afterwards the streams have exactly the given rows.
    pub(super) async fn replace(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        if !self.ownerships.streams.is_empty() {
            self.replace_ownerships(connection).await?;
        }
        if !self.stream_ids.is_empty() {
            self.replace_claims(connection).await?;
            self.replace_due(connection).await?;
        }
        Ok(())
    }

    async fn replace_ownerships(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let rows = &self.ownerships;
        sqlx::query!(
            "INSERT INTO ownerships (stream, version, body)
             SELECT stream, version, body::json FROM unnest($1::text[], $2::bigint[], $3::text[]) AS r (stream, version, body)
             ON CONFLICT (stream) DO UPDATE SET version = excluded.version, body = excluded.body",
            &rows.streams as &[&str],
            &rows.versions,
            &rows.bodies
        )
        .execute(connection)
        .await
        .map(|_| ())
    }

    async fn replace_claims(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let rows = &self.claims;
        sqlx::query!(
            "DELETE FROM claims WHERE stream = ANY ($1::text[])
             AND NOT EXISTS (SELECT FROM unnest($2::text[]) AS kept (claim_id) WHERE kept.claim_id = claims.claim_id)",
            &self.stream_ids as &[&str],
            &rows.ids
        )
        .execute(&mut *connection)
        .await?;
        if rows.ids.is_empty() {
            return Ok(());
        }
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

    async fn replace_due(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let rows = &self.due;
        sqlx::query!(
            "DELETE FROM due_work AS d WHERE stream = ANY ($1::text[]) AND NOT EXISTS (
                 SELECT FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[])
                     AS kept (stream, claim_id, kind, attempt)
                 WHERE kept.stream = d.stream AND kept.claim_id = d.claim_id AND kept.kind = d.kind
                   AND kept.attempt = d.attempt)",
            &self.stream_ids as &[&str],
            &rows.streams as &[&str],
            &rows.claims,
            &rows.kinds as &[&str],
            &rows.attempts
        )
        .execute(&mut *connection)
        .await?;
        if rows.streams.is_empty() {
            return Ok(());
        }
        // A row with an unchanged due time keeps its visibility.
        sqlx::query!(
            "INSERT INTO due_work (stream, claim_id, kind, attempt, due_at, visible_at)
             SELECT stream, claim_id, kind, attempt, due_at, due_at
             FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[])
                 AS r (stream, claim_id, kind, attempt, due_at)
             ON CONFLICT (stream, claim_id, kind, attempt) DO UPDATE SET
                 due_at = excluded.due_at, visible_at = excluded.due_at
             WHERE due_work.due_at <> excluded.due_at",
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
