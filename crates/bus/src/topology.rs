//! The exchange and the queues that every backend declares.

use std::collections::BTreeMap;

use crate::{BindingPattern, RoutingKey};

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
    pub bindings: Vec<BindingPattern>,
    /// The queue of messages that were refused, or delivered too often.
    pub dead_letter_queue: String,
}

impl Topology {
    /// The exchange of all events.
    pub const EVENTS: &str = "deed.events";
    /// The queue of verification work.
    pub const VERIFICATION: &str = "deed.verification";
    /// The dead letters of the verification queue.
    pub const VERIFICATION_DEAD: &str = "deed.verification.dead";

    /// The topology of Deed.
    ///
    /// # Panics
    /// Never: the bindings are valid literals, which a test parses.
    #[expect(clippy::expect_used, reason = "the literals are parsed by a test")]
    pub fn deed() -> Self {
        let bindings = ["verification.requested", "verification.due"]
            .map(|key| key.parse().expect("a literal made of dotted words"));
        let work =
            QueueSpec { bindings: bindings.into(), dead_letter_queue: Self::VERIFICATION_DEAD.to_owned() };
        Self {
            exchange: Self::EVENTS.to_owned(),
            queues: BTreeMap::from([(Self::VERIFICATION.to_owned(), work)]),
        }
    }

    /// The names of the queues that a message with this key reaches, in order.
    pub fn route<'a>(&'a self, key: &'a RoutingKey) -> impl Iterator<Item = &'a str> {
        self.queues
            .iter()
            .filter(|(_, queue)| queue.bindings.iter().any(|binding| binding.matches(key)))
            .map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_only_work_to_the_verification_queue() {
        let topology = Topology::deed();
        let reached = |key: &str| topology.route(&key.parse().unwrap()).count();
        assert_eq!(reached("verification.requested"), 1);
        assert_eq!(reached("verification.due"), 1);
        assert_eq!(reached("verification.recorded"), 0);
        assert_eq!(reached("domain.verified"), 0);
    }
}
