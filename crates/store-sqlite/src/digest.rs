//! The digest of the read models: one hash, equal for equal contents.
use deed_store::rows::TableDigest;
use futures::{TryStream, TryStreamExt};
use sqlx::sqlite::SqlitePool;

/// Hashes every row as JSON text in the order of its key, tables in a fixed order, in one read transaction.
pub(crate) async fn digest(readers: &SqlitePool) -> Result<String, sqlx::Error> {
    let mut tx = readers.begin().await?;
    let mut digest = TableDigest::default();
    let rows = sqlx::query_scalar!(
        r#"SELECT json_array(stream, version, body) AS "row!: String" FROM ownerships ORDER BY stream"#
    );
    add_rows(&mut digest, "ownerships", rows.fetch(&mut *tx)).await?;
    let rows = sqlx::query_scalar!(
        r#"SELECT json_array(claim_id, stream, version, workspace, app, name, scope, status, initiated_at, open, body)
                  AS "row!: String"
           FROM claims ORDER BY claim_id"#
    );
    add_rows(&mut digest, "claims", rows.fetch(&mut *tx)).await?;
    let rows = sqlx::query_scalar!(
        r#"SELECT json_array(stream, claim_id, kind, attempt, due_at) AS "row!: String"
           FROM due_work ORDER BY stream, claim_id, kind, attempt"#
    );
    add_rows(&mut digest, "due_work", rows.fetch(&mut *tx)).await?;
    let rows = sqlx::query_scalar!(
        r#"SELECT json_array(stream, version, app_id, workspace, created_at, deleted, body) AS "row!: String"
           FROM apps ORDER BY stream"#
    );
    add_rows(&mut digest, "apps", rows.fetch(&mut *tx)).await?;
    tx.rollback().await?;
    Ok(digest.finish())
}

async fn add_rows(
    digest: &mut TableDigest,
    table: &str,
    mut rows: impl TryStream<Ok = String, Error = sqlx::Error> + Unpin,
) -> Result<(), sqlx::Error> {
    digest.table(table);
    while let Some(row) = rows.try_next().await? {
        digest.row(&row);
    }
    Ok(())
}
