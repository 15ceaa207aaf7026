//! One message in a consumer's hand, and the three ways to settle it.

use std::{fmt, sync::Arc};

use async_trait::async_trait;

use crate::{BusError, Message};

/// Why a message became a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeadReason {
    /// The consumer gave up on it, and said why.
    Refused(String),
    /// It was delivered as often as allowed, and came back each time.
    DeliveryLimit,
}

impl fmt::Display for DeadReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(reason) => f.write_str(reason),
            Self::DeliveryLimit => f.write_str("delivered too often"),
        }
    }
}

/// What becomes of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It is done with, and gone from the queue.
    Done,
    /// It goes back to the queue, or to the dead letters when it has used up its deliveries.
    Requeue,
    /// It goes to the dead letters, with this reason.
    DeadLetter(String),
}

/// A backend's hold on one delivered message. Dropped without being settled, it must return the message to its
/// queue, counting the delivery, as a broker does when a channel dies.
#[async_trait]
pub trait Settle: Send {
    /// Tells the backend what becomes of the message.
    async fn settle(self: Box<Self>, settlement: Settlement) -> Result<(), BusError>;
}

/// A message to be worked on. Settling consumes it; dropping it unsettled requeues it.
#[must_use = "a delivery that is dropped goes back to the queue"]
pub struct Delivery {
    message: Arc<Message>,
    attempt: u32,
    redelivered: bool,
    hold: Box<dyn Settle>,
}

impl Delivery {
    /// For backends: what the queue handed out. `attempt` counts from 1.
    pub fn new(message: Arc<Message>, attempt: u32, redelivered: bool, hold: Box<dyn Settle>) -> Self {
        Self { message, attempt, redelivered, hold }
    }

    /// What was published.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// Which delivery of the message this is, from 1, since it was published or replayed.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Whether it has been handed out before, so that work on it may already have been done.
    pub fn redelivered(&self) -> bool {
        self.redelivered
    }

    /// The work is done and recorded.
    pub async fn done(self) -> Result<(), BusError> {
        self.hold.settle(Settlement::Done).await
    }

    /// Somebody shall try again. Each time counts towards the limit, so keep this for faults, not for waiting.
    pub async fn requeue(self) -> Result<(), BusError> {
        self.hold.settle(Settlement::Requeue).await
    }

    /// Nobody will ever manage this one.
    pub async fn dead_letter(self, reason: impl Into<String>) -> Result<(), BusError> {
        self.hold.settle(Settlement::DeadLetter(reason.into())).await
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("message", &self.message)
            .field("attempt", &self.attempt)
            .field("redelivered", &self.redelivered)
            .finish_non_exhaustive()
    }
}
