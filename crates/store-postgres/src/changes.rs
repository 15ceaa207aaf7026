//! What a batch changes in the read models, as columns: one statement a table for any number of rows.
mod fresh;
mod known;
mod names;

use deed_claims::{Scope, StreamId};
use deed_store::{AppRow, Changes, Unavailable};
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use self::names::Names;
use crate::columns::signed;

/// The stable text of a scope.
pub(crate) const fn scope(scope: Scope) -> &'static str {
    match scope {
        Scope::Apex => "apex",
        Scope::Host => "host",
    }
}

/// What is believed of streams that are said to be shown for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fresh {
    /// Nothing of theirs is there: their rows are put there without a look.
    Believed,
    /// Something may be there after all.
    Doubted,
}

/// Changes, column by column. Bodies are text before a transaction begins.
pub(crate) struct Columns<'a> {
    /// Names of which nothing is there.
    fresh: Names<'a>,
    /// Names of which something may be there.
    known: Names<'a>,
    apps: Vec<&'a AppRow>,
    app_bodies: Vec<String>,
}

impl<'a> Columns<'a> {
    pub(crate) fn of(what: &'static str, changes: &'a Changes, fresh: Fresh) -> Result<Self, Unavailable> {
        let unwritable = |e: serde_json::Error| Unavailable::new(what, e);
        let is_fresh = |stream: &StreamId| fresh == Fresh::Believed && changes.fresh.contains(stream);
        let apps = changes.apps.iter().map(|row| serde_json::to_string(&row.app));
        Ok(Self {
            fresh: Names::of(changes, is_fresh).map_err(unwritable)?,
            known: Names::of(changes, |stream| !is_fresh(stream)).map_err(unwritable)?,
            app_bodies: apps.collect::<Result<_, _>>().map_err(unwritable)?,
            apps: changes.apps.iter().collect(),
        })
    }

    pub(crate) async fn write(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        self.known.replace(connection).await?;
        self.fresh.insert(connection).await?;
        if !self.apps.is_empty() {
            self.write_apps(connection).await?;
        }
        Ok(())
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

/// How long emptying waits for those who read.
const BRIEFLY: &str = "100";

/// Empties every read model: at once, where nobody keeps the tables for long, or else row by row, which leaves the
/// space of every row to be tidied up.
pub(crate) async fn clear(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let mut step = connection.begin().await?;
    match truncate(&mut step).await {
        Ok(()) => step.commit().await,
        Err(error) if is_in_the_way(&error) => {
            step.rollback().await?;
            delete(connection).await
        }
        Err(error) => Err(error),
    }
}

/// Somebody reads for long, as a backup does, or the user may delete rows and no more.
fn is_in_the_way(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code == "55P03" || code == "42501")
}

async fn truncate(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let before = sqlx::query_scalar!(r#"SELECT current_setting('lock_timeout') AS "limit!""#);
    let before = before.fetch_one(&mut *connection).await?;
    limit_locks(connection, BRIEFLY).await?;
    sqlx::query!("TRUNCATE ownerships, claims, due_work, apps").execute(&mut *connection).await?;
    limit_locks(connection, &before).await
}

/// Until the transaction ends.
async fn limit_locks(connection: &mut PgConnection, limit: &str) -> Result<(), sqlx::Error> {
    sqlx::query_scalar!("SELECT set_config('lock_timeout', $1, true)", limit)
        .fetch_one(connection)
        .await
        .map(|_| ())
}

/// Whoever reads meanwhile sees the rows until this is committed.
async fn delete(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM ownerships").execute(&mut *connection).await?;
    sqlx::query!("DELETE FROM claims").execute(&mut *connection).await?;
    sqlx::query!("DELETE FROM due_work").execute(&mut *connection).await?;
    sqlx::query!("DELETE FROM apps").execute(connection).await?;
    Ok(())
}
