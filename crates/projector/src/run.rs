//! The running projector: follows the log, and rebuilds the read models on request.
use std::{pin::pin, sync::Arc};

use deed_claims::Clock;
use deed_store::{
    Checkpoints, EventStore, READ_MODELS, SubscriptionConfig, SubscriptionError, run_subscription,
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::fold_version::rebuild_if_outdated;
use crate::projector::Projector;
use crate::rebuild::{IfHeld, REBUILD_BATCH, RebuildConfig, RebuildError, Rebuilt, rebuild};

type RebuildResult = Result<Rebuilt, RebuildError>;

/// The sender of rebuild requests to a running projector.
#[derive(Debug, Clone)]
pub struct Rebuilder(mpsc::Sender<oneshot::Sender<RebuildResult>>);

/// The receiver of rebuild requests, which a running projector serves.
#[derive(Debug)]
pub struct RebuildRequests(mpsc::Receiver<oneshot::Sender<RebuildResult>>);

/// A channel for rebuild requests within one process.
pub fn rebuild_channel() -> (Rebuilder, RebuildRequests) {
    let (sender, receiver) = mpsc::channel(1);
    (Rebuilder(sender), RebuildRequests(receiver))
}

impl Rebuilder {
    /// Requests a rebuild and waits until it is done.
    ///
    /// # Errors
    /// When the rebuild was interrupted, or no projector runs.
    pub async fn rebuild(&self) -> RebuildResult {
        let (reply, result) = oneshot::channel();
        self.0.send(reply).await.map_err(|_| RebuildError::NotRunning)?;
        result.await.unwrap_or(Err(RebuildError::NotRunning))
    }
}

/// Runs the projector until `stop`: active while it has the lease, and as a standby while another has it.
///
/// # Errors
/// When the subscription failed permanently.
pub async fn run_projector(
    store: Arc<dyn EventStore>,
    checkpoints: Arc<dyn Checkpoints>,
    clock: Arc<dyn Clock>,
    mut projector: Projector,
    requests: RebuildRequests,
    config: &SubscriptionConfig,
    stop: CancellationToken,
) -> Result<(), SubscriptionError> {
    let (watched_checkpoints, watched_clock) = (Arc::clone(&checkpoints), Arc::clone(&clock));
    let metrics = projector.metrics.subscription.clone();
    projector.count_claims(Arc::clone(&checkpoints));
    tokio::select! {
        ended = follow(store, checkpoints, clock, &mut projector, requests, config, stop) => ended,
        never = metrics.watch(&*watched_checkpoints, &*watched_clock, READ_MODELS) => match never {},
    }
}

async fn follow(
    store: Arc<dyn EventStore>,
    checkpoints: Arc<dyn Checkpoints>,
    clock: Arc<dyn Clock>,
    projector: &mut Projector,
    mut requests: RebuildRequests,
    config: &SubscriptionConfig,
    stop: CancellationToken,
) -> Result<(), SubscriptionError> {
    let rebuild_config = RebuildConfig {
        owner: config.owner.clone(),
        batch: REBUILD_BATCH.max(config.batch),
        lease_ttl: config.lease_ttl,
        if_held: IfHeld::TakeOver,
    };
    let waiting = RebuildConfig { if_held: IfHeld::Wait, ..rebuild_config.clone() };
    while let Err(error) =
        rebuild_if_outdated(&*store, &checkpoints, &clock, projector, &waiting, &stop).await
    {
        if stop.is_cancelled() {
            return Ok(());
        }
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the read models are still those of another version"
        );
        stop.run_until_cancelled(tokio::time::sleep(config.backoff_max)).await;
    }
    while !stop.is_cancelled() {
        let pause = stop.child_token();
        let reply = {
            let (store, checkpoints, clock) = (store.clone(), checkpoints.clone(), clock.clone());
            let lease = projector.metrics.subscription.lease.clone();
            let following =
                run_subscription(store, checkpoints, clock, projector, config, &lease, pause.clone());
            let mut following = pin!(following);
            let reply = tokio::select! {
                ended = &mut following => return ended,
                Some(reply) = requests.0.recv() => reply,
            };
            pause.cancel();
            following.await?;
            reply
        };
        let result = rebuild(&*store, &checkpoints, &clock, projector, &rebuild_config, &stop).await;
        if let Err(error) = &result {
            tracing::warn!(error = error as &dyn std::error::Error, "the rebuild was broken off");
        }
        // The requester may have stopped waiting.
        let _ = reply.send(result);
    }
    Ok(())
}
