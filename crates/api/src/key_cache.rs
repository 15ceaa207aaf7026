//! Keys that were looked up a moment ago, so that a busy client does not cost a query per request.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Duration, Utc};
use deed_store::{ApiKey, KeyHash, Keys, Unavailable};

/// Keys remembered.
const KEPT: usize = 10_000;

/// A key and when it was looked up.
type Known = (Arc<ApiKey>, DateTime<Utc>);

/// Keys looked up a moment ago. Revoking a key takes this long to reach every replica, and no longer.
#[derive(Debug)]
pub struct KeyCache {
    keep: Duration,
    known: Mutex<HashMap<KeyHash, Known>>,
}

impl KeyCache {
    /// A cache that remembers a key for `keep`; zero means not at all.
    pub fn new(keep: Duration) -> Self {
        Self { keep, known: Mutex::new(HashMap::new()) }
    }

    /// The key with this hash, revoked or not. Unknown keys are not remembered: a new key works at once.
    pub async fn find(
        &self,
        keys: &dyn Keys,
        hash: KeyHash,
        now: DateTime<Utc>,
    ) -> Result<Option<Arc<ApiKey>>, Unavailable> {
        if let Some(key) = self.remembered(hash, now) {
            return Ok(Some(key));
        }
        let Some(key) = keys.find(hash).await?.map(Arc::new) else { return Ok(None) };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KEPT {
            known.retain(|_, (_, since)| now - *since < self.keep);
            if known.len() >= KEPT {
                known.clear();
            }
        }
        known.insert(hash, (key.clone(), now));
        Ok(Some(key))
    }

    fn remembered(&self, hash: KeyHash, now: DateTime<Utc>) -> Option<Arc<ApiKey>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (key, since) = known.get(&hash)?;
        let age = now - *since;
        (age >= Duration::zero() && age < self.keep).then(|| key.clone())
    }
}
