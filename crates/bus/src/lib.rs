//! Messages between roles: publish, consume, settle. Payloads are bytes whose meaning only the callers know.
//!
//! - A message counts as published only when its outcome is [`PublishOutcome::Confirmed`].
//! - A [`Delivery`] is settled by value, so it is settled at most once; a dropped one is requeued.
//! - Delivery is at least once: consumers must tolerate duplicates.
//! - Every queue is bounded, every wait for a free slot has a deadline, and closing the bus ends every wait.
#![deny(missing_docs)]

#[cfg(feature = "conformance")]
pub mod conformance;
mod delivery;
mod error;
mod in_process;
mod message;
pub mod metrics;
mod port;
mod rabbitmq;
mod routing;
mod topology;

pub use delivery::{DeadReason, Delivery, Settle, Settlement};
pub use error::BusError;
pub use in_process::{InProcess, InProcessConfig};
pub use message::{Message, Requirement};
pub use port::{Bus, Consumer, DeadLetter, DeadLetters, Depth, Limits, PublishOutcome, Publisher, Replay};
pub use rabbitmq::{RabbitMq, RabbitMqConfig};
pub use routing::{Binding, InvalidKey, RoutingKey};
pub use topology::{QueueSpec, Topology};
