//! The read models: rows and checkpoint move in one transaction.
use async_trait::async_trait;
use deed_claims::{Scope, StreamId, WorkspaceId};
use deed_store::{
    AppPage, AppRow, Changes, ClaimPage, ClaimQuery, ClaimRow, Cursor, Lease, LeaseError, OwnershipRow,
    Position, ReadModels, Unavailable, Version, spans,
};
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use crate::changes::Fresh;
use crate::columns::{Reading, signed};
use crate::open::PostgresStore;
use crate::pool::Failure;
use crate::read::SYSTEM;
use crate::session::prolong;
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

/// Whether the changes were applied; not when the lease or the checkpoint has moved on.
async fn apply(
    connection: &mut PgConnection,
    lease: &Lease,
    from: Position,
    to: Position,
    columns: &changes::Columns<'_>,
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

/// Whether the read models were emptied; not when the lease has moved on.
async fn reset(connection: &mut PgConnection, lease: &Lease) -> Result<bool, sqlx::Error> {
    let mut tx = connection.begin().await?;
    prolong(&mut *tx, digest::PATIENCE).await?;
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
        const WHAT: &str = "read folded states";
        let streams: Vec<_> = streams.iter().map(StreamId::as_str).collect();
        let mut connection = self.database.general.take(WHAT).await?;
        let found = sqlx::query_as!(
            StateRow,
            r#"SELECT stream, version, body::text AS "body!" FROM ownerships WHERE stream = ANY ($1::text[])"#,
            &streams as &[&str]
        );
        let found = connection.until().wait(found.fetch_all(&mut *connection)).await;
        connection.done(found)?.into_iter().map(|row| row.ownership(Reading(WHAT))).collect()
    }

    async fn apps(&self, streams: &[StreamId]) -> Result<Vec<AppRow>, Unavailable> {
        const WHAT: &str = "read apps";
        let streams: Vec<_> = streams.iter().map(StreamId::as_str).collect();
        let mut connection = self.database.general.take(WHAT).await?;
        let found = sqlx::query_as!(
            StateRow,
            r#"SELECT stream, version, body::text AS "body!" FROM apps WHERE stream = ANY ($1::text[])"#,
            &streams as &[&str]
        );
        let found = connection.until().wait(found.fetch_all(&mut *connection)).await;
        connection.done(found)?.into_iter().map(|row| row.app(Reading(WHAT))).collect()
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
            let attempt = async |fresh| {
                let columns = changes::Columns::of(WHAT, &changes, fresh)?;
                let mut connection = self.database.general.take(WHAT).await?;
                let applied =
                    connection.until().wait(apply(&mut connection, lease, from, to, &columns)).await;
                let duplicate = applied.as_ref().is_err_and(Failure::is_duplicate);
                Ok::<_, Unavailable>((connection.done(applied), duplicate))
            };
            let (mut applied, duplicate) = attempt(Fresh::Believed).await?;
            if duplicate && !changes.fresh.is_empty() {
                tracing::warn!("rows were there that were to be shown for the first time; they are replaced");
                (applied, _) = attempt(Fresh::Doubted).await?;
            }
            checkpoints::unless_lost(applied?)
        };
        spans::applying(SYSTEM, applied).await
    }

    async fn reset(&self, lease: &Lease) -> Result<(), LeaseError> {
        let mut connection = self.database.general.take("reset the read models").await?;
        let emptied = connection.prolong(digest::PATIENCE).wait(reset(&mut connection, lease)).await;
        checkpoints::unless_lost(connection.done(emptied)?)
    }

    async fn claims(&self, query: &ClaimQuery) -> Result<ClaimPage, Unavailable> {
        const WHAT: &str = "list claims";
        let app = query.app_id.as_ref().map_or("", deed_claims::AppId::as_str);
        let at = query.after.as_ref().map(|cursor| cursor.initiated_at);
        let id = query.after.as_ref().map(|cursor| cursor.claim_id.to_string()).unwrap_or_default();
        let mut connection = self.database.general.take(WHAT).await?;
        // No instant reaches the end of time, so the first page begins there. One more tells whether there is another.
        let found = sqlx::query_as!(
            ClaimColumns,
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
            signed(query.limit.saturating_add(1))
        );
        let found = connection.until().wait(found.fetch_all(&mut *connection)).await;
        let found = connection.done(found)?;
        let more = found.len() > query.limit;
        let rows = found.into_iter().take(query.limit).map(|row| row.decode(Reading(WHAT)));
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        let next = rows.last().filter(|_| more);
        let next = next.map(|r| Cursor { initiated_at: r.claim.initiated_at, claim_id: r.claim.id });
        Ok(ClaimPage { rows, next })
    }

    async fn open_claims(&self, workspace: &WorkspaceId) -> Result<u64, Unavailable> {
        const WHAT: &str = "count open claims";
        let mut connection = self.database.general.take(WHAT).await?;
        let count = sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM claims WHERE workspace = $1 AND open"#,
            workspace.as_str()
        );
        let count = connection.until().wait(count.fetch_one(&mut *connection)).await;
        Reading(WHAT).number("count", connection.done(count)?)
    }

    /// One statement, so that page and total agree; a page without rows is one row without an app.
    async fn apps_of(
        &self,
        workspace: &WorkspaceId,
        limit: usize,
        offset: usize,
    ) -> Result<AppPage, Unavailable> {
        const WHAT: &str = "list apps";
        let mut connection = self.database.general.take(WHAT).await?;
        let found = sqlx::query!(
            r#"SELECT total.count AS "total!", page.stream AS "stream?", page.version AS "version?",
                      page.body::text AS body
               FROM (SELECT count(*) FROM apps WHERE workspace = $1 AND NOT deleted) AS total
               LEFT JOIN LATERAL (
                   SELECT stream, version, body, created_at, app_id FROM apps WHERE workspace = $1 AND NOT deleted
                   ORDER BY created_at, app_id LIMIT $2 OFFSET $3) AS page ON true
               ORDER BY page.created_at, page.app_id"#,
            workspace.as_str(),
            signed(limit),
            signed(offset)
        );
        let found = connection.until().wait(found.fetch_all(&mut *connection)).await;
        let (found, reading) = (connection.done(found)?, Reading(WHAT));
        let total = found.first().map_or(0, |row| row.total);
        let rows = found.into_iter().filter_map(|row| {
            let (stream, version, body) = (row.stream?, row.version?, row.body?);
            Some(StateRow { stream, version, body }.app(reading))
        });
        Ok(AppPage { rows: rows.collect::<Result<_, _>>()?, total: reading.number("total", total)? })
    }

    async fn digest(&self) -> Result<String, Unavailable> {
        let mut connection = self.database.general.take("digest the read models").await?;
        let digest = connection.prolong(digest::PATIENCE).wait(digest::digest(&mut connection)).await;
        connection.done(digest)
    }
}
