//! Rebuilding the read models: emptied, and folded again from the first event.
//!
//! A rebuild may be broken off at any point: whoever gets the lease next goes on from the checkpoint.
use std::{sync::Arc, time::Duration};

use deed_store::{
    Changes, Checkpoints, Clock, EventStore, Lease, LeaseError, LeaseKeeper, LeaseMetrics, Position,
    RecordedEvent, SubscriberError, Unavailable, log_pages,
};
use futures::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::projector::{Projector, READ_MODELS};
use crate::recent::Recent;
use crate::spans;
use crate::tally::mark;

/// Events that a rebuild folds at a time, unless there is a reason for another number.
pub const REBUILD_BATCH: usize = 5_000;

/// What to do while another projector has the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfHeld {
    /// Wait until it gives the lease back.
    Wait,
    /// Take the lease over: the other's next write is refused, and it waits until the rebuild is done.
    TakeOver,
}

/// How a rebuild is made.
#[derive(Debug, Clone)]
pub struct RebuildConfig {
    /// Who rebuilds; no other process may go by this name.
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
    /// Up to which position the log is folded.
    pub to: Position,
}

/// Why a rebuild was broken off. The read models are catching up all the same once a projector runs.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// It was told to stop.
    #[error("stopped before the rebuild was finished")]
    Stopped,
    /// Another projector took the lease over.
    #[error("another projector has taken over")]
    Lost,
    /// The projector that was asked has ended.
    #[error("the projector is not running")]
    NotRunning,
    /// A batch could not be folded.
    #[error("events after position {after} cannot be folded")]
    Fold {
        /// Where the batch begins.
        after: Position,
        /// Why.
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

/// Empties the read models and folds the log again, up to its end at the time; readers see them fill up.
///
/// # Errors
/// When it could not be finished.
pub async fn rebuild(
    store: &dyn EventStore,
    checkpoints: &Arc<dyn Checkpoints>,
    clock: &Arc<dyn Clock>,
    projector: &mut Projector,
    config: &RebuildConfig,
    stop: &CancellationToken,
) -> Result<Rebuilt, RebuildError> {
    let keeper = take(checkpoints, clock, &projector.metrics.subscription.lease, config, stop).await?;
    projector.metrics.rebuilds.inc();
    tracing::info!(owner = %config.owner, "rebuilding the read models");
    let span = spans::rebuild();
    let folding = async {
        let end = store.last_position().await?;
        mark(&**checkpoints, &**clock, (&config.owner, config.lease_ttl), end).await?;
        fold_all(store, keeper.lease(), projector, (end, config.batch.max(1)), stop).await
    };
    let result = tokio::select! {
        biased;
        () = keeper.lost() => Err(RebuildError::Lost),
        result = folding.instrument(span.clone()) => result,
    };
    if result.is_err() {
        deed_trace::failed(&span, "broken_off");
    }
    drop(span);
    // Whatever happened: a lease that is kept would hold everybody up until it runs out.
    keeper.release().await;
    if let Ok(rebuilt) = &result {
        tracing::info!(to = %rebuilt.to, "the read models are rebuilt");
    }
    result
}

async fn take(
    checkpoints: &Arc<dyn Checkpoints>,
    clock: &Arc<dyn Clock>,
    metrics: &LeaseMetrics,
    config: &RebuildConfig,
    stop: &CancellationToken,
) -> Result<LeaseKeeper, RebuildError> {
    let (owner, ttl) = (config.owner.as_str(), config.lease_ttl);
    if config.if_held == IfHeld::TakeOver {
        // By then the present holder's lease has run out. The new epoch shuts it out from now on.
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
    projector.models().reset(lease).await?;
    let mut from = Position(0);
    let pages = Box::pin(log_pages(store, from, end, batch));
    let mut folding = Folding { pages, projector, recent: Recent::default() };
    let mut part = folding.after(from).await?;
    while let Some(Part { to, changes }) = part {
        if stop.is_cancelled() {
            return Err(RebuildError::Stopped);
        }
        // The next part is read and folded while this one is written.
        let (written, next) = tokio::join!(projector.write(lease, from, to, changes), folding.after(to));
        written.map_err(|error| failed(from, error))?;
        (from, part) = (to, next?);
    }
    Ok(Rebuilt { to: from })
}

fn failed(after: Position, error: SubscriberError) -> RebuildError {
    match error {
        SubscriberError::Lost => RebuildError::Lost,
        SubscriberError::Retry(source) => RebuildError::Fold { after, source },
    }
}

/// What is to be written of the log in one transaction, and up to where.
struct Part {
    to: Position,
    changes: Changes,
}

/// Folds the log part by part. What was folded before is either among the recent rows or written.
struct Folding<'a, P> {
    pages: P,
    projector: &'a Projector,
    recent: Recent,
}

impl<P> Folding<'_, P>
where
    P: Stream<Item = Result<Vec<RecordedEvent>, Unavailable>> + Unpin,
{
    /// The part after a position; none at the end.
    async fn after(&mut self, from: Position) -> Result<Option<Part>, RebuildError> {
        let Some(events) = self.pages.next().await.transpose()? else { return Ok(None) };
        let Some(to) = events.last().map(|event| event.position) else { return Ok(None) };
        let changes = self.projector.fold(from, &events, Some(&mut self.recent), None).await;
        Ok(Some(Part { to, changes: changes.map_err(|error| failed(from, error))? }))
    }
}

#[cfg(test)]
mod tests;
