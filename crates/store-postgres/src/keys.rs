//! API keys.
use std::collections::BTreeSet;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deed_store::{ApiKey, KeyHash, KeyId, KeyOwner, KeyScope, Keys, Unavailable};

use crate::columns::Reading;
use crate::open::PostgresStore;

/// A key as it lies in the table.
struct KeyRow {
    id: String,
    name: String,
    workspace: Option<String>,
    scopes: String,
    created_at: DateTime<Utc>,
    revoked_at: Option<DateTime<Utc>>,
}

impl KeyRow {
    fn decode(self, reading: Reading) -> Result<ApiKey, Unavailable> {
        Ok(ApiKey {
            id: KeyId(self.id),
            name: self.name,
            owner: match &self.workspace {
                Some(workspace) => KeyOwner::Workspace(reading.parsed("workspace", workspace)?),
                None => KeyOwner::Service,
            },
            scopes: reading.json::<BTreeSet<KeyScope>>("scopes", &self.scopes)?,
            created_at: self.created_at,
            revoked_at: self.revoked_at,
        })
    }
}

#[async_trait]
impl Keys for PostgresStore {
    async fn insert(&self, key: &ApiKey, hash: KeyHash) -> Result<(), Unavailable> {
        const WHAT: &str = "keep an API key";
        let workspace = match &key.owner {
            KeyOwner::Workspace(workspace) => Some(workspace.as_str()),
            KeyOwner::Service => None,
        };
        let scopes = serde_json::to_string(&key.scopes).map_err(|e| Unavailable::new(WHAT, e))?;
        let mut connection = self.database.general.take(WHAT).await?;
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
        let kept = connection.until().wait(kept.execute(&mut *connection)).await;
        connection.done(kept).map(|_| ())
    }

    async fn find(&self, hash: KeyHash) -> Result<Option<ApiKey>, Unavailable> {
        const WHAT: &str = "look an API key up";
        let mut connection = self.database.general.take(WHAT).await?;
        let found = sqlx::query_as!(
            KeyRow,
            r#"SELECT id, name, workspace, scopes::text AS "scopes!", created_at, revoked_at
               FROM api_keys WHERE hash = $1"#,
            hash.0.as_slice()
        );
        let found = connection.until().wait(found.fetch_optional(&mut *connection)).await;
        connection.done(found)?.map(|row| row.decode(Reading(WHAT))).transpose()
    }

    async fn list(&self) -> Result<Vec<ApiKey>, Unavailable> {
        const WHAT: &str = "list API keys";
        let mut connection = self.database.general.take(WHAT).await?;
        let found = sqlx::query_as!(
            KeyRow,
            r#"SELECT id, name, workspace, scopes::text AS "scopes!", created_at, revoked_at
               FROM api_keys ORDER BY created_at, id"#
        );
        let found = connection.until().wait(found.fetch_all(&mut *connection)).await;
        connection.done(found)?.into_iter().map(|row| row.decode(Reading(WHAT))).collect()
    }

    async fn revoke(&self, id: &KeyId, now: DateTime<Utc>) -> Result<bool, Unavailable> {
        let mut connection = self.database.general.take("revoke an API key").await?;
        let revoked = sqlx::query!(
            "UPDATE api_keys SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL",
            now,
            id.0
        );
        let revoked = connection.until().wait(revoked.execute(&mut *connection)).await;
        Ok(connection.done(revoked)?.rows_affected() == 1)
    }
}
