//! The dispatcher's loop: one of all replicas asks for due work, as soon as it is due and no oftener than it must.
use std::{sync::Arc, time::Duration};

use deed_bus::Bus;
use deed_store::{Behind, Checkpoints, Clock, DueWork, EventStore, LeaseKeeper, Position, Unavailable};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::dispatch::{Dispatch, DispatchError, Round};
use crate::metrics::DispatcherMetrics;

/// The name of the dispatcher's lease.
pub const DISPATCHER: &str = "dispatcher";

/// The least pause between two rounds that found nothing: hints may come with every append.
const BREATH: Duration = Duration::from_millis(20);

/// How a dispatcher works.
#[derive(Debug, Clone)]
pub struct DispatcherConfig {
    /// Names this dispatcher among its standbys.
    pub owner: String,
    /// Rows handed out at a time.
    pub limit: usize,
    /// Messages that may wait in the queue; while there are as many, nothing is handed out.
    pub window: usize,
    /// Messages a second at most.
    pub rate: u32,
    /// How long a row is hidden once its message is on the bus: the time after which the message is taken for lost.
    pub visibility: Duration,
    /// The longest pause before it is looked for due work again.
    pub poll: Duration,
    /// How long a dead dispatcher keeps its standbys waiting, and how long a round may take.
    pub lease_ttl: Duration,
    /// The longest pause after something went wrong.
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
            lease_ttl: Duration::from_secs(15),
            backoff_max: Duration::from_secs(5),
            source: "/deed".to_owned(),
        }
    }
}

/// The ports that a dispatcher works with.
#[derive(Clone)]
pub struct DispatcherPorts {
    /// Whose log gives hints that work may have been added.
    pub store: Arc<dyn EventStore>,
    /// Where the dispatcher's lease is.
    pub checkpoints: Arc<dyn Checkpoints>,
    /// Where the rows are.
    pub due: Arc<dyn DueWork>,
    /// Where the messages go.
    pub bus: Arc<dyn Bus>,
    /// Tells what is due.
    pub clock: Arc<dyn Clock>,
}

/// Runs the dispatcher until `stop`: as the active one or, while another has the lease, in its shadow. Whatever goes
/// wrong is tried again; a round that was begun is finished.
pub async fn run_dispatcher(
    ports: DispatcherPorts,
    config: &DispatcherConfig,
    metrics: DispatcherMetrics,
    stop: CancellationToken,
) {
    let overdue = metrics.overdue.clone();
    let (due, clock) = (Arc::clone(&ports.due), Arc::clone(&ports.clock));
    // On every replica, also while nothing can be dispatched.
    let measure = overdue.watch(&*clock, |now| {
        let due = &due;
        async move {
            let behind = due.overdue(now).await?;
            Ok(Behind { count: behind.overdue, since: behind.oldest })
        }
    });
    tokio::select! {
        () = lead(ports, config, metrics, &stop) => {}
        never = measure => match never {},
    }
}

async fn lead(
    ports: DispatcherPorts,
    config: &DispatcherConfig,
    metrics: DispatcherMetrics,
    stop: &CancellationToken,
) {
    let dispatch = Dispatch::new(&ports, config, metrics);
    loop {
        let (leases, clock) = (Arc::clone(&ports.checkpoints), Arc::clone(&ports.clock));
        let (owner, ttl) = (config.owner.as_str(), config.lease_ttl);
        let Some(keeper) =
            LeaseKeeper::acquire(leases, clock, DISPATCHER, owner, ttl, &dispatch.metrics.lease, stop).await
        else {
            return;
        };
        tracing::info!(epoch = keeper.lease().epoch, "the dispatcher is active");
        let mut turn = Turn { dispatch: &dispatch, config, head: Some(ports.store.head()), faults: 0 };
        // A round that is cut short leaves rows hidden for a while, no more.
        tokio::select! {
            biased;
            () = keeper.lost() => tracing::warn!("another dispatcher has taken over"),
            () = turn.dispatch_until(stop) => {}
        }
        keeper.release().await;
        if stop.is_cancelled() {
            return;
        }
    }
}

/// What is done under one lease.
struct Turn<'a> {
    dispatch: &'a Dispatch,
    config: &'a DispatcherConfig,
    /// Hints that the log has grown; none once nobody gives any more.
    head: Option<watch::Receiver<Position>>,
    /// Rounds since one went well.
    faults: u32,
}

impl Turn<'_> {
    async fn dispatch_until(&mut self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            if let Some(head) = &mut self.head {
                head.mark_unchanged();
            }
            let round = tokio::time::timeout(self.config.lease_ttl, self.dispatch.round()).await;
            let round =
                round.unwrap_or_else(|late| Err(Unavailable::new("finish a round of dispatch", late).into()));
            // Stopping ends the wait, and the loop's condition sees it.
            let _ = stop.run_until_cancelled(self.rest(round)).await;
        }
    }

    async fn rest(&mut self, round: Result<Round, DispatchError>) {
        match round {
            Ok(Round::More) => self.faults = 0,
            // The next row may fall due at once: the next round says when.
            Ok(Round::Done) => self.settle(BREATH).await,
            Ok(Round::Idle(next)) => {
                let wait = next.map(|next| (next - self.dispatch.clock.now()).to_std().unwrap_or_default());
                self.settle(wait.unwrap_or(self.config.poll).min(self.config.poll)).await;
            }
            Ok(Round::Paced(wait)) => {
                self.faults = 0;
                tokio::time::sleep(wait.min(self.config.poll)).await;
            }
            Ok(Round::Crowded) => {
                tracing::debug!("the queue has enough to do");
                self.back_off().await;
            }
            Ok(Round::Refused(rows)) => {
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

    /// Waits for the next row, a hint, or the next look, whichever comes first.
    async fn settle(&mut self, wait: Duration) {
        self.faults = 0;
        tokio::time::sleep(BREATH).await;
        let rest = wait.saturating_sub(BREATH);
        let Some(head) = &mut self.head else { return tokio::time::sleep(rest).await };
        if let Ok(Err(_)) = tokio::time::timeout(rest, head.changed()).await {
            self.head = None;
        }
    }

    async fn back_off(&mut self) {
        let pause = self.config.poll.saturating_mul(1 << self.faults.min(16)).min(self.config.backoff_max);
        self.faults = self.faults.saturating_add(1);
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests;
