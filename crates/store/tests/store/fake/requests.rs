//! Idempotent requests and API keys in memory.
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deed_store::{ApiKey, Begin, Idempotency, KeyHash, KeyId, Keys, Receipt, RequestKey, Unavailable};

use super::{Request, Rows, Tables};

impl Rows {
    pub(super) fn complete(&mut self, receipt: &Receipt) {
        if let Some(request) = self.requests.get_mut(&receipt.request) {
            request.answer.get_or_insert_with(|| receipt.response.clone());
        }
    }
}

#[async_trait]
impl Idempotency for Tables {
    async fn begin(
        &self,
        request: &RequestKey,
        fingerprint: [u8; 32],
        now: DateTime<Utc>,
        locked_until: DateTime<Utc>,
        forget_before: DateTime<Utc>,
    ) -> Result<Begin, Unavailable> {
        let mut rows = self.rows();
        if let Some(known) = rows.requests.get(request).filter(|known| known.begun_at >= forget_before) {
            match &known.answer {
                _ if known.fingerprint != fingerprint => return Ok(Begin::Mismatch),
                Some(answer) => return Ok(Begin::Answered(answer.clone())),
                None if known.locked_until > now => return Ok(Begin::Running),
                None => {}
            }
        }
        let begun = Request { fingerprint, begun_at: now, locked_until, answer: None };
        rows.requests.insert(request.clone(), begun);
        Ok(Begin::Started)
    }

    async fn complete(&self, receipt: &Receipt) -> Result<(), Unavailable> {
        self.rows().complete(receipt);
        Ok(())
    }

    async fn abandon(&self, request: &RequestKey) -> Result<(), Unavailable> {
        let mut rows = self.rows();
        if let Some(known) = rows.requests.get_mut(request).filter(|known| known.answer.is_none()) {
            known.locked_until = DateTime::UNIX_EPOCH;
        }
        Ok(())
    }

    async fn purge(&self, before: DateTime<Utc>, limit: usize) -> Result<u64, Unavailable> {
        let mut rows = self.rows();
        let old = rows.requests.iter().filter(|(_, request)| request.begun_at < before).take(limit);
        let old: Vec<_> = old.map(|(key, _)| key.clone()).collect();
        for key in &old {
            rows.requests.remove(key);
        }
        Ok(u64::try_from(old.len()).unwrap())
    }
}

#[async_trait]
impl Keys for Tables {
    async fn insert(&self, key: &ApiKey, hash: KeyHash) -> Result<(), Unavailable> {
        self.rows().keys.push((hash, key.clone()));
        Ok(())
    }

    async fn find(&self, hash: KeyHash) -> Result<Option<ApiKey>, Unavailable> {
        Ok(self.rows().keys.iter().find(|(of, _)| *of == hash).map(|(_, key)| key.clone()))
    }

    async fn list(&self) -> Result<Vec<ApiKey>, Unavailable> {
        let mut keys: Vec<_> = self.rows().keys.iter().map(|(_, key)| key.clone()).collect();
        keys.sort_by_key(|key| key.created_at);
        Ok(keys)
    }

    async fn revoke(&self, id: &KeyId, now: DateTime<Utc>) -> Result<bool, Unavailable> {
        let mut rows = self.rows();
        let key = rows.keys.iter_mut().find(|(_, key)| key.id == *id && key.revoked_at.is_none());
        Ok(key.map(|(_, key)| key.revoked_at = Some(now)).is_some())
    }
}
