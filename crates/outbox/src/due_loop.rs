//! The loop of an outbox of due rows: the replica with the lease runs rounds, soon after rows fall due and no oftener
//! than needed.
use std::{error::Error, sync::Arc, time::Duration};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use deed_claims::Clock;
use deed_store::{Checkpoints, EventStore, LeaseKeeper, LeaseMetrics, Position, Unavailable};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{DueSource, Outbox, OutboxError, RoundOutcome, run_round};

/// The shortest pause after a round that left no rows behind: the log may grow with every append.
const MIN_PAUSE: Duration = Duration::from_millis(20);

/// Settings of an outbox of due rows.
#[derive(Debug, Clone)]
pub struct DueOutboxConfig {
    /// The name of the lease.
    pub name: &'static str,
    /// The owner of the lease; different for each replica.
    pub owner: String,
    /// The longest pause between two rounds.
    pub poll: Duration,
    /// How long the lease lasts without being renewed, and the deadline of one round.
    pub lease_ttl: Duration,
    /// The longest backoff after failed rounds.
    pub backoff_max: Duration,
}

/// The ports of an outbox of due rows.
#[derive(Clone)]
pub struct DueOutboxPorts {
    /// The log: when it grows, rows may have been added.
    pub store: Arc<dyn EventStore>,
    /// Holds the lease.
    pub checkpoints: Arc<dyn Checkpoints>,
    /// Decides which rows are due.
    pub clock: Arc<dyn Clock>,
}

/// Runs rounds until `stop`: while it has the lease, and as a standby while another has it. It retries after every
/// failure, and finishes a round that has begun.
pub async fn run_due_outbox<S: DueSource>(
    ports: DueOutboxPorts,
    outbox: &Outbox<S>,
    config: &DueOutboxConfig,
    metrics: &LeaseMetrics,
    stop: &CancellationToken,
) {
    loop {
        let (leases, clock) = (Arc::clone(&ports.checkpoints), Arc::clone(&ports.clock));
        let (owner, ttl) = (config.owner.as_str(), config.lease_ttl);
        let Some(keeper) = LeaseKeeper::acquire(leases, clock, config.name, owner, ttl, metrics, stop).await
        else {
            return;
        };
        tracing::info!(outbox = config.name, epoch = keeper.lease().epoch, "the outbox is active");
        let mut rounds = DueLoop::new(outbox, &*ports.clock, config, Some(ports.store.head()));
        // A round that is cancelled here leaves its rows claimed until the claim ends, and does no other harm.
        tokio::select! {
            biased;
            () = keeper.lost() => tracing::warn!(outbox = config.name, "another replica has taken over"),
            () = rounds.run(stop) => {}
        }
        keeper.release().await;
        if stop.is_cancelled() {
            return;
        }
    }
}

/// The rounds under one lease.
struct DueLoop<'a, S> {
    outbox: &'a Outbox<S>,
    clock: &'a dyn Clock,
    config: &'a DueOutboxConfig,
    /// Changes when the log grows; `None` once the store sends no more changes.
    head: Option<watch::Receiver<Position>>,
    pauses: ExponentialBackoff,
}

impl<'a, S: DueSource> DueLoop<'a, S> {
    fn new(
        outbox: &'a Outbox<S>,
        clock: &'a dyn Clock,
        config: &'a DueOutboxConfig,
        head: Option<watch::Receiver<Position>>,
    ) -> Self {
        Self { outbox, clock, config, head, pauses: pauses(config) }
    }

    async fn run(&mut self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            if let Some(head) = &mut self.head {
                head.mark_unchanged();
            }
            let round = timeout(self.config.lease_ttl, run_round(self.outbox, self.clock)).await;
            let round = round.unwrap_or_else(|late| Err(Unavailable::new("finish a round", late).into()));
            // Stopping ends the wait, and the loop's condition sees it.
            let _ = stop.run_until_cancelled(self.wait_after(round)).await;
        }
    }

    /// Waits as long as the outcome of a round asks for.
    async fn wait_after(&mut self, round: Result<RoundOutcome, OutboxError>) {
        let outbox = self.config.name;
        match round {
            Ok(RoundOutcome::More) => self.pauses = pauses(self.config),
            // The next row may fall due at once: the next round finds out when.
            Ok(RoundOutcome::Done) => self.wait_for_rows(MIN_PAUSE).await,
            Ok(RoundOutcome::Idle(next)) => {
                let wait = next.map(|next| (next - self.clock.now()).to_std().unwrap_or_default());
                self.wait_for_rows(wait.unwrap_or(self.config.poll).min(self.config.poll)).await;
            }
            Ok(RoundOutcome::RateLimited(wait)) => {
                self.pauses = pauses(self.config);
                sleep(wait.min(self.config.poll)).await;
            }
            Ok(RoundOutcome::QueueFull) => {
                tracing::debug!(outbox, "the queue has enough to do");
                self.back_off().await;
            }
            Ok(RoundOutcome::Refused(rows)) => {
                tracing::warn!(outbox, rows, "the bus did not take all rows, which are tried again");
                self.back_off().await;
            }
            Err(error) => {
                let cause = error.source().map(ToString::to_string);
                tracing::warn!(outbox, %error, cause, "the round failed and is tried again");
                self.back_off().await;
            }
        }
    }

    /// Waits until `wait` has passed or the log has grown, whichever comes first.
    async fn wait_for_rows(&mut self, wait: Duration) {
        self.pauses = pauses(self.config);
        sleep(MIN_PAUSE).await;
        let rest = wait.saturating_sub(MIN_PAUSE);
        let Some(head) = &mut self.head else { return sleep(rest).await };
        if let Ok(Err(_)) = timeout(rest, head.changed()).await {
            self.head = None;
        }
    }

    async fn back_off(&mut self) {
        sleep(self.pauses.next().unwrap_or(self.config.backoff_max)).await;
    }
}

/// The pauses after failed rounds: from about the poll interval up to the longest backoff. The jitter adds up to the
/// pause itself, hence the halves.
fn pauses(config: &DueOutboxConfig) -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(config.poll.min(config.backoff_max) / 2)
        .with_max_delay(config.backoff_max / 2)
        .without_max_times()
        .with_jitter()
        .build()
}

#[cfg(test)]
mod tests;
