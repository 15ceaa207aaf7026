//! Changes of the read models as columns: one statement per table for any number of rows.
mod insert_new;
mod ownership_columns;
mod replace_existing;

use deed_claims::StreamId;
use deed_store::{AppRow, Changes, Unavailable};
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use self::ownership_columns::OwnershipColumns;
use crate::columns::to_i64;

/// How the rows of streams are written that are marked as new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteMode {
    /// Inserted; it fails when they exist.
    InsertNew,
    /// Replaced, as they may exist.
    ReplaceAll,
}

/// Changes in columns. Bodies are encoded before a transaction begins.
pub(crate) struct EncodedChanges<'a> {
    /// Rows of streams without rows.
    new: OwnershipColumns<'a>,
    /// Rows of streams that may have rows.
    existing: OwnershipColumns<'a>,
    apps: Vec<&'a AppRow>,
    app_bodies: Vec<String>,
}

impl<'a> EncodedChanges<'a> {
    pub(crate) fn of(
        operation: &'static str,
        changes: &'a Changes,
        mode: WriteMode,
    ) -> Result<Self, Unavailable> {
        let unwritable = |e: serde_json::Error| Unavailable::new(operation, e);
        let is_new = |stream: &StreamId| mode == WriteMode::InsertNew && changes.new_streams.contains(stream);
        let apps = changes.apps.iter().map(|row| serde_json::to_string(&row.app));
        Ok(Self {
            new: OwnershipColumns::of(changes, is_new).map_err(unwritable)?,
            existing: OwnershipColumns::of(changes, |stream| !is_new(stream)).map_err(unwritable)?,
            app_bodies: apps.collect::<Result<_, _>>().map_err(unwritable)?,
            apps: changes.apps.iter().collect(),
        })
    }

    pub(crate) async fn write(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        self.existing.replace(connection).await?;
        self.new.insert(connection).await?;
        if !self.apps.is_empty() {
            self.write_apps(connection).await?;
        }
        Ok(())
    }

    async fn write_apps(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let streams: Vec<_> = self.apps.iter().map(|row| row.stream.as_str()).collect();
        let versions: Vec<_> = self.apps.iter().map(|row| to_i64(row.version.0)).collect();
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

/// How long a truncation waits for readers, in milliseconds.
const TRUNCATE_LOCK_TIMEOUT: &str = "100";

/// Deletes all rows of the read models: by truncation, or row by row when a reader holds the tables for long. Deleted rows
/// leave space that a vacuum has to reclaim.
pub(crate) async fn clear(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let mut step = connection.begin().await?;
    match truncate(&mut step).await {
        Ok(()) => step.commit().await,
        Err(error) if prevents_truncation(&error) => {
            step.rollback().await?;
            delete(connection).await
        }
        Err(error) => Err(error),
    }
}

/// A long read such as a backup holds a table, or the user has no right to truncate.
fn prevents_truncation(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code == "55P03" || code == "42501")
}

async fn truncate(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let before = sqlx::query_scalar!(r#"SELECT current_setting('lock_timeout') AS "limit!""#);
    let before = before.fetch_one(&mut *connection).await?;
    limit_locks(connection, TRUNCATE_LOCK_TIMEOUT).await?;
    sqlx::query!("TRUNCATE ownerships, claims, due_work, apps").execute(&mut *connection).await?;
    limit_locks(connection, &before).await
}

/// Limits waits for locks until the transaction ends.
async fn limit_locks(connection: &mut PgConnection, limit: &str) -> Result<(), sqlx::Error> {
    sqlx::query_scalar!("SELECT set_config('lock_timeout', $1, true)", limit)
        .fetch_one(connection)
        .await
        .map(|_| ())
}

/// Other readers see the rows until this is committed.
async fn delete(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM ownerships").execute(&mut *connection).await?;
    sqlx::query!("DELETE FROM claims").execute(&mut *connection).await?;
    sqlx::query!("DELETE FROM due_work").execute(&mut *connection).await?;
    sqlx::query!("DELETE FROM apps").execute(connection).await?;
    Ok(())
}
