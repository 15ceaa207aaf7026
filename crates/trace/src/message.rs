//! Messages: the span of who sends one, and what the conventions for messaging want to know.
//!
//! <https://opentelemetry.io/docs/specs/semconv/messaging/>
use std::time::Duration;

use tracing::{Span, debug_span};

use crate::{TraceContext, attribute, follow, is_kept};

/// A message on its way.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// What carries it: `rabbitmq`, or `in_process`.
    pub system: &'static str,
    /// The exchange it is published to, or the queue it comes from.
    pub destination: &'static str,
    /// Its id.
    pub id: &'a str,
    /// Its routing key.
    pub routing_key: &'a str,
    /// The length of its body in bytes.
    pub bytes: usize,
}

/// Begins the span of one message's publication, which the message's reader goes on from; the cause comes with how long
/// ago it was. Without one the span begins a trace.
pub fn publication(cause: Option<(&TraceContext, Duration)>) -> Span {
    let span = debug_span!(parent: None, "message.publish", otel.kind = "producer");
    if let Some((cause, age)) = cause {
        follow(&span, cause, age);
    }
    span
}

/// Tells what the span of a publication is about.
pub fn published(span: &Span, message: Message<'_>) {
    tell(span, message, "publish", "send");
}

/// Tells by which message the work of a span was asked for.
pub fn processed(span: &Span, message: Message<'_>) {
    tell(span, message, "process", "process");
}

fn tell(span: &Span, message: Message<'_>, name: &'static str, kind: &'static str) {
    if !is_kept(span) {
        return;
    }
    attribute(span, "messaging.system", message.system);
    attribute(span, "messaging.operation.name", name);
    attribute(span, "messaging.operation.type", kind);
    attribute(span, "messaging.destination.name", message.destination);
    attribute(span, "messaging.message.id", message.id.to_owned());
    if message.system == "rabbitmq" {
        attribute(span, "messaging.rabbitmq.destination.routing_key", message.routing_key.to_owned());
    }
    attribute(span, "messaging.message.body.size", i64::try_from(message.bytes).unwrap_or(i64::MAX));
}
