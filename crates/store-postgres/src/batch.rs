//! The write batch: concurrent appends of all callers, in one transaction.
use std::collections::HashMap;

use async_trait::async_trait;
use deed_store::{AppendPlan, BatchBackend, EncodedAppend, Position, Unavailable, Version};

use crate::append::{AppendOutcome, AppendResult, OPERATION, write};
use crate::columns::Decoder;
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

    /// Nearly all streams are at the expected version of their first append, so versions are not read first.
    async fn execute_batch(&self, batch: Vec<EncodedAppend>) -> Result<Vec<AppendResult>, Unavailable> {
        self.metrics.record_batch(batch.len());
        let mut versions = HashMap::new();
        for _ in 0..ATTEMPTS {
            let mut plan = AppendPlan::on(versions.clone());
            let placements: Vec<_> = batch.iter().map(|append| plan.add(append)).collect();
            let results = |end: Position| {
                placements.into_iter().map(|placement| placement.map(|placed| placed.after(end))).collect()
            };
            if plan.is_empty() {
                return Ok(results(Position(0)));
            }
            match write(&plan, &self.log).await? {
                AppendOutcome::Written(last) => {
                    self.advance_head(Position(last));
                    return Ok(results(Position(last.saturating_sub(plan.events.len() as u64))));
                }
                AppendOutcome::VersionMismatch(actual) => {
                    for ((stream, _), actual) in plan.streams.iter().zip(actual) {
                        versions.insert(*stream, Version(Decoder(OPERATION).number("version", actual)?));
                    }
                }
                AppendOutcome::Retry => {}
            }
        }
        Err(Unavailable::new(OPERATION, RetriesExhausted))
    }
}
