//! The read models: rows and checkpoint move in one transaction.
use async_trait::async_trait;
use deed_claims::{Scope, StreamId, WorkspaceId};
use deed_store::{
    AppPage, AppRow, Changes, ClaimPage, ClaimQuery, ClaimRow, Cursor, Lease, LeaseError, OwnershipRow,
    Position, ReadModels, Unavailable, Version, spans,
};

use crate::columns::{Reading, micros, rows, signed};
use crate::open::SqliteStore;
use crate::read::SYSTEM;
use crate::writer::Durability;
use crate::{changes, checkpoints, digest};

/// A folded state, or an app, as it lies in its table.
struct StateRow {
    stream: String,
    version: i64,
    body: String,
}

impl StateRow {
    fn ownership(self, reading: Reading) -> Result<OwnershipRow, Unavailable> {
        Ok(OwnershipRow {
            stream: reading.parsed("stream", &self.stream)?,
            version: Version(reading.number("version", self.version)?),
            state: reading.json("body", &self.body)?,
        })
    }

    fn app(self, reading: Reading) -> Result<AppRow, Unavailable> {
        Ok(AppRow {
            stream: reading.parsed("stream", &self.stream)?,
            version: Version(reading.number("version", self.version)?),
            app: reading.json("body", &self.body)?,
        })
    }
}

/// A claim as it lies in its table.
struct ClaimColumns {
    stream: String,
    version: i64,
    name: String,
    scope: String,
    status: String,
    body: String,
}

impl ClaimColumns {
    fn decode(self, reading: Reading) -> Result<ClaimRow, Unavailable> {
        let scope = [Scope::Apex, Scope::Host].into_iter().find(|s| changes::scope(*s) == self.scope);
        Ok(ClaimRow {
            stream: reading.parsed("stream", &self.stream)?,
            version: Version(reading.number("version", self.version)?),
            name: reading.parsed("name", &self.name)?,
            scope: scope.ok_or_else(|| reading.unreadable("scope", None))?,
            status: self.status,
            claim: reading.json("body", &self.body)?,
        })
    }
}

#[async_trait]
impl ReadModels for SqliteStore {
    async fn ownerships(&self, streams: &[StreamId]) -> Result<Vec<OwnershipRow>, Unavailable> {
        const WHAT: &str = "read folded states";
        let streams = rows(WHAT, streams)?;
        sqlx::query_as!(
            StateRow,
            "SELECT stream, version, body FROM ownerships WHERE stream IN (SELECT value FROM json_each(?))",
            streams
        )
        .fetch_all(&self.database.readers)
        .await
        .map_err(|e| Unavailable::new(WHAT, e))?
        .into_iter()
        .map(|row| row.ownership(Reading(WHAT)))
        .collect()
    }

    async fn apps(&self, streams: &[StreamId]) -> Result<Vec<AppRow>, Unavailable> {
        const WHAT: &str = "read apps";
        let streams = rows(WHAT, streams)?;
        sqlx::query_as!(
            StateRow,
            "SELECT stream, version, body FROM apps WHERE stream IN (SELECT value FROM json_each(?))",
            streams
        )
        .fetch_all(&self.database.readers)
        .await
        .map_err(|e| Unavailable::new(WHAT, e))?
        .into_iter()
        .map(|row| row.app(Reading(WHAT)))
        .collect()
    }

    async fn apply(
        &self,
        lease: &Lease,
        from: Position,
        to: Position,
        changes: Changes,
    ) -> Result<(), LeaseError> {
        const WHAT: &str = "apply changes to the read models";
        let applied = async {
            let columns = changes::Columns::of(WHAT, &changes)?;
            let mut turn = self.database.writer.turn(Durability::Ordered, WHAT).await?;
            let mut tx = turn.begin().await?;
            checkpoints::advance(&mut tx, WHAT, lease, from, to).await?;
            columns.write(&mut tx).await.map_err(|e| Unavailable::new(WHAT, e))?;
            tx.commit().await.map_err(|e| Unavailable::new(WHAT, e).into())
        };
        spans::applying(SYSTEM, applied).await
    }

    async fn reset(&self, lease: &Lease) -> Result<(), LeaseError> {
        const WHAT: &str = "reset the read models";
        let mut turn = self.database.writer.turn(Durability::Ordered, WHAT).await?;
        let mut tx = turn.begin().await?;
        checkpoints::rewind(&mut tx, WHAT, lease).await?;
        changes::clear(&mut tx).await.map_err(|e| Unavailable::new(WHAT, e))?;
        tx.commit().await.map_err(|e| Unavailable::new(WHAT, e).into())
    }

    async fn claims(&self, query: &ClaimQuery) -> Result<ClaimPage, Unavailable> {
        const WHAT: &str = "list claims";
        let workspace = query.workspace_id.as_str();
        let app = query.app_id.as_ref().map(deed_claims::AppId::as_str);
        let statuses = rows(WHAT, &query.statuses)?;
        // No instant reaches the end of the range, so the first page begins after it.
        let (at, id) = match &query.after {
            Some(cursor) => (micros(cursor.initiated_at), cursor.claim_id.to_string()),
            None => (i64::MAX, String::new()),
        };
        // One more tells whether there is another page.
        let limit = signed(query.limit.saturating_add(1));
        let found = sqlx::query_as!(
            ClaimColumns,
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
        .fetch_all(&self.database.readers)
        .await
        .map_err(|e| Unavailable::new(WHAT, e))?;
        let more = found.len() > query.limit;
        let rows = found.into_iter().take(query.limit).map(|row| row.decode(Reading(WHAT)));
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        let next = rows.last().filter(|_| more);
        let next = next.map(|r| Cursor { initiated_at: r.claim.initiated_at, claim_id: r.claim.id });
        Ok(ClaimPage { rows, next })
    }

    async fn open_claims(&self, workspace: &WorkspaceId) -> Result<u64, Unavailable> {
        const WHAT: &str = "count open claims";
        let workspace = workspace.as_str();
        let count = sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!: i64" FROM claims WHERE workspace = ? AND open = 1"#,
            workspace
        )
        .fetch_one(&self.database.readers)
        .await
        .map_err(|e| Unavailable::new(WHAT, e))?;
        Reading(WHAT).number("count", count)
    }

    async fn apps_of(
        &self,
        workspace: &WorkspaceId,
        limit: usize,
        offset: usize,
    ) -> Result<AppPage, Unavailable> {
        const WHAT: &str = "list apps";
        let failed = |e| Unavailable::new(WHAT, e);
        let (workspace, limit, offset) = (workspace.as_str(), signed(limit), signed(offset));
        // One transaction, so that page and total agree.
        let mut tx = self.database.readers.begin().await.map_err(failed)?;
        let total = sqlx::query_scalar!(
            r#"SELECT count(*) AS "total!: i64" FROM apps WHERE workspace = ? AND deleted = 0"#,
            workspace
        )
        .fetch_one(&mut *tx)
        .await
        .map_err(failed)?;
        let found = sqlx::query_as!(
            StateRow,
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
        let rows = found.into_iter().map(|row| row.app(Reading(WHAT))).collect::<Result<_, _>>()?;
        Ok(AppPage { rows, total: Reading(WHAT).number("total", total)? })
    }

    async fn digest(&self) -> Result<String, Unavailable> {
        digest::digest(&self.database.readers)
            .await
            .map_err(|e| Unavailable::new("digest the read models", e))
    }
}
