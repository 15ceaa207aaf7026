//! The verifier's spans. The first check belongs to the trace of the request for it; every later check begins a trace
//! of its own, which links back.
use std::time::Duration;

use chrono::{DateTime, Utc};
use deed_bus::Delivery;
use deed_claims::Event;
use deed_messages::{TraceContext, VerificationTask, VerificationWork, queues};
use deed_store::RecordedEvent;
use tracing::{Span, field};

use crate::metadata::request_id;
use crate::outcome::{WorkError, WorkOutcome};

/// Begins the span of a piece of work. A message that is redelivered or late does not continue its trace.
pub(crate) fn begin(
    delivery: &Delivery,
    work: &VerificationWork,
    system: &'static str,
    now: DateTime<Utc>,
) -> Span {
    // At the highest level, so that every log line that passes a filter keeps the span's claim id.
    let span = tracing::error_span!(
        parent: None,
        "message.process",
        otel.kind = "consumer",
        request_id = request_id(work),
        claim = %work.claim_id,
        attempt = field::Empty
    );
    if let VerificationTask::Check { attempt } = work.task {
        span.record("attempt", attempt);
    }
    if let Some(cause) = &work.trace {
        let is_first = delivery.attempt() == 1 && !delivery.redelivered();
        let age = work.sent_at.map(|sent| (now - sent).to_std().unwrap_or_default());
        deed_trace::set_parent_or_link(&span, cause, age.filter(|_| is_first).unwrap_or(Duration::MAX));
    }
    let message = delivery.message();
    deed_trace::set_process_attributes(
        &span,
        deed_trace::MessageAttributes {
            system,
            destination: queues::VERIFICATION,
            id: &message.id,
            routing_key: message.routing_key.as_str(),
            bytes: message.body.len(),
        },
    );
    span
}

/// Links the current span to the trace of the claim's last event, which is the cause of the work.
pub(crate) fn link_to_cause(work: &VerificationWork, events: &[RecordedEvent]) {
    let cause = events.iter().rev().find_map(|recorded| match &recorded.event {
        Event::Ownership(event) if event.claim_id() == work.claim_id => {
            let metadata = &recorded.metadata;
            TraceContext::parse(metadata.traceparent.as_deref()?, metadata.tracestate.as_deref())
        }
        _ => None,
    });
    deed_trace::add_links(&Span::current(), &cause);
}

/// Records the outcome of a check on the current span. A missing record is not a failure of the span.
pub(crate) fn record_check(outcome: &'static str, class: &'static str, code: &'static str) {
    let span = Span::current();
    deed_trace::set_attribute(&span, "deed.check.outcome", outcome);
    deed_trace::set_attribute(&span, "deed.check.class", class);
    deed_trace::set_attribute(&span, "deed.check.code", code);
}

/// Records the outcome of the work on the current span.
pub(crate) fn record_outcome(outcome: WorkOutcome) {
    let span = Span::current();
    deed_trace::set_attribute(&span, "deed.work.result", outcome.as_str());
    if outcome == WorkOutcome::Internal {
        deed_trace::set_error(&span, outcome.as_str());
    }
}

/// Records on the current span why the work cannot be done now.
pub(crate) fn record_error(error: &WorkError) {
    let kind = match error {
        WorkError::Unavailable(_) => "unavailable",
        WorkError::Contended => "contended",
    };
    deed_trace::set_error(&Span::current(), kind);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use async_trait::async_trait;
    use deed_bus::{BusError, Message, Requirement, Settle, Settlement};
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::testing::work;

    const CAUSE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    struct NoBroker;

    #[async_trait]
    impl Settle for NoBroker {
        async fn settle(self: Box<Self>, _: Settlement) -> Result<(), BusError> {
            Ok(())
        }
    }

    /// The span of work on a message, by its age in seconds and its delivery.
    fn span(age: i64, attempt: u32, redelivered: bool) -> SpanData {
        let message = Message {
            id: "evt_5".to_owned(),
            routing_key: "verification.requested".parse().unwrap(),
            content_type: String::new(),
            body: [0; 7].into(),
            headers: BTreeMap::new(),
            requirement: Requirement::Mandatory,
        };
        let delivery = Delivery::new(message.into(), attempt, redelivered, Box::new(NoBroker));
        let now = DateTime::from_timestamp(1_000_000, 0).unwrap();
        let mut work = work(1, "acme.com", VerificationTask::Check { attempt: 3 });
        work.trace = TraceContext::parse(CAUSE, None);
        work.sent_at = Some(now - chrono::Duration::seconds(age));
        let spans = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(spans.clone()).build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            drop(begin(&delivery, &work, "rabbitmq", now));
        });
        spans.get_finished_spans().unwrap().remove(0)
    }

    #[test]
    fn first_delivery_continues_the_trace() {
        let span = span(3, 1, false);
        assert_eq!(span.parent_span_id.to_string(), CAUSE[36..52]);
        assert_eq!(span.links.len(), 0);
        let attribute = |key: &str| {
            span.attributes.iter().find(|pair| pair.key.as_str() == key).unwrap().value.to_string()
        };
        assert_eq!(
            (attribute("attempt"), attribute("messaging.message.id")),
            ("3".to_owned(), "evt_5".to_owned())
        );
        assert_eq!(attribute("messaging.rabbitmq.destination.routing_key"), "verification.requested");
    }

    #[test]
    fn redelivered_or_late_message_begins_linked_trace() {
        for (age, attempt, redelivered) in [(3, 2, false), (3, 1, true), (61, 1, false)] {
            let span = span(age, attempt, redelivered);
            assert_ne!(span.span_context.trace_id().to_string(), CAUSE[3..35]);
            assert_eq!(span.links[0].span_context.trace_id().to_string(), CAUSE[3..35]);
        }
    }
}
