//! The subscription runner: one active reader of the log per name, which starts at its checkpoint.
mod reader;
mod wait;

use std::{error::Error, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use self::reader::{LeasedReader, ReaderExit};
use self::wait::{Backoff, HeadHints};
use crate::{
    Checkpoints, EventStore, Lease, LeaseKeeper, LeaseMetrics, Position, RecordedEvent, Unavailable,
};
use deed_claims::Clock;

/// Consecutive events of the log.
#[derive(Debug)]
pub struct Batch<'a> {
    /// The lease to show with every write that the batch leads to.
    pub lease: &'a Lease,
    /// The checkpoint, just before the first event.
    pub from: Position,
    /// The position of the last event.
    pub to: Position,
    /// At least one.
    pub events: &'a [RecordedEvent],
}

/// How far a batch was processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// To its end: the runner moves the checkpoint there.
    Advance,
    /// Up to a position: the runner moves the checkpoint there, and the rest is delivered again.
    AdvanceTo(Position),
    /// To its end, and the subscriber has moved the checkpoint there in its own transaction.
    Advanced,
}

/// Why a batch was not processed.
#[derive(Debug, thiserror::Error)]
pub enum SubscriberError {
    /// Another owner has taken the lease over, or the checkpoint has changed.
    #[error("the lease or the checkpoint has moved on")]
    Lost,
    /// The same batch is to be delivered again after a pause.
    #[error("the batch has to be tried again")]
    Retry(#[source] Box<dyn Error + Send + Sync>),
}

/// A consumer of the log.
#[async_trait]
pub trait Subscriber: Send {
    /// The name of its lease and its checkpoint; never changed.
    fn name(&self) -> &'static str;

    /// Processes a batch. Dropped before it ends when the lease is lost, or some time after the runner is told to stop.
    /// The same events may be delivered again.
    ///
    /// # Errors
    /// When the batch was not processed.
    async fn consume(&mut self, batch: Batch<'_>) -> Result<Progress, SubscriberError>;
}

/// How a subscription is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionConfig {
    /// Names this runner among its standbys.
    pub owner: String,
    /// Events in one batch.
    pub batch: usize,
    /// How long standbys wait for a runner that died. Also the time limit of one call to the store, and of a batch that
    /// is being processed when the runner is told to stop.
    pub lease_ttl: Duration,
    /// The longest pause before the log is read again without a hint.
    pub poll: Duration,
    /// The longest pause after a failure.
    pub backoff_max: Duration,
}

/// A failure that a retry cannot repair.
#[derive(Debug, thiserror::Error)]
pub enum SubscriptionError {
    /// The checkpoint belongs to another log: events were lost, for example when an old backup was restored.
    #[error("the checkpoint of {name} is at {checkpoint}, but the log ends at {last}")]
    AheadOfLog {
        /// The subscription.
        name: &'static str,
        /// Its checkpoint.
        checkpoint: Position,
        /// The end of the log.
        last: Position,
    },
}

/// Follows the log until `stop`: acquires the lease (or stands by until it is free), and delivers batches to the
/// subscriber, one at a time, from the checkpoint on. Failures are retried; a lost lease is acquired again. At an event
/// that this version cannot read, the runner gives up the lease for a while: a standby may be a newer version.
///
/// # Errors
/// When a retry cannot help.
pub async fn run_subscription(
    store: Arc<dyn EventStore>,
    checkpoints: Arc<dyn Checkpoints>,
    clock: Arc<dyn Clock>,
    subscriber: &mut dyn Subscriber,
    config: &SubscriptionConfig,
    metrics: &LeaseMetrics,
    stop: CancellationToken,
) -> Result<(), SubscriptionError> {
    let name = subscriber.name();
    let mut backoff = Backoff::new(config.backoff_max);
    loop {
        let (leases, clock) = (Arc::clone(&checkpoints), Arc::clone(&clock));
        let (owner, ttl) = (config.owner.as_str(), config.lease_ttl);
        let Some(keeper) = LeaseKeeper::acquire(leases, clock, name, owner, ttl, metrics, &stop).await else {
            return Ok(());
        };
        tracing::info!(subscription = name, epoch = keeper.lease().epoch, "the subscription is active");
        let mut reader = LeasedReader {
            store: &*store,
            checkpoints: &*checkpoints,
            lease: keeper.lease(),
            config,
            stop: &stop,
            head: HeadHints::new(store.head()),
            backoff: &mut backoff,
        };
        let exit = tokio::select! {
            biased;
            // The current batch is dropped: the new owner of the lease processes it.
            () = keeper.lost() => ReaderExit::LeaseLost,
            exit = reader.follow(subscriber) => exit,
        };
        keeper.release().await;
        match exit {
            ReaderExit::Stopped => return Ok(()),
            ReaderExit::Failed(error) => return Err(error),
            ReaderExit::LeaseLost => {
                tracing::warn!(subscription = name, "the lease or the checkpoint has moved on");
            }
            // A standby asks for the lease every third of this time.
            ReaderExit::UnreadableEvent => {
                if stop.run_until_cancelled(sleep(config.lease_ttl)).await.is_none() {
                    return Ok(());
                }
            }
        }
        if stop.run_until_cancelled(backoff.pause()).await.is_none() {
            return Ok(());
        }
    }
}
