//! A cache of API keys, so that a busy client does not cost a query per request.
use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use deed_store::{ApiKey, KeyHash, Keys, Unavailable};
use quick_cache::sync::Cache;

/// Keys in the cache at most.
const CAPACITY: usize = 10_000;

/// A key and when it was looked up.
type CachedKey = (Arc<ApiKey>, DateTime<Utc>);

/// Keys looked up a moment ago. Revoking a key takes at most the TTL to reach every replica.
#[derive(Debug)]
pub struct KeyCache {
    ttl: Duration,
    keys: Cache<KeyHash, CachedKey>,
}

impl KeyCache {
    /// A cache that keeps a key for `ttl`; zero means not at all.
    pub fn new(ttl: Duration) -> Self {
        Self { ttl, keys: Cache::new(CAPACITY) }
    }

    /// The key with this hash, revoked or not. Unknown keys are not cached: a new key works at once.
    pub async fn find(
        &self,
        keys: &dyn Keys,
        hash: KeyHash,
        now: DateTime<Utc>,
    ) -> Result<Option<Arc<ApiKey>>, Unavailable> {
        if let Some(key) = self.cached(hash, now) {
            return Ok(Some(key));
        }
        let Some(key) = keys.find(hash).await?.map(Arc::new) else { return Ok(None) };
        self.keys.insert(hash, (key.clone(), now));
        Ok(Some(key))
    }

    fn cached(&self, hash: KeyHash, now: DateTime<Utc>) -> Option<Arc<ApiKey>> {
        let (key, since) = self.keys.get(&hash)?;
        let age = now - since;
        (age >= Duration::zero() && age < self.ttl).then_some(key)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use deed_store::{KeyId, KeyOwner};

    use super::*;

    fn hash(n: u16) -> KeyHash {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&n.to_be_bytes());
        KeyHash(bytes)
    }

    #[test]
    fn busy_key_stays_cached_among_20000_others() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let cache = KeyCache::new(Duration::seconds(5));
        let key = Arc::new(ApiKey {
            id: KeyId("key_1".to_owned()),
            name: "test".to_owned(),
            owner: KeyOwner::Service,
            scopes: BTreeSet::new(),
            created_at: now,
            revoked_at: None,
        });
        // A cache that is not full yet evicts nothing, whatever is read.
        for n in 20_001..=40_000 {
            cache.keys.insert(hash(n), (key.clone(), now));
        }
        for n in 0..=20_000 {
            cache.keys.insert(hash(n), (key.clone(), now));
            assert!(cache.cached(hash(0), now).is_some(), "after {n} others");
        }
        assert!(cache.keys.len() <= CAPACITY, "{}", cache.keys.len());
        assert!(cache.cached(hash(0), now + Duration::seconds(5)).is_none(), "the TTL is over");
    }
}
