//! Responses to requests with an idempotency key.
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::store::MemoryStore;
use crate::{Begin, BeginRequest, Idempotency, Receipt, RequestKey, RequestRun, Unavailable};

#[async_trait]
impl Idempotency for MemoryStore {
    async fn begin(
        &self,
        request: &RequestKey,
        fingerprint: [u8; 32],
        now: DateTime<Utc>,
        locked_until: DateTime<Utc>,
        forget_before: DateTime<Utc>,
    ) -> Result<Begin, Unavailable> {
        let begin = BeginRequest { request: request.clone(), fingerprint, now, locked_until, forget_before };
        let runs = &mut self.shared.tables().requests.0;
        if let Some(reply) = runs.get(request).and_then(|run| run.reply_to(&begin)) {
            return Ok(reply);
        }
        runs.insert(request.clone(), RequestRun::of(&begin));
        Ok(Begin::Started)
    }

    async fn complete(&self, receipt: &Receipt) -> Result<(), Unavailable> {
        self.shared.tables().requests.complete(receipt);
        Ok(())
    }

    async fn abandon(&self, request: &RequestKey) -> Result<(), Unavailable> {
        if let Some(run) = self.shared.tables().requests.unanswered(request) {
            run.locked_until = DateTime::UNIX_EPOCH;
        }
        Ok(())
    }

    async fn purge(&self, before: DateTime<Utc>, limit: usize) -> Result<u64, Unavailable> {
        let runs = &mut self.shared.tables().requests.0;
        let mut old: Vec<_> = runs.iter().filter(|(_, run)| run.begun_at < before).collect();
        old.sort_by_key(|(_, run)| run.begun_at);
        let old: Vec<_> = old.into_iter().take(limit).map(|(request, _)| request.clone()).collect();
        runs.retain(|request, _| !old.contains(request));
        Ok(old.len() as u64)
    }
}
