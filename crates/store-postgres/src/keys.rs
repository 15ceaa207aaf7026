//! API keys, stored under their hash.
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deed_store::{ApiKey, KeyHash, KeyId, KeyOwner, Keys, Unavailable};

use crate::columns::Decoder;
use crate::open::PostgresStore;

type KeyRecord = deed_store::rows::KeyRecord<DateTime<Utc>>;

#[async_trait]
impl Keys for PostgresStore {
    async fn insert(&self, key: &ApiKey, hash: KeyHash) -> Result<(), Unavailable> {
        const OPERATION: &str = "store an API key";
        let workspace = match &key.owner {
            KeyOwner::Workspace(workspace) => Some(workspace.as_str()),
            KeyOwner::Service => None,
        };
        let scopes = serde_json::to_string(&key.scopes).map_err(|e| Unavailable::new(OPERATION, e))?;
        let mut connection = self.inner.general.acquire(OPERATION).await?;
        let kept = sqlx::query!(
            "INSERT INTO api_keys (id, hash, name, workspace, scopes, created_at, revoked_at)
             VALUES ($1, $2, $3, $4, $5::text::jsonb, $6, $7)",
            key.id.0,
            hash.0.as_slice(),
            key.name,
            workspace,
            scopes,
            key.created_at,
            key.revoked_at
        );
        let kept = connection.deadline().run(kept.execute(&mut *connection)).await;
        connection.finish(kept).map(|_| ())
    }

    async fn find(&self, hash: KeyHash) -> Result<Option<ApiKey>, Unavailable> {
        const OPERATION: &str = "look up an API key";
        let mut connection = self.inner.general.acquire(OPERATION).await?;
        let found = sqlx::query_as!(
            KeyRecord,
            r#"SELECT id, name, workspace, scopes::text AS "scopes!", created_at, revoked_at
               FROM api_keys WHERE hash = $1"#,
            hash.0.as_slice()
        );
        let found = connection.deadline().run(found.fetch_optional(&mut *connection)).await;
        connection.finish(found)?.map(|row| row.decode(Decoder(OPERATION))).transpose()
    }

    async fn list(&self) -> Result<Vec<ApiKey>, Unavailable> {
        const OPERATION: &str = "list API keys";
        let mut connection = self.inner.general.acquire(OPERATION).await?;
        let found = sqlx::query_as!(
            KeyRecord,
            r#"SELECT id, name, workspace, scopes::text AS "scopes!", created_at, revoked_at
               FROM api_keys ORDER BY created_at, id"#
        );
        let found = connection.deadline().run(found.fetch_all(&mut *connection)).await;
        connection.finish(found)?.into_iter().map(|row| row.decode(Decoder(OPERATION))).collect()
    }

    async fn revoke(&self, id: &KeyId, now: DateTime<Utc>) -> Result<bool, Unavailable> {
        let mut connection = self.inner.general.acquire("revoke an API key").await?;
        let revoked = sqlx::query!(
            "UPDATE api_keys SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL",
            now,
            id.0
        );
        let revoked = connection.deadline().run(revoked.execute(&mut *connection)).await;
        Ok(connection.finish(revoked)?.rows_affected() == 1)
    }
}
