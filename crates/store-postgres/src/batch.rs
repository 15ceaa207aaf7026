//! The write batch: concurrent appends of all callers, in one transaction.
use async_trait::async_trait;
use deed_store::{BatchBackend, Position, Unavailable};

use crate::append::{AppendOutcome, AppendResult, EncodedAppend, OPERATION, StreamVersions};
use crate::open::StoreInner;

/// How often a batch is planned. Each time another process has appended to one of its streams, and the next plan leaves
/// the conflicting append out.
const ATTEMPTS: usize = 64;

#[derive(Debug, thiserror::Error)]
#[error("other processes appended to the same streams {ATTEMPTS} times")]
struct RetriesExhausted;

#[async_trait]
impl BatchBackend for StoreInner {
    type Op = EncodedAppend;
    type OpResult = AppendResult;

    async fn execute_batch(&self, batch: Vec<EncodedAppend>) -> Result<Vec<AppendResult>, Unavailable> {
        self.metrics.record_batch(batch.len());
        let mut versions = StreamVersions::default();
        for _ in 0..ATTEMPTS {
            let plan = versions.plan(&batch);
            if plan.is_empty() {
                return Ok(plan.results(0));
            }
            match plan.write(&self.log).await? {
                AppendOutcome::Written(last) => {
                    self.advance_head(Position(last));
                    return Ok(plan.results(last));
                }
                AppendOutcome::VersionMismatch(actual) => versions.update(&plan, actual)?,
                AppendOutcome::Retry => {}
            }
        }
        Err(Unavailable::new(OPERATION, RetriesExhausted))
    }
}
