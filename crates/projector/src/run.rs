//! The running projector: follows the log, and rebuilds when it is asked to.
use std::{pin::pin, sync::Arc};

use deed_store::{Checkpoints, Clock, EventStore, SubscriptionConfig, SubscriptionError, run_subscription};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::projector::{Projector, READ_MODELS};
use crate::rebuild::{IfHeld, REBUILD_BATCH, RebuildConfig, RebuildError, Rebuilt, rebuild};

type Answer = Result<Rebuilt, RebuildError>;

/// Asks a running projector to rebuild.
#[derive(Debug, Clone)]
pub struct Rebuilder(mpsc::Sender<oneshot::Sender<Answer>>);

/// Where a projector hears of it.
#[derive(Debug)]
pub struct RebuildRequests(mpsc::Receiver<oneshot::Sender<Answer>>);

/// The two ends of a way to ask for rebuilds within one process.
pub fn rebuild_channel() -> (Rebuilder, RebuildRequests) {
    let (asks, requests) = mpsc::channel(1);
    (Rebuilder(asks), RebuildRequests(requests))
}

impl Rebuilder {
    /// Has the read models rebuilt and waits until they are.
    ///
    /// # Errors
    /// When the rebuild was broken off, or no projector runs.
    pub async fn rebuild(&self) -> Answer {
        let (answer, answered) = oneshot::channel();
        self.0.send(answer).await.map_err(|_| RebuildError::NotRunning)?;
        answered.await.unwrap_or(Err(RebuildError::NotRunning))
    }
}

/// Runs the projector until `stop`: as the active one or, while another has the lease, in its shadow.
///
/// # Errors
/// What ends the subscription for good.
pub async fn run_projector(
    store: Arc<dyn EventStore>,
    checkpoints: Arc<dyn Checkpoints>,
    clock: Arc<dyn Clock>,
    mut projector: Projector,
    requests: RebuildRequests,
    config: &SubscriptionConfig,
    stop: CancellationToken,
) -> Result<(), SubscriptionError> {
    let (leases, time) = (Arc::clone(&checkpoints), Arc::clone(&clock));
    let told = projector.metrics.subscription.clone();
    projector.count_claims(Arc::clone(&checkpoints));
    tokio::select! {
        ended = follow(store, checkpoints, clock, &mut projector, requests, config, stop) => ended,
        never = told.watch(&*leases, &*time, READ_MODELS) => match never {},
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
    let how = RebuildConfig {
        owner: config.owner.clone(),
        batch: REBUILD_BATCH.max(config.batch),
        lease_ttl: config.lease_ttl,
        if_held: IfHeld::TakeOver,
    };
    while !stop.is_cancelled() {
        let pause = stop.child_token();
        let request = {
            let (store, checkpoints, clock) = (store.clone(), checkpoints.clone(), clock.clone());
            let lease = projector.metrics.subscription.lease.clone();
            let following =
                run_subscription(store, checkpoints, clock, projector, config, &lease, pause.clone());
            let mut following = pin!(following);
            let request = tokio::select! {
                ended = &mut following => return ended,
                Some(request) = requests.0.recv() => request,
            };
            pause.cancel();
            following.await?;
            request
        };
        let result = rebuild(&*store, &checkpoints, &clock, projector, &how, &stop).await;
        if let Err(error) = &result {
            tracing::warn!(error = error as &dyn std::error::Error, "the rebuild was broken off");
        }
        // Nobody has to wait for the answer.
        let _ = request.send(result);
    }
    Ok(())
}
