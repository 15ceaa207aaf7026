//! Rebuilds the read models: empties them and folds the log again from the first event.
//!
//! A rebuild may be interrupted at any point: the next holder of the lease resumes from the checkpoint.
use std::{sync::Arc, time::Duration};

use deed_claims::Clock;
use deed_store::{
    Changes, Checkpoints, EventStore, Lease, LeaseError, LeaseKeeper, LeaseMetrics, Position, READ_MODELS,
    RecordedEvent, SubscriberError, Unavailable, log_pages,
};
use futures::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::fold_version::store_fold_version;
use crate::lifecycle_counter::store_counted_until;
use crate::projector::Projector;
use crate::row_cache::RowCache;
use crate::spans;

/// The default number of events that a rebuild folds at a time.
pub const REBUILD_BATCH: usize = 5_000;

/// What to do while another projector has the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfHeld {
    /// Wait until the other projector releases the lease.
    Wait,
    /// Take the lease over: the other projector's next write is refused, and it waits until the rebuild is done.
    TakeOver,
}

/// Settings of a rebuild.
#[derive(Debug, Clone)]
pub struct RebuildConfig {
    /// The owner of the lease; no other process may use this name.
    pub owner: String,
    /// Events folded at a time.
    pub batch: usize,
    /// How long the lease lasts without being renewed; no shorter than that of the running projectors.
    pub lease_ttl: Duration,
    /// What to do while another projector has the lease.
    pub if_held: IfHeld,
}

/// A finished rebuild.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rebuilt {
    /// The position up to which the log is folded.
    pub to: Position,
}

/// Why a rebuild was interrupted. The next running projector finishes the fold from the checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The stop signal came.
    #[error("stopped before the rebuild was finished")]
    Stopped,
    /// Another projector took the lease over.
    #[error("another projector has taken over")]
    Lost,
    /// The projector that received the request has ended.
    #[error("the projector is not running")]
    NotRunning,
    /// A batch could not be folded.
    #[error("events after position {after} cannot be folded")]
    Fold {
        /// The position before the batch.
        after: Position,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store did not answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl From<LeaseError> for RebuildError {
    fn from(error: LeaseError) -> Self {
        match error {
            LeaseError::Lost => Self::Lost,
            LeaseError::Unavailable(error) => Self::Unavailable(error),
        }
    }
}

/// Empties the read models and folds the log again, up to its present end. Readers see the models while they fill.
///
/// # Errors
/// When the rebuild was interrupted.
pub async fn rebuild(
    store: &dyn EventStore,
    checkpoints: &Arc<dyn Checkpoints>,
    clock: &Arc<dyn Clock>,
    projector: &mut Projector,
    config: &RebuildConfig,
    stop: &CancellationToken,
) -> Result<Rebuilt, RebuildError> {
    let keeper =
        acquire_lease(checkpoints, clock, &projector.metrics.subscription.lease, config, stop).await?;
    rebuild_under(keeper, store, checkpoints, clock, projector, config, stop).await
}

/// The same under a lease that this process has.
pub(crate) async fn rebuild_under(
    keeper: LeaseKeeper,
    store: &dyn EventStore,
    checkpoints: &Arc<dyn Checkpoints>,
    clock: &Arc<dyn Clock>,
    projector: &mut Projector,
    config: &RebuildConfig,
    stop: &CancellationToken,
) -> Result<Rebuilt, RebuildError> {
    projector.metrics.rebuilds.inc();
    tracing::info!(owner = %config.owner, "rebuilding the read models");
    let span = spans::rebuild();
    let folding = async {
        let end = store.last_position().await?;
        let owner = (config.owner.as_str(), config.lease_ttl);
        store_counted_until(&**checkpoints, &**clock, owner, end).await?;
        // In this order: a crash in between leaves empty read models of another version, which are rebuilt.
        projector.models().reset(keeper.lease()).await?;
        store_fold_version(&**checkpoints, &**clock, owner).await?;
        fold_all(store, keeper.lease(), projector, (end, config.batch.max(1)), stop).await
    };
    let result = tokio::select! {
        biased;
        () = keeper.lost() => Err(RebuildError::Lost),
        result = folding.instrument(span.clone()) => result,
    };
    if result.is_err() {
        deed_trace::set_error(&span, "broken_off");
    }
    drop(span);
    // Released after failures too: otherwise all projectors wait until the lease expires.
    keeper.release().await;
    if let Ok(rebuilt) = &result {
        tracing::info!(to = %rebuilt.to, "the read models are rebuilt");
    }
    result
}

pub(crate) async fn acquire_lease(
    checkpoints: &Arc<dyn Checkpoints>,
    clock: &Arc<dyn Clock>,
    metrics: &LeaseMetrics,
    config: &RebuildConfig,
    stop: &CancellationToken,
) -> Result<LeaseKeeper, RebuildError> {
    let (owner, ttl) = (config.owner.as_str(), config.lease_ttl);
    if config.if_held == IfHeld::TakeOver {
        // At `later` the present holder's lease has expired, so this acquires it. The new epoch makes the holder's
        // writes fail from now on.
        let later = clock.now() + chrono::Duration::from_std(ttl * 2).unwrap_or(chrono::Duration::hours(1));
        checkpoints.acquire(READ_MODELS, owner, later, ttl).await?;
    }
    let (checkpoints, clock) = (Arc::clone(checkpoints), Arc::clone(clock));
    LeaseKeeper::acquire(checkpoints, clock, READ_MODELS, owner, ttl, metrics, stop)
        .await
        .ok_or(RebuildError::Stopped)
}

async fn fold_all(
    store: &dyn EventStore,
    lease: &Lease,
    projector: &Projector,
    (end, batch): (Position, usize),
    stop: &CancellationToken,
) -> Result<Rebuilt, RebuildError> {
    let mut from = Position(0);
    let pages = Box::pin(log_pages(store, from, end, batch));
    let mut log = LogFolder { pages, projector, cache: RowCache::default() };
    let mut folded = log.fold_next(from).await?;
    while let Some(FoldedBatch { to, changes }) = folded {
        if stop.is_cancelled() {
            return Err(RebuildError::Stopped);
        }
        // The next batch is read and folded while this one is written.
        let (written, next) = tokio::join!(projector.write(lease, from, to, changes), log.fold_next(to));
        written.map_err(|error| rebuild_error(from, error))?;
        (from, folded) = (to, next?);
    }
    Ok(Rebuilt { to: from })
}

fn rebuild_error(after: Position, error: SubscriberError) -> RebuildError {
    match error {
        SubscriberError::Lost => RebuildError::Lost,
        SubscriberError::Retry(source) => RebuildError::Fold { after, source },
    }
}

/// The changes of one batch, which are written in one transaction.
struct FoldedBatch {
    to: Position,
    changes: Changes,
}

/// Folds the log batch by batch. A row folded before is either in the cache or written to the store.
struct LogFolder<'a, P> {
    pages: P,
    projector: &'a Projector,
    cache: RowCache,
}

impl<P> LogFolder<'_, P>
where
    P: Stream<Item = Result<Vec<RecordedEvent>, Unavailable>> + Unpin,
{
    /// Folds the batch after a position; `None` at the end of the log.
    async fn fold_next(&mut self, from: Position) -> Result<Option<FoldedBatch>, RebuildError> {
        let Some(events) = self.pages.next().await.transpose()? else { return Ok(None) };
        let Some(to) = events.last().map(|event| event.position) else { return Ok(None) };
        let changes = self.projector.fold(from, &events, Some(&mut self.cache), None).await;
        Ok(Some(FoldedBatch { to, changes: changes.map_err(|error| rebuild_error(from, error))? }))
    }
}

#[cfg(test)]
mod tests;
