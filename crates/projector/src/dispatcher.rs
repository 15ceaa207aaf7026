//! The dispatcher: publishes due work, and gives back the rows whose message was not confirmed.
use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use deed_bus::Bus;
use deed_claims::Clock;
use deed_messages::{TraceContext, VerificationTask, VerificationWork, queues};
use deed_outbox::{
    DueOutboxConfig, DueOutboxPorts, DueSource, Outbox, OutboxError, OutboxMessage, RoundOutcome,
    RowMessages, Taken, run_due_outbox,
};
use deed_store::{Checkpoints, DueItem, DueWork, EventStore, Lag, Unavailable};
use tokio_util::sync::CancellationToken;

use crate::metrics::{DISPATCHER, DispatcherMetrics};
use crate::token_bucket::TokenBucket;

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
    let (overdue, lease) = (metrics.overdue.clone(), metrics.lease.clone());
    let (due, clock) = (Arc::clone(&ports.due), Arc::clone(&ports.clock));
    // Measured on every replica, and also while no round succeeds.
    let measure = overdue.watch(&*clock, |now| {
        let due = &due;
        async move {
            let behind = due.overdue(now).await?;
            Ok(Lag { count: behind.overdue, since: behind.oldest })
        }
    });
    let outbox = Outbox::new(DueMessages::new(&ports, config, metrics), ports.bus.publisher());
    let DispatcherPorts { store, checkpoints, clock, .. } = ports;
    let ports = DueOutboxPorts { store, checkpoints, clock };
    let rounds = DueOutboxConfig {
        name: DISPATCHER,
        owner: config.owner.clone(),
        poll: config.poll,
        lease_ttl: config.lease_ttl,
        backoff_max: config.backoff_max,
    };
    tokio::select! {
        () = run_due_outbox(ports, &outbox, &rounds, &lease, &stop) => {}
        never = measure => match never {},
    }
}

/// Due work as rows of an outbox.
struct DueMessages {
    due: Arc<dyn DueWork>,
    bus: Arc<dyn Bus>,
    clock: Arc<dyn Clock>,
    /// The most rows of one round.
    limit: usize,
    /// The most messages that may wait in the queue.
    window: usize,
    /// The rate limit of messages.
    rate_limit: TokenBucket,
    visibility: TimeDelta,
    source: String,
    metrics: DispatcherMetrics,
}

impl DueMessages {
    fn new(ports: &DispatcherPorts, config: &DispatcherConfig, metrics: DispatcherMetrics) -> Self {
        Self {
            due: Arc::clone(&ports.due),
            bus: Arc::clone(&ports.bus),
            clock: Arc::clone(&ports.clock),
            limit: config.limit.max(1),
            window: config.window.max(1),
            rate_limit: TokenBucket::new(config.rate),
            visibility: TimeDelta::from_std(config.visibility).unwrap_or(TimeDelta::days(1)),
            source: config.source.clone(),
            metrics,
        }
    }
}

impl RowMessages for DueMessages {
    type Row = DueItem;

    /// Each row begins a trace, since the rows of a round are unrelated. The verifier finds the cause of a row in the
    /// claim's stream and links to it.
    fn cause(&self, _item: &DueItem) -> Option<(TraceContext, Duration)> {
        None
    }

    fn message(&self, item: &DueItem) -> Result<OutboxMessage, OutboxError> {
        let task = VerificationTask::from_due(item.kind, item.attempt);
        let work = VerificationWork::due(item.stream.clone(), item.claim_id, task, self.clock.now(), None);
        Ok(OutboxMessage {
            event: work.to_due_event(&self.source),
            routing_key: VerificationWork::DUE_KEY,
            claim: Some(item.claim_id.to_string()),
        })
    }
}

#[async_trait]
impl DueSource for DueMessages {
    async fn take(&self, now: DateTime<Utc>) -> Result<Taken<DueItem>, OutboxError> {
        match self.due.next_due_at().await? {
            Some(at) if at <= now => {}
            next => return Ok(Taken::Nothing(RoundOutcome::Idle(next))),
        }
        // Without consumers, rows fall due again and again: the queue must not fill up with repetitions.
        let waiting = self.bus.depth(queues::VERIFICATION).await?.ready;
        let capacity = self.window.saturating_sub(waiting).min(self.limit);
        if capacity == 0 {
            return Ok(Taken::Nothing(RoundOutcome::QueueFull));
        }
        let capacity = match self.rate_limit.available(now) {
            Ok(available) => capacity.min(available),
            Err(wait) => return Ok(Taken::Nothing(RoundOutcome::RateLimited(wait))),
        };
        let rows = self.due.claim_due(now, capacity, now + self.visibility).await?;
        self.rate_limit.consume(rows.len());
        let is_full = rows.len() >= capacity;
        Ok(Taken::Rows { rows, is_full })
    }

    async fn give_back(&self, items: Vec<DueItem>) -> Result<(), Unavailable> {
        self.metrics.given_back.inc_by(items.len() as u64);
        self.due.give_back(&items).await
    }

    fn record_delivered(&self, item: &DueItem, at: DateTime<Utc>) {
        self.metrics.dispatched(item.kind).inc();
        self.metrics.lateness.observe((at - item.due_at).as_seconds_f64().max(0.0));
    }
}

#[cfg(test)]
mod tests;
