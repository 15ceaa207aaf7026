//! A message: an opaque body with an id, a routing key and headers.

use std::{collections::BTreeMap, fmt, sync::Arc};

use crate::RoutingKey;

/// Whether a message has to reach a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// Work: a message that no queue is bound to is returned as unroutable (`mandatory` in AMQP 0-9-1).
    Mandatory,
    /// An event: one that no queue is bound to counts as delivered.
    Optional,
}

/// One message. Clones share the body.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// The publisher's id (the `CloudEvents` id), which stays the same when it is published again. At most 255 bytes.
    pub id: String,
    /// Decides which queues it reaches.
    pub routing_key: RoutingKey,
    /// The media type of the body.
    pub content_type: String,
    /// The payload.
    pub body: Arc<[u8]>,
    /// Headers beside the payload, such as `traceparent`.
    pub headers: BTreeMap<String, String>,
    /// Whether it has to reach a queue.
    pub requirement: Requirement,
}

/// Leaves out the body and the header values: they may hold foreign text, which must not reach a log line.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("id", &self.id)
            .field("routing_key", &self.routing_key)
            .field("content_type", &self.content_type)
            .field("body_bytes", &self.body.len())
            .field("headers", &self.headers.keys())
            .field("requirement", &self.requirement)
            .finish()
    }
}
