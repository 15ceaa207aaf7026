//! Deletes stored responses to idempotent requests once they have expired.
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use deed_claims::Clock;
use deed_store::{Idempotency, Unavailable};
use tokio_util::sync::CancellationToken;

/// How long a response is kept.
const RETENTION: TimeDelta = TimeDelta::hours(24);
/// The interval between two purges.
const INTERVAL: Duration = Duration::from_mins(10);
/// Rows per transaction, so that each one is short.
const BATCH: usize = 500;

/// Deletes expired responses until `stop`. After an error the next round tries again.
pub(crate) async fn run(
    idempotency: Arc<dyn Idempotency>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) -> Result<(), Infallible> {
    loop {
        match stop.run_until_cancelled(purge_expired(&*idempotency, &*clock)).await {
            None => return Ok(()),
            Some(Ok(forgotten)) => tracing::debug!(forgotten, "purged answers to idempotent requests"),
            Some(Err(error)) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "answers to idempotent requests stay a while"
                );
            }
        }
        if stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_none() {
            return Ok(());
        }
    }
}

async fn purge_expired(idempotency: &dyn Idempotency, clock: &dyn Clock) -> Result<u64, Unavailable> {
    let before = clock.now() - RETENTION;
    let mut forgotten = 0;
    loop {
        let now = idempotency.purge(before, BATCH).await?;
        forgotten += now;
        if now < BATCH as u64 {
            return Ok(forgotten);
        }
    }
}
