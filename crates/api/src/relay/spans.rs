//! Spans of the relay: each message carries the trace context of its own publish span.
use std::time::Duration;

use deed_bus::{Message, PublishOutcome, Requirement};
use deed_claims::Clock;
use deed_messages::{TraceContext, queues};
use deed_store::RecordedEvent;
use tracing::Span;

use super::is_delivered;

/// The trace context that is stored with an event.
pub(super) fn context(recorded: &RecordedEvent) -> Option<TraceContext> {
    let metadata = &recorded.metadata;
    TraceContext::parse(metadata.traceparent.as_deref()?, metadata.tracestate.as_deref())
}

/// Begins the publish span of one event: a child in the event's trace when it is published at once.
pub(super) fn begin(recorded: &RecordedEvent, clock: &dyn Clock) -> Span {
    let age: Duration = (clock.now() - recorded.recorded_at).to_std().unwrap_or_default();
    deed_trace::publish_span(context(recorded).as_ref().map(|cause| (cause, age)))
}

/// Records the message in its publish span.
pub(super) fn record_message(span: &Span, message: &Message, system: &'static str) {
    deed_trace::set_publish_attributes(
        span,
        deed_trace::MessageAttributes {
            system,
            destination: queues::EXCHANGE,
            id: &message.id,
            routing_key: message.routing_key.as_str(),
            bytes: message.body.len(),
        },
    );
}

/// Marks the spans of messages that were not delivered as failed.
pub(super) fn record_failures(spans: &[Span], needs: &[Requirement], outcomes: &[PublishOutcome]) {
    for (index, span) in spans.iter().enumerate() {
        let kind = match (needs.get(index), outcomes.get(index)) {
            (Some(need), Some(got)) if is_delivered(*need, *got) => continue,
            (_, Some(PublishOutcome::Unroutable)) => "unroutable",
            (_, Some(PublishOutcome::Full)) => "full",
            (_, Some(_)) => "rejected",
            (_, None) => "unavailable",
        };
        deed_trace::set_error(span, kind);
    }
}
