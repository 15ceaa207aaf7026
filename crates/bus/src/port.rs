//! The traits every backend implements.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::metrics::{Health, PublishMetrics};
use crate::{BusError, DeadReason, Delivery, Message, Topology};

/// The `messaging.system` of a bus within one process.
const IN_PROCESS: &str = "in_process";

/// The outcome of publishing one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishOutcome {
    /// Every queue it was routed to has stored it; an event that no queue is bound to counts as delivered. The only
    /// success.
    Confirmed,
    /// It is mandatory, and no queue is bound to its routing key.
    Unroutable,
    /// A queue was full until the deadline. Publish it again later.
    Full,
    /// The broker refused it without a reason. Publish it again later.
    Rejected,
}

impl PublishOutcome {
    /// Whether the message was delivered.
    pub fn is_confirmed(self) -> bool {
        self == Self::Confirmed
    }
}

/// Puts messages on the exchange.
#[async_trait]
pub trait Publisher: Send + Sync {
    /// Publishes all messages in order and waits, up to the deadline, for their confirms. Returns one outcome for each
    /// message, in the same order. A later message may be confirmed although an earlier one is not: a caller that needs
    /// the order publishes again from the first unconfirmed message.
    ///
    /// Dropping the future stops the wait: some of the messages may have been published.
    ///
    /// # Errors
    /// When no outcome is known: publish all of them again.
    async fn publish(&self, messages: Vec<Message>) -> Result<Vec<PublishOutcome>, BusError>;

    /// The `messaging.system` of OpenTelemetry spans.
    fn system(&self) -> &'static str {
        IN_PROCESS
    }
}

/// Takes messages from one queue, in competition with the queue's other consumers.
#[async_trait]
pub trait Consumer: Send {
    /// Waits for the next message; `None` when the bus has been closed. Also waits while this consumer has as many
    /// unsettled deliveries as its prefetch allows. Call it only when the message can be processed at once.
    ///
    /// Cancellation-safe: dropping the future loses no message.
    async fn next(&mut self) -> Result<Option<Delivery>, BusError>;
}

/// A message that cannot be processed, or was delivered too often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The published message.
    pub message: Arc<Message>,
    /// The queue it was delivered from, and is replayed to.
    pub queue: String,
    /// Why it is a dead letter.
    pub reason: DeadReason,
    /// How often it was delivered.
    pub deliveries: u32,
}

/// Which dead letters to replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replay {
    /// All with this message id.
    Id(String),
    /// All that exist now.
    All,
}

/// Dead letters: an operator lists, replays or purges them.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// The oldest dead letters, at most `limit`. Listing does not remove them.
    async fn list(&self, limit: usize) -> Result<Vec<DeadLetter>, BusError>;

    /// Returns dead letters to the queue they came from, oldest first, with their deliveries counted anew. Returns how
    /// many. Waits for a free slot up to the deadline for each.
    ///
    /// # Errors
    /// [`BusError::Full`] when the queue stays full; those replayed until then stay replayed, the others dead.
    async fn replay(&self, which: Replay) -> Result<usize, BusError>;

    /// Removes all with this message id for good, and returns how many.
    async fn purge(&self, id: &str) -> Result<usize, BusError>;
}

/// How many messages a queue holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Waiting for a consumer.
    pub ready: usize,
    /// Delivered and not settled.
    pub unsettled: usize,
    /// Dead letters.
    pub dead: usize,
}

/// The limits that every backend keeps. A count of 0 means 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many messages a queue holds before publishers have to wait.
    pub capacity: usize,
    /// How long a call to publish waits for free slots and confirms.
    pub publish_deadline: Duration,
    /// How often a message is delivered before it becomes a dead letter. (The `x-delivery-limit` of a quorum queue
    /// counts the deliveries after the first: one less.)
    pub max_deliveries: u32,
    /// How many unsettled deliveries a consumer may hold.
    pub prefetch: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { capacity: 10_000, publish_deadline: Duration::from_secs(5), max_deliveries: 20, prefetch: 64 }
    }
}

/// A running bus: creates publishers and consumers, and closes them together.
#[async_trait]
pub trait Bus: Send + Sync {
    /// The exchange and the queues that it declares.
    fn topology(&self) -> &Topology;

    /// A publisher, which any number of tasks may share.
    fn publisher(&self) -> Arc<dyn Publisher>;

    /// A new consumer on this queue.
    async fn consumer(&self, queue: &str) -> Result<Box<dyn Consumer>, BusError>;

    /// The dead letters of all queues.
    fn dead_letters(&self) -> Arc<dyn DeadLetters>;

    /// How many messages this queue holds.
    async fn depth(&self, queue: &str) -> Result<Depth, BusError>;

    /// The current health of the bus.
    fn health(&self) -> Health;

    /// Records publishes in these metrics from now on. Only the first call has an effect.
    fn measure(&self, metrics: PublishMetrics);

    /// Stops publishing and consuming: waiting publishers get [`BusError::Closed`], consumers `None`. Deliveries can
    /// still be settled. Closing again has no effect.
    async fn close(&self);
}
