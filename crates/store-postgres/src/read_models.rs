//! The read models: rows and checkpoint change in one transaction.
use async_trait::async_trait;
use deed_claims::{StreamId, WorkspaceId};
use deed_store::rows::{ClaimRecord, StateRecord};
use deed_store::{
    AppPage, AppRow, Changes, ClaimPage, ClaimQuery, Lease, LeaseError, OwnershipRow, Position, ReadModels,
    Unavailable,
};
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use crate::changes::WriteMode;
use crate::columns::{Decoder, to_i64};
use crate::open::PostgresStore;
use crate::pool::CallError;
use crate::session::extend_statement_timeout;
use crate::{changes, checkpoints, digest};

/// Returns whether the changes were applied; false when the lease or the checkpoint has moved on.
async fn apply(
    connection: &mut PgConnection,
    lease: &Lease,
    from: Position,
    to: Position,
    columns: &changes::EncodedChanges<'_>,
) -> Result<bool, sqlx::Error> {
    let mut tx = connection.begin().await?;
    if !checkpoints::advance(&mut tx, lease, from, to).await? {
        tx.rollback().await?;
        return Ok(false);
    }
    columns.write(&mut tx).await?;
    tx.commit().await?;
    Ok(true)
}

/// Returns whether the read models were emptied; false when the lease has moved on.
async fn reset(connection: &mut PgConnection, lease: &Lease) -> Result<bool, sqlx::Error> {
    let mut tx = connection.begin().await?;
    extend_statement_timeout(&mut *tx, digest::TIMEOUT).await?;
    if !checkpoints::rewind(&mut tx, lease).await? {
        tx.rollback().await?;
        return Ok(false);
    }
    changes::clear(&mut tx).await?;
    tx.commit().await?;
    Ok(true)
}

#[async_trait]
impl ReadModels for PostgresStore {
    async fn ownerships(&self, streams: &[StreamId]) -> Result<Vec<OwnershipRow>, Unavailable> {
        const OPERATION: &str = "read snapshots";
        let streams: Vec<_> = streams.iter().map(StreamId::as_str).collect();
        let mut connection = self.inner.general.acquire(OPERATION).await?;
        let found = sqlx::query_as!(
            StateRecord,
            r#"SELECT stream, version, body::text AS "body!" FROM ownerships WHERE stream = ANY ($1::text[])"#,
            &streams as &[&str]
        );
        let found = connection.deadline().run(found.fetch_all(&mut *connection)).await;
        connection.finish(found)?.into_iter().map(|row| row.ownership(Decoder(OPERATION))).collect()
    }

    async fn apps(&self, streams: &[StreamId]) -> Result<Vec<AppRow>, Unavailable> {
        const OPERATION: &str = "read apps";
        let streams: Vec<_> = streams.iter().map(StreamId::as_str).collect();
        let mut connection = self.inner.general.acquire(OPERATION).await?;
        let found = sqlx::query_as!(
            StateRecord,
            r#"SELECT stream, version, body::text AS "body!" FROM apps WHERE stream = ANY ($1::text[])"#,
            &streams as &[&str]
        );
        let found = connection.deadline().run(found.fetch_all(&mut *connection)).await;
        connection.finish(found)?.into_iter().map(|row| row.app(Decoder(OPERATION))).collect()
    }

    async fn apply(
        &self,
        lease: &Lease,
        from: Position,
        to: Position,
        changes: Changes,
    ) -> Result<(), LeaseError> {
        const OPERATION: &str = "apply changes to the read models";
        let attempt = async |mode| {
            let columns = changes::EncodedChanges::of(OPERATION, &changes, mode)?;
            let mut connection = self.inner.general.acquire(OPERATION).await?;
            let applied = connection.deadline().run(apply(&mut connection, lease, from, to, &columns)).await;
            let duplicate = applied.as_ref().is_err_and(CallError::is_duplicate);
            Ok::<_, Unavailable>((connection.finish(applied), duplicate))
        };
        let (mut applied, duplicate) = attempt(WriteMode::InsertNew).await?;
        if duplicate && !changes.new_streams.is_empty() {
            tracing::warn!("rows were there that were to be shown for the first time; they are replaced");
            (applied, _) = attempt(WriteMode::ReplaceAll).await?;
        }
        checkpoints::lost_unless(applied?)
    }

    async fn reset(&self, lease: &Lease) -> Result<(), LeaseError> {
        let mut connection = self.inner.general.acquire("reset the read models").await?;
        let emptied = connection.extend_deadline(digest::TIMEOUT).run(reset(&mut connection, lease)).await;
        checkpoints::lost_unless(connection.finish(emptied)?)
    }

    async fn claims(&self, query: &ClaimQuery) -> Result<ClaimPage, Unavailable> {
        const OPERATION: &str = "list claims";
        let app = query.app_id.as_ref().map_or("", deed_claims::AppId::as_str);
        let at = query.after.as_ref().map(|cursor| cursor.initiated_at);
        let id = query.after.as_ref().map(|cursor| cursor.claim_id.to_string()).unwrap_or_default();
        let mut connection = self.inner.general.acquire(OPERATION).await?;
        // The first page begins at `infinity`. One more row shows whether there is another page.
        let found = sqlx::query_as!(
            ClaimRecord,
            r#"SELECT stream, version, name, scope, status, body::text AS "body!" FROM claims
               WHERE workspace = $1 AND coalesce(app, '') = $2
                 AND (initiated_at, claim_id) < (coalesce($3::timestamptz, 'infinity'), $4)
                 AND (cardinality($5::text[]) = 0 OR status = ANY ($5))
               ORDER BY initiated_at DESC, claim_id DESC LIMIT $6"#,
            query.workspace_id.as_str(),
            app,
            at,
            id,
            &query.statuses,
            to_i64(query.limit.saturating_add(1))
        );
        let found = connection.deadline().run(found.fetch_all(&mut *connection)).await;
        let found = connection.finish(found)?;
        ClaimRecord::page(found, query.limit, Decoder(OPERATION))
    }

    async fn open_claims(&self, workspace: &WorkspaceId) -> Result<u64, Unavailable> {
        const OPERATION: &str = "count open claims";
        let mut connection = self.inner.general.acquire(OPERATION).await?;
        let count = sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM claims WHERE workspace = $1 AND open"#,
            workspace.as_str()
        );
        let count = connection.deadline().run(count.fetch_one(&mut *connection)).await;
        Decoder(OPERATION).number("count", connection.finish(count)?)
    }

    /// One statement, so that the page and the total agree; an empty page is one row without an app.
    async fn apps_of(
        &self,
        workspace: &WorkspaceId,
        limit: usize,
        offset: usize,
    ) -> Result<AppPage, Unavailable> {
        const OPERATION: &str = "list apps";
        let mut connection = self.inner.general.acquire(OPERATION).await?;
        let found = sqlx::query!(
            r#"SELECT total.count AS "total!", page.stream AS "stream?", page.version AS "version?",
                      page.body::text AS body
               FROM (SELECT count(*) FROM apps WHERE workspace = $1 AND NOT deleted) AS total
               LEFT JOIN LATERAL (
                   SELECT stream, version, body, created_at, app_id FROM apps WHERE workspace = $1 AND NOT deleted
                   ORDER BY created_at, app_id LIMIT $2 OFFSET $3) AS page ON true
               ORDER BY page.created_at, page.app_id"#,
            workspace.as_str(),
            to_i64(limit),
            to_i64(offset)
        );
        let found = connection.deadline().run(found.fetch_all(&mut *connection)).await;
        let (found, decoder) = (connection.finish(found)?, Decoder(OPERATION));
        let total = found.first().map_or(0, |row| row.total);
        let rows = found.into_iter().filter_map(|row| {
            let (stream, version, body) = (row.stream?, row.version?, row.body?);
            Some(StateRecord { stream, version, body }.app(decoder))
        });
        Ok(AppPage { rows: rows.collect::<Result<_, _>>()?, total: decoder.number("total", total)? })
    }

    async fn digest(&self) -> Result<String, Unavailable> {
        let mut connection = self.inner.general.acquire("digest the read models").await?;
        let digest = connection.extend_deadline(digest::TIMEOUT).run(digest::digest(&mut connection)).await;
        connection.finish(digest)
    }
}
