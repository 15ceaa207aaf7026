//! Spans and attributes of messages, by the OpenTelemetry semantic conventions for messaging.
//!
//! <https://opentelemetry.io/docs/specs/semconv/messaging/>
use std::time::Duration;

use deed_messages::TraceContext;
use tracing::{Span, debug_span};

use crate::{is_recording, set_attribute, set_parent_or_link};

/// What the attributes of a span say about a message.
#[derive(Debug, Clone, Copy)]
pub struct MessageAttributes<'a> {
    /// The messaging system: `rabbitmq`, or `in_process`.
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

/// Begins the producer span of one message; the consumer's span becomes its child. The cause comes with its age.
/// Without a cause, the span begins a trace.
pub fn publish_span(cause: Option<(&TraceContext, Duration)>) -> Span {
    let span = debug_span!(parent: None, "message.publish", otel.kind = "producer");
    if let Some((cause, age)) = cause {
        set_parent_or_link(&span, cause, age);
    }
    span
}

/// Sets the attributes of a span that publishes a message.
pub fn set_publish_attributes(span: &Span, message: MessageAttributes<'_>) {
    set_attributes(span, message, "publish", "send");
}

/// Sets the attributes of a span that processes a message.
pub fn set_process_attributes(span: &Span, message: MessageAttributes<'_>) {
    set_attributes(span, message, "process", "process");
}

fn set_attributes(span: &Span, message: MessageAttributes<'_>, name: &'static str, kind: &'static str) {
    if !is_recording(span) {
        return;
    }
    set_attribute(span, "messaging.system", message.system);
    set_attribute(span, "messaging.operation.name", name);
    set_attribute(span, "messaging.operation.type", kind);
    set_attribute(span, "messaging.destination.name", message.destination);
    set_attribute(span, "messaging.message.id", message.id.to_owned());
    if message.system == "rabbitmq" {
        set_attribute(span, "messaging.rabbitmq.destination.routing_key", message.routing_key.to_owned());
    }
    set_attribute(span, "messaging.message.body.size", i64::try_from(message.bytes).unwrap_or(i64::MAX));
}
