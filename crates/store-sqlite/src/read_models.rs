//! The read models: rows and checkpoint change in one transaction.
use async_trait::async_trait;
use deed_claims::{StreamId, WorkspaceId};
use deed_store::rows::{ClaimRecord, StateRecord};
use deed_store::{
    AppPage, AppRow, Changes, ClaimPage, ClaimQuery, Lease, LeaseError, OwnershipRow, Position, ReadModels,
    Unavailable,
};

use crate::columns::{Decoder, json_rows, micros, to_i64};
use crate::open::SqliteStore;
use crate::writer::Durability;
use crate::{changes, checkpoints, digest};

#[async_trait]
impl ReadModels for SqliteStore {
    async fn ownerships(&self, streams: &[StreamId]) -> Result<Vec<OwnershipRow>, Unavailable> {
        const OPERATION: &str = "read snapshots";
        let streams = json_rows(OPERATION, streams)?;
        sqlx::query_as!(
            StateRecord,
            "SELECT stream, version, body FROM ownerships WHERE stream IN (SELECT value FROM json_each(?))",
            streams
        )
        .fetch_all(&self.inner.readers)
        .await
        .map_err(|e| Unavailable::new(OPERATION, e))?
        .into_iter()
        .map(|row| row.ownership(Decoder(OPERATION)))
        .collect()
    }

    async fn apps(&self, streams: &[StreamId]) -> Result<Vec<AppRow>, Unavailable> {
        const OPERATION: &str = "read apps";
        let streams = json_rows(OPERATION, streams)?;
        sqlx::query_as!(
            StateRecord,
            "SELECT stream, version, body FROM apps WHERE stream IN (SELECT value FROM json_each(?))",
            streams
        )
        .fetch_all(&self.inner.readers)
        .await
        .map_err(|e| Unavailable::new(OPERATION, e))?
        .into_iter()
        .map(|row| row.app(Decoder(OPERATION)))
        .collect()
    }

    async fn apply(
        &self,
        lease: &Lease,
        from: Position,
        to: Position,
        changes: Changes,
    ) -> Result<(), LeaseError> {
        const OPERATION: &str = "apply changes to the read models";
        let rows = changes::EncodedChanges::of(OPERATION, &changes)?;
        let mut writer = self.inner.writer.lock(Durability::Ordered, OPERATION).await?;
        let mut tx = writer.begin().await?;
        checkpoints::advance(&mut tx, OPERATION, lease, from, to).await?;
        rows.write(&mut tx).await.map_err(|e| Unavailable::new(OPERATION, e))?;
        tx.commit().await.map_err(|e| Unavailable::new(OPERATION, e).into())
    }

    async fn reset(&self, lease: &Lease) -> Result<(), LeaseError> {
        const OPERATION: &str = "reset the read models";
        let mut writer = self.inner.writer.lock(Durability::Ordered, OPERATION).await?;
        let mut tx = writer.begin().await?;
        checkpoints::rewind(&mut tx, OPERATION, lease).await?;
        changes::clear(&mut tx).await.map_err(|e| Unavailable::new(OPERATION, e))?;
        tx.commit().await.map_err(|e| Unavailable::new(OPERATION, e).into())
    }

    async fn claims(&self, query: &ClaimQuery) -> Result<ClaimPage, Unavailable> {
        const OPERATION: &str = "list claims";
        let workspace = query.workspace_id.as_str();
        let app = query.app_id.as_ref().map(deed_claims::AppId::as_str);
        let statuses = json_rows(OPERATION, &query.statuses)?;
        // No time reaches the end of the range, so the first page begins there.
        let (at, id) = match &query.after {
            Some(cursor) => (micros(cursor.initiated_at), cursor.claim_id.to_string()),
            None => (i64::MAX, String::new()),
        };
        // One more row shows whether there is another page.
        let limit = to_i64(query.limit.saturating_add(1));
        let found = sqlx::query_as!(
            ClaimRecord,
            "SELECT stream, version, name, scope, status, body FROM claims
             WHERE workspace = ?1 AND app IS ?2 AND (initiated_at, claim_id) < (?3, ?4)
               AND (?5 = '[]' OR status IN (SELECT value FROM json_each(?5)))
             ORDER BY initiated_at DESC, claim_id DESC LIMIT ?6",
            workspace,
            app,
            at,
            id,
            statuses,
            limit
        )
        .fetch_all(&self.inner.readers)
        .await
        .map_err(|e| Unavailable::new(OPERATION, e))?;
        ClaimRecord::page(found, query.limit, Decoder(OPERATION))
    }

    async fn open_claims(&self, workspace: &WorkspaceId) -> Result<u64, Unavailable> {
        const OPERATION: &str = "count open claims";
        let workspace = workspace.as_str();
        let count = sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!: i64" FROM claims WHERE workspace = ? AND open = 1"#,
            workspace
        )
        .fetch_one(&self.inner.readers)
        .await
        .map_err(|e| Unavailable::new(OPERATION, e))?;
        Decoder(OPERATION).number("count", count)
    }

    async fn apps_of(
        &self,
        workspace: &WorkspaceId,
        limit: usize,
        offset: usize,
    ) -> Result<AppPage, Unavailable> {
        const OPERATION: &str = "list apps";
        let failed = |e| Unavailable::new(OPERATION, e);
        let (workspace, limit, offset) = (workspace.as_str(), to_i64(limit), to_i64(offset));
        // One transaction, so that the page and the total agree.
        let mut tx = self.inner.readers.begin().await.map_err(failed)?;
        let total = sqlx::query_scalar!(
            r#"SELECT count(*) AS "total!: i64" FROM apps WHERE workspace = ? AND deleted = 0"#,
            workspace
        )
        .fetch_one(&mut *tx)
        .await
        .map_err(failed)?;
        let found = sqlx::query_as!(
            StateRecord,
            "SELECT stream, version, body FROM apps WHERE workspace = ? AND deleted = 0
             ORDER BY created_at, app_id LIMIT ? OFFSET ?",
            workspace,
            limit,
            offset
        )
        .fetch_all(&mut *tx)
        .await
        .map_err(failed)?;
        tx.rollback().await.map_err(failed)?;
        let rows = found.into_iter().map(|row| row.app(Decoder(OPERATION))).collect::<Result<_, _>>()?;
        Ok(AppPage { rows, total: Decoder(OPERATION).number("total", total)? })
    }

    async fn digest(&self) -> Result<String, Unavailable> {
        digest::digest(&self.inner.readers).await.map_err(|e| Unavailable::new("digest the read models", e))
    }
}
