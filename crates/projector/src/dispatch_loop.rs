//! The dispatcher's loop: the replica with the lease runs rounds of dispatch, soon after work falls due and no oftener
//! than needed.
use std::{sync::Arc, time::Duration};

use deed_bus::Bus;
use deed_claims::Clock;
use deed_store::{Checkpoints, DueWork, EventStore, Lag, LeaseKeeper, Position, Unavailable};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::dispatch_round::{DispatchError, Dispatcher, RoundOutcome};
use crate::metrics::DispatcherMetrics;

/// The name of the dispatcher's lease.
pub const DISPATCHER: &str = "dispatcher";

/// The shortest pause after a round that left no work behind: the log may grow with every append.
const MIN_PAUSE: Duration = Duration::from_millis(20);

/// Settings of a dispatcher.
#[derive(Debug, Clone)]
pub struct DispatcherConfig {
    /// The owner of the lease; different for each replica.
    pub owner: String,
    /// The most rows of one round.
    pub limit: usize,
    /// The most messages that may wait in the queue; no round publishes while there are as many.
    pub window: usize,
    /// The most messages a second.
    pub rate: u32,
    /// The visibility time-out: how long a published row is hidden, after which its message counts as lost.
    pub visibility: Duration,
    /// The longest pause between two rounds.
    pub poll: Duration,
    /// How long the lease lasts without being renewed, and the deadline of one round.
    pub lease_ttl: Duration,
    /// The longest backoff after failed rounds.
    pub backoff_max: Duration,
    /// The `CloudEvents` source of the messages.
    pub source: String,
}

impl Default for DispatcherConfig {
    fn default() -> Self {
        Self {
            owner: "dispatcher".to_owned(),
            limit: 500,
            window: 2000,
            rate: 500,
            visibility: Duration::from_secs(30),
            poll: Duration::from_millis(500),
            lease_ttl: Duration::from_secs(4),
            backoff_max: Duration::from_secs(5),
            source: "/deed".to_owned(),
        }
    }
}

/// The ports of a dispatcher.
#[derive(Clone)]
pub struct DispatcherPorts {
    /// The log: when it grows, work may have been added.
    pub store: Arc<dyn EventStore>,
    /// Holds the dispatcher's lease.
    pub checkpoints: Arc<dyn Checkpoints>,
    /// The rows of due work.
    pub due: Arc<dyn DueWork>,
    /// Takes the messages.
    pub bus: Arc<dyn Bus>,
    /// Decides which rows are due.
    pub clock: Arc<dyn Clock>,
}

/// Runs the dispatcher until `stop`: active while it has the lease, and as a standby while another has it. It retries
/// after every failure, and finishes a round that has begun.
pub async fn run_dispatcher(
    ports: DispatcherPorts,
    config: &DispatcherConfig,
    metrics: DispatcherMetrics,
    stop: CancellationToken,
) {
    let overdue = metrics.overdue.clone();
    let (due, clock) = (Arc::clone(&ports.due), Arc::clone(&ports.clock));
    // Measured on every replica, and also while no round succeeds.
    let measure = overdue.watch(&*clock, |now| {
        let due = &due;
        async move {
            let behind = due.overdue(now).await?;
            Ok(Lag { count: behind.overdue, since: behind.oldest })
        }
    });
    tokio::select! {
        () = run_under_leases(ports, config, metrics, &stop) => {}
        never = measure => match never {},
    }
}

/// Acquires the lease and dispatches under it, again and again.
async fn run_under_leases(
    ports: DispatcherPorts,
    config: &DispatcherConfig,
    metrics: DispatcherMetrics,
    stop: &CancellationToken,
) {
    let dispatcher = Dispatcher::new(&ports, config, metrics);
    loop {
        let (leases, clock) = (Arc::clone(&ports.checkpoints), Arc::clone(&ports.clock));
        let (owner, ttl) = (config.owner.as_str(), config.lease_ttl);
        let Some(keeper) =
            LeaseKeeper::acquire(leases, clock, DISPATCHER, owner, ttl, &dispatcher.metrics.lease, stop)
                .await
        else {
            return;
        };
        tracing::info!(epoch = keeper.lease().epoch, "the dispatcher is active");
        let head = Some(ports.store.head());
        let mut rounds = DispatchLoop { dispatcher: &dispatcher, config, head, failures: 0 };
        // A round that is cancelled here leaves its rows hidden for the visibility time-out, and does no other harm.
        tokio::select! {
            biased;
            () = keeper.lost() => tracing::warn!("another dispatcher has taken over"),
            () = rounds.run(stop) => {}
        }
        keeper.release().await;
        if stop.is_cancelled() {
            return;
        }
    }
}

/// The rounds under one lease.
struct DispatchLoop<'a> {
    dispatcher: &'a Dispatcher,
    config: &'a DispatcherConfig,
    /// Changes when the log grows; `None` once the store sends no more changes.
    head: Option<watch::Receiver<Position>>,
    /// Failed rounds since the last good one.
    failures: u32,
}

impl DispatchLoop<'_> {
    async fn run(&mut self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            if let Some(head) = &mut self.head {
                head.mark_unchanged();
            }
            let round = tokio::time::timeout(self.config.lease_ttl, self.dispatcher.run_round()).await;
            let round =
                round.unwrap_or_else(|late| Err(Unavailable::new("finish a round of dispatch", late).into()));
            // Stopping ends the wait, and the loop's condition sees it.
            let _ = stop.run_until_cancelled(self.wait_after(round)).await;
        }
    }

    /// Waits as long as the outcome of a round asks for.
    async fn wait_after(&mut self, round: Result<RoundOutcome, DispatchError>) {
        match round {
            Ok(RoundOutcome::More) => self.failures = 0,
            // The next row may fall due at once: the next round finds out when.
            Ok(RoundOutcome::Done) => self.wait_for_work(MIN_PAUSE).await,
            Ok(RoundOutcome::Idle(next)) => {
                let wait = next.map(|next| (next - self.dispatcher.clock.now()).to_std().unwrap_or_default());
                self.wait_for_work(wait.unwrap_or(self.config.poll).min(self.config.poll)).await;
            }
            Ok(RoundOutcome::RateLimited(wait)) => {
                self.failures = 0;
                tokio::time::sleep(wait.min(self.config.poll)).await;
            }
            Ok(RoundOutcome::QueueFull) => {
                tracing::debug!("the queue has enough to do");
                self.back_off().await;
            }
            Ok(RoundOutcome::Refused(rows)) => {
                tracing::warn!(rows, "the bus did not take due work, which is tried again");
                self.back_off().await;
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, "due work could not be dispatched and is tried again");
                self.back_off().await;
            }
        }
    }

    /// Waits until `wait` has passed or the log has grown, whichever comes first.
    async fn wait_for_work(&mut self, wait: Duration) {
        self.failures = 0;
        tokio::time::sleep(MIN_PAUSE).await;
        let rest = wait.saturating_sub(MIN_PAUSE);
        let Some(head) = &mut self.head else { return tokio::time::sleep(rest).await };
        if let Ok(Err(_)) = tokio::time::timeout(rest, head.changed()).await {
            self.head = None;
        }
    }

    async fn back_off(&mut self) {
        let pause = self.config.poll.saturating_mul(1 << self.failures.min(16)).min(self.config.backoff_max);
        self.failures = self.failures.saturating_add(1);
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests;
