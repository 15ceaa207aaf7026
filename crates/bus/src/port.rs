//! The traits every backend implements.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::metrics::{Health, PublishMetrics};
use crate::{BusError, DeadReason, Delivery, Message};

/// What traces call a bus within one process.
const IN_PROCESS: &str = "in_process";

/// What became of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishOutcome {
    /// Every queue it was routed to has it. Nothing else is success.
    Confirmed,
    /// It had to reach a queue, and none is bound to its key.
    Unroutable,
    /// A queue had no room until the deadline. Publish it again later.
    Full,
    /// The broker would not have it and did not say why. Publish it again later.
    Rejected,
}

impl PublishOutcome {
    /// Whether the message has arrived.
    pub fn is_confirmed(self) -> bool {
        self == Self::Confirmed
    }
}

/// Puts messages on the exchange.
#[async_trait]
pub trait Publisher: Send + Sync {
    /// Publishes all of them in order and waits, up to the deadline, for their confirms. There is one outcome for
    /// each message, in the same order. Later ones may have arrived although an earlier one did not: whoever needs
    /// the order publishes again from the first that is not confirmed.
    ///
    /// Dropping the future gives up waiting: a part of the messages may have been published.
    ///
    /// # Errors
    /// When nothing is known about any of them: publish all of them again.
    async fn publish(&self, messages: Vec<Message>) -> Result<Vec<PublishOutcome>, BusError>;

    /// What carries the messages, as traces call it.
    fn system(&self) -> &'static str {
        IN_PROCESS
    }
}

/// Takes messages from one queue, in competition with the queue's other consumers.
#[async_trait]
pub trait Consumer: Send {
    /// Waits for the next message; `None` when the bus has been closed. Waits as well while this consumer holds as
    /// many unsettled deliveries as its prefetch allows. Ask only when there is a hand free to work on the answer.
    ///
    /// Dropping the future loses no message.
    async fn next(&mut self) -> Result<Option<Delivery>, BusError>;
}

/// A message that was taken out of circulation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// What was published.
    pub message: Arc<Message>,
    /// The queue it was delivered from, and would be replayed to.
    pub queue: String,
    /// Why it is here.
    pub reason: DeadReason,
    /// How often it was delivered.
    pub deliveries: u32,
}

/// Which dead letters to replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replay {
    /// Those of the message with this id.
    Id(String),
    /// Those that are there now.
    All,
}

/// The messages nobody could do, for an operator to look at.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// The oldest ones, at most `limit`. They stay where they are.
    async fn list(&self, limit: usize) -> Result<Vec<DeadLetter>, BusError>;

    /// Puts them back to the queue they came from, with all deliveries before them, and says how many. Oldest
    /// first. Waits for room up to the deadline for each.
    ///
    /// # Errors
    /// [`BusError::Full`] when there is no room; those replayed until then stay replayed, the others dead.
    async fn replay(&self, which: Replay) -> Result<usize, BusError>;

    /// Removes those of the message with this id for good, and says how many.
    async fn purge(&self, id: &str) -> Result<usize, BusError>;
}

/// How many messages a queue holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Waiting for a consumer.
    pub ready: usize,
    /// In consumers' hands.
    pub unsettled: usize,
    /// Among the dead letters.
    pub dead: usize,
}

/// The bounds every backend keeps. A count of 0 means 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many messages a queue holds before publishers must wait.
    pub capacity: usize,
    /// How long a call to publish waits for room and confirms.
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

/// A running bus: hands out the parts, and ends them together.
#[async_trait]
pub trait Bus: Send + Sync {
    /// A publisher, for as many tasks as want it.
    fn publisher(&self) -> Arc<dyn Publisher>;

    /// A new consumer on this queue.
    async fn consumer(&self, queue: &str) -> Result<Box<dyn Consumer>, BusError>;

    /// The dead letters of all queues.
    fn dead_letters(&self) -> Arc<dyn DeadLetters>;

    /// How many messages this queue holds.
    async fn depth(&self, queue: &str) -> Result<Depth, BusError>;

    /// What is known of the broker now.
    fn health(&self) -> Health;

    /// Has publishing counted from now on; who was told first stays the one who is told.
    fn measure(&self, metrics: PublishMetrics);

    /// Stops publishing and consuming: waiting publishers get [`BusError::Closed`], consumers `None`. What is in hand
    /// can still be settled. Closing again does nothing.
    async fn close(&self);
}
