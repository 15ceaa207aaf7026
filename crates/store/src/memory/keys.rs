//! API keys.
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::store::MemoryStore;
use crate::{ApiKey, KeyHash, KeyId, Keys, Unavailable};

#[async_trait]
impl Keys for MemoryStore {
    async fn insert(&self, key: &ApiKey, hash: KeyHash) -> Result<(), Unavailable> {
        self.shared.tables().keys.insert(hash, key.clone());
        Ok(())
    }

    async fn find(&self, hash: KeyHash) -> Result<Option<ApiKey>, Unavailable> {
        Ok(self.shared.tables().keys.get(&hash).cloned())
    }

    async fn list(&self) -> Result<Vec<ApiKey>, Unavailable> {
        let mut keys: Vec<_> = self.shared.tables().keys.values().cloned().collect();
        keys.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(keys)
    }

    async fn revoke(&self, id: &KeyId, now: DateTime<Utc>) -> Result<bool, Unavailable> {
        let mut tables = self.shared.tables();
        let key = tables.keys.values_mut().find(|key| key.id == *id && key.revoked_at.is_none());
        Ok(key.map(|key| key.revoked_at = Some(now)).is_some())
    }
}
