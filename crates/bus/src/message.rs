//! What travels: opaque bytes with an id, a routing key and headers.

use std::{collections::BTreeMap, fmt, sync::Arc};

use crate::RoutingKey;

/// Whether a message that no queue takes is a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// Work: without a queue it would be lost, so it comes back as unroutable (`mandatory` in AMQP).
    MustReachQueue,
    /// News: it is confirmed even when nobody is bound to hear it.
    WhoeverListens,
}

/// One message. Cheap to clone but for its headers.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// The publisher's id for it (the `CloudEvents` id); the same again when it is published again. At most 255 bytes.
    pub id: String,
    /// Decides which queues it reaches.
    pub routing_key: RoutingKey,
    /// The media type of the body.
    pub content_type: String,
    /// The payload.
    pub body: Arc<[u8]>,
    /// What travels beside the payload, `traceparent` for one.
    pub headers: BTreeMap<String, String>,
    /// Whether it must reach a queue.
    pub delivery: Requirement,
}

/// Leaves the body and the header values out: they may hold what strangers wrote, and must not reach a log line.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("id", &self.id)
            .field("routing_key", &self.routing_key)
            .field("content_type", &self.content_type)
            .field("body_bytes", &self.body.len())
            .field("headers", &self.headers.keys())
            .field("delivery", &self.delivery)
            .finish()
    }
}
