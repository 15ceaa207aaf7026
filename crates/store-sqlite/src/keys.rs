//! API keys, stored under their hash.
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deed_store::{ApiKey, KeyHash, KeyId, KeyOwner, Keys, Unavailable};

use crate::columns::{Decoder, micros};
use crate::open::SqliteStore;
use crate::writer::Durability;

type KeyRecord = deed_store::rows::KeyRecord<i64>;

#[async_trait]
impl Keys for SqliteStore {
    async fn insert(&self, key: &ApiKey, hash: KeyHash) -> Result<(), Unavailable> {
        const OPERATION: &str = "store an API key";
        let failed = |e| Unavailable::new(OPERATION, e);
        let hash = hash.0.as_slice();
        let workspace = match &key.owner {
            KeyOwner::Workspace(workspace) => Some(workspace.as_str()),
            KeyOwner::Service => None,
        };
        let scopes = serde_json::to_string(&key.scopes).map_err(|e| Unavailable::new(OPERATION, e))?;
        let (created_at, revoked_at) = (micros(key.created_at), key.revoked_at.map(micros));
        let mut writer = self.inner.writer.lock(Durability::Synced, OPERATION).await?;
        sqlx::query!(
            "INSERT INTO api_keys (id, hash, name, workspace, scopes, created_at, revoked_at)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
            key.id.0,
            hash,
            key.name,
            workspace,
            scopes,
            created_at,
            revoked_at
        )
        .execute(writer.autocommit().await?)
        .await
        .map(|_| ())
        .map_err(failed)
    }

    async fn find(&self, hash: KeyHash) -> Result<Option<ApiKey>, Unavailable> {
        const OPERATION: &str = "look up an API key";
        let hash = hash.0.as_slice();
        sqlx::query_as!(
            KeyRecord,
            "SELECT id, name, workspace, scopes, created_at, revoked_at FROM api_keys WHERE hash = ?",
            hash
        )
        .fetch_optional(&self.inner.readers)
        .await
        .map_err(|e| Unavailable::new(OPERATION, e))?
        .map(|row| row.decode(Decoder(OPERATION)))
        .transpose()
    }

    async fn list(&self) -> Result<Vec<ApiKey>, Unavailable> {
        const OPERATION: &str = "list API keys";
        sqlx::query_as!(
            KeyRecord,
            "SELECT id, name, workspace, scopes, created_at, revoked_at FROM api_keys ORDER BY created_at, id"
        )
        .fetch_all(&self.inner.readers)
        .await
        .map_err(|e| Unavailable::new(OPERATION, e))?
        .into_iter()
        .map(|row| row.decode(Decoder(OPERATION)))
        .collect()
    }

    async fn revoke(&self, id: &KeyId, now: DateTime<Utc>) -> Result<bool, Unavailable> {
        const OPERATION: &str = "revoke an API key";
        let failed = |e| Unavailable::new(OPERATION, e);
        let now = micros(now);
        let mut writer = self.inner.writer.lock(Durability::Synced, OPERATION).await?;
        let done =
            sqlx::query!("UPDATE api_keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL", now, id.0)
                .execute(writer.autocommit().await?)
                .await
                .map_err(failed)?;
        Ok(done.rows_affected() == 1)
    }
}
