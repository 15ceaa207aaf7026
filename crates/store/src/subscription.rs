//! The subscription runner: one active reader of the log under a name, from its checkpoint on, for ever.
use std::{error::Error, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::log_pages::without_gap;
use crate::{
    Checkpoints, Clock, EventStore, Lease, LeaseError, LeaseKeeper, LeaseMetrics, Position, RecordedEvent,
    Unavailable,
};

/// The first pause after something went wrong; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The pause after a batch that was not full. What is appended meanwhile comes in one batch: while others append all the
/// time, reading, writing and checkpoint would otherwise be paid for every few events. A first event does not wait.
const BREATH: Duration = Duration::from_millis(5);

/// Events of the log that follow each other without a gap.
#[derive(Debug)]
pub struct Batch<'a> {
    /// Under which everything the batch leads to is written.
    pub lease: &'a Lease,
    /// Where the checkpoint is: just before the first event.
    pub from: Position,
    /// The position of the last event.
    pub to: Position,
    /// At least one.
    pub events: &'a [RecordedEvent],
}

/// What has become of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It is done: the runner moves the checkpoint to its end.
    Advance,
    /// It is done up to a position: the runner moves the checkpoint there, and what is left comes again.
    AdvanceTo(Position),
    /// It is done, and the subscriber has moved the checkpoint to its end, in its own transaction.
    Advanced,
}

/// Why a batch is not done.
#[derive(Debug, thiserror::Error)]
pub enum SubscriberError {
    /// Another holder has taken over, or the checkpoint is not where it was.
    #[error("the lease or the checkpoint has moved on")]
    Lost,
    /// The same batch is to come again after a pause.
    #[error("the batch has to be tried again")]
    Retry(#[source] Box<dyn Error + Send + Sync>),
}

/// Whoever follows the log.
#[async_trait]
pub trait Subscriber: Send {
    /// Names its lease and its checkpoint, for ever.
    fn name(&self) -> &'static str;

    /// Takes a batch. Dropped in the middle when the lease is lost, and a while after the runner is told to stop. The same
    /// events may come again.
    ///
    /// # Errors
    /// When the batch is not done.
    async fn consume(&mut self, batch: Batch<'_>) -> Result<Progress, SubscriberError>;
}

/// How a subscription is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionConfig {
    /// Names this runner among its standbys.
    pub owner: String,
    /// Events in one batch.
    pub batch: usize,
    /// How long a dead runner keeps its standbys waiting. Also how long one question to the store may take, and a batch
    /// that is in hand when the runner is told to stop.
    pub lease_ttl: Duration,
    /// The longest pause before the log is read again when no hint came.
    pub poll: Duration,
    /// The longest pause after something went wrong.
    pub backoff_max: Duration,
}

/// What no further try can mend.
#[derive(Debug, thiserror::Error)]
pub enum SubscriptionError {
    /// The log is not the one that the checkpoint was made for: events were lost, as after restoring an old backup.
    #[error("the checkpoint of {name} is at {checkpoint}, but the log ends at {last}")]
    AheadOfLog {
        /// The subscription.
        name: &'static str,
        /// Where its checkpoint is.
        checkpoint: Position,
        /// Where the log ends.
        last: Position,
    },
}

/// Follows the log until `stop`: gets the lease (or stands by until it is free), and hands batches to the subscriber, one
/// at a time, from the checkpoint on. Whatever goes wrong is tried again; a lost lease is asked for anew. Before an event
/// that this version cannot read it stops, and leaves the lease to its standbys for a while: one of them may be newer.
///
/// # Errors
/// When trying again cannot help.
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
        let mut turn = Turn {
            store: &*store,
            checkpoints: &*checkpoints,
            lease: keeper.lease(),
            config,
            stop: &stop,
            head: Head { hints: store.head(), gone: false },
            backoff: &mut backoff,
        };
        let ended = tokio::select! {
            biased;
            // Whatever is in hand is dropped: somebody else does it now.
            () = keeper.lost() => Ended::Lost,
            ended = turn.follow(subscriber) => ended,
        };
        keeper.release().await;
        match ended {
            Ended::Stopped => return Ok(()),
            Ended::Failed(error) => return Err(error),
            Ended::Lost => tracing::warn!(subscription = name, "the lease or the checkpoint has moved on"),
            // A standby asks every third of this time.
            Ended::Baffled => {
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

/// Why a turn under one lease is over.
enum Ended {
    Stopped,
    Lost,
    /// The next events are a newer version's.
    Baffled,
    Failed(SubscriptionError),
}

/// What is done under one lease.
struct Turn<'a> {
    store: &'a dyn EventStore,
    checkpoints: &'a dyn Checkpoints,
    lease: &'a Lease,
    config: &'a SubscriptionConfig,
    stop: &'a CancellationToken,
    head: Head,
    backoff: &'a mut Backoff,
}

impl Turn<'_> {
    async fn follow(&mut self, subscriber: &mut dyn Subscriber) -> Ended {
        let mut at = match self.begin(subscriber.name()).await {
            Ok(checkpoint) => checkpoint,
            Err(ended) => return ended,
        };
        while !self.stop.is_cancelled() {
            match self.step(subscriber, at).await {
                Ok(reached) => at = reached,
                Err(ended) => return ended,
            }
        }
        Ended::Stopped
    }

    /// Where the subscription goes on.
    async fn begin(&mut self, name: &'static str) -> Result<Position, Ended> {
        loop {
            let (checkpoints, store) = (self.checkpoints, self.store);
            let places = async { Ok((checkpoints.checkpoint(name).await?, store.last_position().await?)) };
            match self.in_time(places).await {
                Ok((checkpoint, last)) if checkpoint > last => {
                    return Err(Ended::Failed(SubscriptionError::AheadOfLog { name, checkpoint, last }));
                }
                Ok((checkpoint, _)) => return Ok(checkpoint),
                Err(error) => self.after(&error, "the checkpoint could not be read").await?,
            }
        }
    }

    /// Reads and hands over one batch; where the subscription stands then.
    async fn step(&mut self, subscriber: &mut dyn Subscriber, from: Position) -> Result<Position, Ended> {
        self.head.look();
        let events = match self.in_time(self.store.read_log(from, self.config.batch.max(1))).await {
            Ok(events) => events,
            Err(error) => {
                if let Some(event) = error.unreadable_event() {
                    let (subscription, cause) = (&self.lease.name, event.source().map(ToString::to_string));
                    tracing::error!(
                        %subscription, after = %from, error = %event, cause,
                        "the log goes on with what this version cannot read: left to a newer one"
                    );
                    return Err(Ended::Baffled);
                }
                self.after(&error, "the log could not be read").await?;
                return Ok(from);
            }
        };
        let Some(to) = events.last().map(|event| event.position) else {
            self.backoff.reset();
            // Stopping ends the wait, and the caller sees it.
            let waited = self.stop.run_until_cancelled(self.head.wait(self.config.poll)).await;
            return if waited == Some(Waited::InVain) { self.still_at(from).await } else { Ok(from) };
        };
        if let Err(gap) = without_gap(from, &events) {
            tracing::error!(subscription = %self.lease.name, cause = %gap, "the log was not read whole");
            self.pause().await?;
            return Ok(from);
        }
        let batch = Batch { lease: self.lease, from, to, events: &events };
        let is_full = events.len() >= self.config.batch;
        match self.consume(subscriber, batch).await? {
            Ok(Progress::Advanced) => {
                self.backoff.reset();
                self.breathe(is_full).await;
                Ok(to)
            }
            Ok(Progress::Advance) => {
                let reached = self.advance(from, to).await?;
                self.breathe(is_full).await;
                Ok(reached)
            }
            Ok(Progress::AdvanceTo(part)) if from < part && part <= to => self.advance(from, part).await,
            Ok(Progress::AdvanceTo(part)) => {
                tracing::error!(subscription = %self.lease.name, %part, %from, %to, "no such place in the batch");
                self.pause().await?;
                Ok(from)
            }
            Err(cause) => {
                self.after(&*cause, "a batch has to be tried again").await?;
                // What it failed of may be that the store has gone back.
                self.still_at(from).await
            }
        }
    }

    /// Where the subscription stands after a silence or a failure. A store that crashed may have come back with an older checkpoint,
    /// and with rows as old: then what was done since has to be done again, though nothing new has come.
    async fn still_at(&mut self, from: Position) -> Result<Position, Ended> {
        match self.in_time(self.checkpoints.checkpoint(&self.lease.name)).await {
            Ok(at) if at == from => Ok(from),
            Ok(at) if at < from => {
                tracing::warn!(subscription = %self.lease.name, %from, %at, "the checkpoint has gone back");
                Ok(at)
            }
            Ok(_) => Err(Ended::Lost),
            Err(error) => {
                self.after(&error, "the checkpoint could not be read").await?;
                Ok(from)
            }
        }
    }

    /// Lets the subscriber finish what it has in hand, but not for ever once told to stop.
    async fn consume(
        &self,
        subscriber: &mut dyn Subscriber,
        batch: Batch<'_>,
    ) -> Result<Result<Progress, Box<dyn Error + Send + Sync>>, Ended> {
        let patience = async {
            self.stop.cancelled().await;
            sleep(self.config.lease_ttl).await;
        };
        tokio::select! {
            biased;
            consumed = subscriber.consume(batch) => match consumed {
                Ok(progress) => Ok(Ok(progress)),
                Err(SubscriberError::Retry(cause)) => Ok(Err(cause)),
                Err(SubscriberError::Lost) => Err(Ended::Lost),
            },
            () = patience => Err(Ended::Stopped),
        }
    }

    /// Moves the checkpoint. Where a move was made but its answer got lost, the next try is refused: then the checkpoint
    /// is read anew, and nothing is done twice.
    async fn advance(&mut self, from: Position, to: Position) -> Result<Position, Ended> {
        loop {
            match timeout(self.config.lease_ttl, self.checkpoints.advance(self.lease, from, to)).await {
                Ok(Ok(())) => break,
                Ok(Err(LeaseError::Lost)) => return Err(Ended::Lost),
                Ok(Err(LeaseError::Unavailable(error))) => {
                    self.after(&error, "the checkpoint could not be moved").await?;
                }
                Err(late) => self.after(&late, "the checkpoint could not be moved").await?,
            }
        }
        self.backoff.reset();
        Ok(to)
    }

    async fn in_time<T>(
        &self,
        question: impl Future<Output = Result<T, Unavailable>>,
    ) -> Result<T, Unavailable> {
        match timeout(self.config.lease_ttl, question).await {
            Ok(answer) => answer,
            Err(late) => Err(Unavailable::new("wait for an answer", late)),
        }
    }

    async fn after(&mut self, error: &(dyn Error + Send + Sync), what: &'static str) -> Result<(), Ended> {
        let cause = error.source().map(ToString::to_string);
        tracing::warn!(subscription = %self.lease.name, %error, cause, "{what}");
        self.pause().await
    }

    /// Lets the log grow by more than a few events, unless more than a batch of them waits already.
    async fn breathe(&self, was_full: bool) {
        if !was_full {
            // Stopping ends the pause, and the caller sees it.
            self.stop.run_until_cancelled(sleep(BREATH)).await;
        }
    }

    async fn pause(&mut self) -> Result<(), Ended> {
        self.stop.run_until_cancelled(self.backoff.pause()).await.ok_or(Ended::Stopped)
    }
}

/// How a wait for the log to grow ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waited {
    /// There may be something new.
    ForNews,
    /// Nothing was announced.
    InVain,
}

/// The store's hints that the log may have grown.
struct Head {
    hints: watch::Receiver<Position>,
    /// Nobody gives hints any more.
    gone: bool,
}

impl Head {
    /// From here on a hint is news: called before the log is read.
    fn look(&mut self) {
        self.hints.mark_unchanged();
    }

    /// Waits for a hint, but not for longer than this.
    async fn wait(&mut self, longest: Duration) -> Waited {
        if self.gone {
            sleep(longest).await;
            return Waited::InVain;
        }
        match timeout(longest, self.hints.changed()).await {
            Ok(Ok(())) => Waited::ForNews,
            Ok(Err(_)) => {
                self.gone = true;
                Waited::InVain
            }
            Err(_) => Waited::InVain,
        }
    }
}

/// Pauses that double.
struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    fn new(longest: Duration) -> Self {
        Self { next: FIRST_PAUSE.min(longest), longest }
    }

    fn reset(&mut self) {
        self.next = FIRST_PAUSE.min(self.longest);
    }

    async fn pause(&mut self) {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        sleep(pause).await;
    }
}
