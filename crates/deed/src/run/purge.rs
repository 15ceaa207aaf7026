//! Forgets answers to idempotent requests once nobody may ask for them again.
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use deed_store::{Clock, Idempotency, Unavailable};
use tokio_util::sync::CancellationToken;

/// How long an answer is kept.
const KEPT: TimeDelta = TimeDelta::hours(24);
/// The pause between two rounds.
const EVERY: Duration = Duration::from_mins(10);
/// Rows forgotten at a time: short transactions, between which others write.
const BATCH: usize = 500;

/// Forgets old answers until `stop`. A store that does not answer is asked again in the next round.
pub(super) async fn run(
    idempotency: Arc<dyn Idempotency>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) -> Result<(), Infallible> {
    loop {
        match stop.run_until_cancelled(round(&*idempotency, &*clock)).await {
            None => return Ok(()),
            Some(Ok(forgotten)) => tracing::debug!(forgotten, "purged answers to idempotent requests"),
            Some(Err(error)) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "answers to idempotent requests stay a while"
                );
            }
        }
        if stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
            return Ok(());
        }
    }
}

async fn round(idempotency: &dyn Idempotency, clock: &dyn Clock) -> Result<u64, Unavailable> {
    let before = clock.now() - KEPT;
    let mut forgotten = 0;
    loop {
        let now = idempotency.purge(before, BATCH).await?;
        forgotten += now;
        if now < BATCH as u64 {
            return Ok(forgotten);
        }
    }
}
