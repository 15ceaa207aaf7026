//! The running projector: follows the log, and rebuilds when it is asked to.
use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use deed_store::{
    Checkpoints, Clock, EventStore, SubscriptionConfig, SubscriptionError, Unavailable, run_subscription,
};
use prometheus::IntGauge;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::projector::{Projector, READ_MODELS};
use crate::rebuild::{IfHeld, REBUILD_BATCH, RebuildConfig, RebuildError, Rebuilt, rebuild};

/// How often the distance to the end of the log is measured.
const LAG_SAMPLE: Duration = Duration::from_secs(5);

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
    let lag = projector.metrics.lag.clone();
    let measure = measure_lag(Arc::clone(&store), Arc::clone(&checkpoints), &lag);
    tokio::select! {
        ended = follow(store, checkpoints, clock, &mut projector, requests, config, stop) => ended,
        never = measure => match never {},
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
            let mut following =
                pin!(run_subscription(store, checkpoints, clock, projector, config, pause.clone()));
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

/// Keeps the gauge true on every replica, also while nothing moves.
async fn measure_lag(
    store: Arc<dyn EventStore>,
    checkpoints: Arc<dyn Checkpoints>,
    lag: &IntGauge,
) -> Infallible {
    loop {
        let sample = async {
            let done = checkpoints.checkpoint(READ_MODELS).await?;
            let head = store.last_position().await?;
            Ok::<_, Unavailable>(head.0.saturating_sub(done.0))
        };
        // A store that does not answer is reported by the subscription itself.
        if let Ok(Ok(behind)) = tokio::time::timeout(LAG_SAMPLE, sample).await {
            lag.set(i64::try_from(behind).unwrap_or(i64::MAX));
        }
        tokio::time::sleep(LAG_SAMPLE).await;
    }
}
