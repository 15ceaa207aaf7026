//! The digest of the read models: one hash, equal for equal contents in every backend.
use std::time::Duration;

use deed_store::rows::TableDigest;
use futures::{Stream, TryStreamExt};
use serde::Serialize;
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use crate::session::extend_statement_timeout;

/// The time limit of a digest, which reads every row.
pub(crate) const TIMEOUT: Duration = Duration::from_mins(10);

/// Hashes every row as JSON text in the order of its key, tables in a fixed order, in one read transaction. Times are
/// microseconds, booleans 1 and 0.
pub(crate) async fn digest(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    let mut tx = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    extend_statement_timeout(&mut *tx, TIMEOUT).await?;
    let mut digest = TableDigest::default();

    let rows =
        sqlx::query!(r#"SELECT stream, version, body::text AS "body!" FROM ownerships ORDER BY stream"#);
    let rows = rows.fetch(&mut *tx).map_ok(|r| (r.stream, r.version, r.body));
    add_rows(&mut digest, "ownerships", rows).await?;

    let rows = sqlx::query!(
        r#"SELECT claim_id, stream, version, workspace, app, name, scope, status, initiated_at, open, body::text AS "body!"
           FROM claims ORDER BY claim_id"#
    );
    let rows = rows.fetch(&mut *tx).map_ok(|r| {
        let (initiated_at, open) = (r.initiated_at.timestamp_micros(), u8::from(r.open));
        let (holder, claim) = ((r.workspace, r.app), (r.name, r.scope, r.status));
        (
            r.claim_id,
            r.stream,
            r.version,
            holder.0,
            holder.1,
            claim.0,
            claim.1,
            claim.2,
            initiated_at,
            open,
            r.body,
        )
    });
    add_rows(&mut digest, "claims", rows).await?;

    let rows = sqlx::query!(
        "SELECT stream, claim_id, kind, attempt, due_at FROM due_work ORDER BY stream, claim_id, kind, attempt"
    );
    let rows = rows
        .fetch(&mut *tx)
        .map_ok(|r| (r.stream, r.claim_id, r.kind, r.attempt, r.due_at.timestamp_micros()));
    add_rows(&mut digest, "due_work", rows).await?;

    let rows = sqlx::query!(
        r#"SELECT stream, version, app_id, workspace, created_at, deleted, body::text AS "body!" FROM apps ORDER BY stream"#
    );
    let rows = rows.fetch(&mut *tx).map_ok(|r| {
        let (created_at, deleted) = (r.created_at.timestamp_micros(), u8::from(r.deleted));
        (r.stream, r.version, r.app_id, r.workspace, created_at, deleted, r.body)
    });
    add_rows(&mut digest, "apps", rows).await?;
    tx.rollback().await?;
    Ok(digest.finish())
}

async fn add_rows<R: Serialize>(
    digest: &mut TableDigest,
    table: &str,
    mut rows: impl Stream<Item = Result<R, sqlx::Error>> + Unpin,
) -> Result<(), sqlx::Error> {
    digest.table(table);
    while let Some(row) = rows.try_next().await? {
        digest.row(&serde_json::to_string(&row).map_err(|e| sqlx::Error::Decode(e.into()))?);
    }
    Ok(())
}
