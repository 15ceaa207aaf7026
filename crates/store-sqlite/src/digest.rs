//! The digest of the read models: one hash, equal for equal contents.
use data_encoding::HEXLOWER;
use futures::{TryStream, TryStreamExt};
use sha2::{Digest, Sha256};
use sqlx::sqlite::SqlitePool;

/// Hashes every row as JSON text in the order of its key, tables in a fixed order, in one read transaction.
pub(crate) async fn digest(readers: &SqlitePool) -> Result<String, sqlx::Error> {
    let mut tx = readers.begin().await?;
    let mut hash = Sha256::new();
    let rows = sqlx::query_scalar!(
        r#"SELECT json_array(stream, version, body) AS "row!: String" FROM ownerships ORDER BY stream"#
    );
    hash_rows(&mut hash, "ownerships", rows.fetch(&mut *tx)).await?;
    let rows = sqlx::query_scalar!(
        r#"SELECT json_array(claim_id, stream, version, workspace, app, name, scope, status, initiated_at, open, body)
                  AS "row!: String"
           FROM claims ORDER BY claim_id"#
    );
    hash_rows(&mut hash, "claims", rows.fetch(&mut *tx)).await?;
    let rows = sqlx::query_scalar!(
        r#"SELECT json_array(stream, claim_id, kind, attempt, due_at) AS "row!: String"
           FROM due_work ORDER BY stream, claim_id, kind, attempt"#
    );
    hash_rows(&mut hash, "due_work", rows.fetch(&mut *tx)).await?;
    let rows = sqlx::query_scalar!(
        r#"SELECT json_array(stream, version, app_id, workspace, created_at, deleted, body) AS "row!: String"
           FROM apps ORDER BY stream"#
    );
    hash_rows(&mut hash, "apps", rows.fetch(&mut *tx)).await?;
    tx.rollback().await?;
    Ok(HEXLOWER.encode(&hash.finalize()))
}

async fn hash_rows(
    hash: &mut Sha256,
    table: &str,
    mut rows: impl TryStream<Ok = String, Error = sqlx::Error> + Unpin,
) -> Result<(), sqlx::Error> {
    // JSON text has no raw line breaks, so they can end rows and tables.
    hash.update(table);
    hash.update("\n");
    while let Some(row) = rows.try_next().await? {
        hash.update(row);
        hash.update("\n");
    }
    Ok(())
}
