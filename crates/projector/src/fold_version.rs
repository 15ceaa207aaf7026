//! The version of the fold that made the read models: those of another version are folded again.
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use deed_claims::{Clock, FOLD_VERSION};
use deed_store::{Checkpoints, EventStore, LeaseError, Position, READ_MODELS, READ_MODELS_FOLD, Unavailable};
use tokio_util::sync::CancellationToken;

use crate::projector::Projector;
use crate::rebuild::{RebuildConfig, RebuildError, acquire_lease, rebuild_under};

/// Sets a mark, which is the position of a checkpoint of its own. The caller has to hold the lease of the read models.
pub(crate) async fn set_mark(
    checkpoints: &dyn Checkpoints,
    clock: &dyn Clock,
    (owner, ttl): (&str, Duration),
    name: &str,
    change: impl Fn(Position) -> Position + Send,
) -> Result<(), LeaseError> {
    // A process that died with this lease has lost the lease of the read models as well, so it is safe to take over.
    let later = clock.now() + TimeDelta::from_std(ttl * 2).unwrap_or(TimeDelta::hours(1));
    let lease = checkpoints.acquire(name, owner, later, ttl).await?.ok_or(LeaseError::Lost)?;
    let from = checkpoints.checkpoint(name).await?;
    let to = change(from);
    if to != from {
        checkpoints.advance(&lease, from, to).await?;
    }
    Ok(checkpoints.release(&lease).await?)
}

/// Says that the read models are folded by this version. They have to be empty.
pub(crate) async fn store_fold_version(
    checkpoints: &dyn Checkpoints,
    clock: &dyn Clock,
    owner: (&str, Duration),
) -> Result<(), LeaseError> {
    set_mark(checkpoints, clock, owner, READ_MODELS_FOLD, |_| Position(FOLD_VERSION)).await
}

async fn is_current(checkpoints: &dyn Checkpoints) -> Result<bool, Unavailable> {
    Ok(checkpoints.checkpoint(READ_MODELS_FOLD).await? == Position(FOLD_VERSION))
}

/// Rebuilds the read models if another version folded them, once this process has their lease.
///
/// # Errors
/// When the rebuild was interrupted.
pub(crate) async fn rebuild_if_outdated(
    store: &dyn EventStore,
    checkpoints: &Arc<dyn Checkpoints>,
    clock: &Arc<dyn Clock>,
    projector: &mut Projector,
    config: &RebuildConfig,
    stop: &CancellationToken,
) -> Result<(), RebuildError> {
    if is_current(&**checkpoints).await? {
        return Ok(());
    }
    let keeper =
        acquire_lease(checkpoints, clock, &projector.metrics.subscription.lease, config, stop).await?;
    // Another process may have rebuilt them in the meantime, and before the first event there is nothing to rebuild.
    match outdated_until(&**checkpoints).await {
        Ok(Some(Position(0))) => {
            let stored =
                store_fold_version(&**checkpoints, &**clock, (&config.owner, config.lease_ttl)).await;
            keeper.release().await;
            Ok(stored?)
        }
        Ok(Some(_)) => {
            tracing::info!(fold = FOLD_VERSION, "another version folded the read models");
            rebuild_under(keeper, store, checkpoints, clock, projector, config, stop).await.map(drop)
        }
        current => {
            keeper.release().await;
            Ok(current.map(drop)?)
        }
    }
}

/// Up to where another version folded the log; none where this one did.
async fn outdated_until(checkpoints: &dyn Checkpoints) -> Result<Option<Position>, Unavailable> {
    if is_current(checkpoints).await? {
        return Ok(None);
    }
    checkpoints.checkpoint(READ_MODELS).await.map(Some)
}
