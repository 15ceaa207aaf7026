//! One delivered message, and the three ways to settle it: acknowledge, requeue, dead-letter.

use std::{fmt, sync::Arc};

use async_trait::async_trait;

use crate::{BusError, Message};

/// Why a message became a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeadReason {
    /// A consumer refused it, with this reason.
    Refused(String),
    /// It was requeued after its last permitted delivery.
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

/// How a delivery is settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// The message is removed from the queue.
    Acknowledge,
    /// The message returns to the queue, or becomes a dead letter when it has used up its deliveries.
    Requeue,
    /// The message becomes a dead letter, with this reason.
    DeadLetter(String),
}

/// Settles one delivered message in a backend. Dropped without being settled, it must requeue the message and count the
/// delivery, as a broker does when a channel closes.
#[async_trait]
pub trait Settle: Send {
    /// Settles the message.
    async fn settle(self: Box<Self>, settlement: Settlement) -> Result<(), BusError>;
}

/// A message to be processed. Settling consumes it; dropping it unsettled requeues it.
#[must_use = "a delivery that is dropped goes back to the queue"]
pub struct Delivery {
    message: Arc<Message>,
    attempt: u32,
    redelivered: bool,
    settle: Box<dyn Settle>,
}

impl Delivery {
    /// For backends. `attempt` counts from 1.
    pub fn new(message: Arc<Message>, attempt: u32, redelivered: bool, settle: Box<dyn Settle>) -> Self {
        Self { message, attempt, redelivered, settle }
    }

    /// The published message.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// The number of this delivery since the message was published or replayed, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Whether the message was delivered before, so that it may have been processed already.
    pub fn redelivered(&self) -> bool {
        self.redelivered
    }

    /// Removes the message from the queue: it is processed, and the result is stored.
    pub async fn acknowledge(self) -> Result<(), BusError> {
        self.settle.settle(Settlement::Acknowledge).await
    }

    /// Returns the message to the queue. This counts towards `max_deliveries`, so use it for faults, not for waiting.
    pub async fn requeue(self) -> Result<(), BusError> {
        self.settle.settle(Settlement::Requeue).await
    }

    /// Makes the message a dead letter: it cannot be processed.
    pub async fn dead_letter(self, reason: impl Into<String>) -> Result<(), BusError> {
        self.settle.settle(Settlement::DeadLetter(reason.into())).await
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
