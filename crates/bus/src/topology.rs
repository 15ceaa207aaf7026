//! The exchange and the queues that every backend declares.

use std::collections::BTreeMap;

use crate::{Binding, InvalidKey, RoutingKey};

/// One topic exchange and the queues bound to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// The exchange that everything is published to.
    pub exchange: String,
    /// The queues, by name.
    pub queues: BTreeMap<String, QueueSpec>,
}

/// How a queue is bound, and where its dead letters go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSpec {
    /// A message whose key matches any of these reaches the queue, once.
    pub bindings: Vec<Binding>,
    /// The queue of messages that were refused, or delivered too often.
    pub dead_letter_queue: String,
}

impl Topology {
    /// An exchange and its queues, each with the name of its dead-letter queue and the keys that it is bound to.
    ///
    /// # Errors
    /// When a key is no routing key.
    pub fn new<'a>(
        exchange: &str,
        queues: impl IntoIterator<Item = (&'a str, &'a str, &'a [&'a str])>,
    ) -> Result<Self, InvalidKey> {
        let queue = |(name, dead_letter_queue, keys): (&str, &str, &[&str])| {
            let bindings = keys.iter().map(|key| key.parse()).collect::<Result<_, _>>()?;
            Ok((name.to_owned(), QueueSpec { bindings, dead_letter_queue: dead_letter_queue.to_owned() }))
        };
        let queues = queues.into_iter().map(queue).collect::<Result<_, _>>()?;
        Ok(Self { exchange: exchange.to_owned(), queues })
    }

    /// The names of the queues that a message with this key reaches, in order.
    pub fn route<'a>(&'a self, key: &'a RoutingKey) -> impl Iterator<Item = &'a str> {
        self.queues
            .iter()
            .filter(|(_, queue)| queue.bindings.iter().any(|binding| binding.matches(key)))
            .map(|(name, _)| name.as_str())
    }
}
