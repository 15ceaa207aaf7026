//! Tests of publishing rows: results, envelopes and spans.
use std::time::Duration;

use opentelemetry::trace::{Status, TracerProvider as _};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;
use crate::testing::{Numbers, ScriptedPublisher, TRACE, unavailable};

#[tokio::test]
async fn optional_event_without_queue_counts_as_delivered() {
    use PublishOutcome::{Confirmed, Full, Rejected, Unroutable};
    let publisher = ScriptedPublisher::of([Ok(vec![Confirmed, Unroutable, Unroutable, Full])]);
    let outbox = Outbox::new(Numbers::default(), publisher.clone());
    let results = outbox.publish(&[1, 2, 3, 4, 5]).await.unwrap();
    // The last one has no outcome at all.
    assert_eq!(results, [Ok(()), Ok(()), Err(Unroutable), Err(Full), Err(Rejected)]);
    let given = publisher.given.lock().unwrap();
    let requirements: Vec<_> = given.iter().map(|message| message.requirement).collect();
    let (work, event) = (Requirement::Mandatory, Requirement::Optional);
    assert_eq!(requirements, [work, event, work, event, work]);
}

#[tokio::test]
async fn passes_on_the_causes_context_without_tracer() {
    let publisher = ScriptedPublisher::of([]);
    Outbox::new(Numbers::default(), publisher.clone()).publish(&[1]).await.unwrap();
    let given = publisher.given.lock().unwrap();
    assert_eq!(given[0].headers["traceparent"], TRACE);
    let event = CloudEvent::from_json(&given[0].body).unwrap();
    assert_eq!((event.id, event.extensions["traceparent"].as_str()), ("1".to_owned(), Some(TRACE)));
    assert_eq!(given[0].content_type, CloudEvent::CONTENT_TYPE);
}

#[tokio::test]
async fn publishes_nothing_if_a_row_makes_no_message() {
    let publisher = ScriptedPublisher::of([]);
    let error = Outbox::new(Numbers::default(), publisher.clone()).publish(&[1, 0]).await.unwrap_err();
    assert!(matches!(error, OutboxError::Envelope { .. }), "{error}");
    assert!(publisher.given.lock().unwrap().is_empty());
}

/// The publish spans of these rows.
async fn spans(
    age: Duration,
    rows: &[u32],
    answer: Result<Vec<PublishOutcome>, deed_bus::BusError>,
) -> (Vec<SpanData>, Vec<Message>) {
    let publisher = ScriptedPublisher::of([answer]);
    let spans = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(spans.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let tracing = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    let _ = Outbox::new(Numbers { age, ..Numbers::default() }, publisher.clone()).publish(rows).await;
    drop(tracing);
    let given = publisher.given.lock().unwrap().clone();
    (spans.get_finished_spans().unwrap(), given)
}

fn attribute(span: &SpanData, key: &str) -> Option<String> {
    span.attributes.iter().find(|pair| pair.key.as_str() == key).map(|pair| pair.value.to_string())
}

#[tokio::test]
async fn message_carries_the_context_of_its_own_span() {
    let confirmed = || Ok(vec![PublishOutcome::Confirmed]);
    let (recent, given) = spans(Duration::from_secs(1), &[1], confirmed()).await;
    let own = &recent[0].span_context;
    assert_eq!(given[0].headers["traceparent"], format!("00-{}-{}-01", own.trace_id(), own.span_id()));
    assert_eq!(own.trace_id().to_string(), TRACE[3..35]);
    assert_eq!(attribute(&recent[0], "claim").as_deref(), Some("clm_1"));
    let (late, _) = spans(Duration::from_secs(61), &[1], confirmed()).await;
    assert_ne!(late[0].span_context.trace_id().to_string(), TRACE[3..35]);
    assert_eq!(late[0].links[0].span_context.trace_id().to_string(), TRACE[3..35]);
}

#[tokio::test]
async fn spans_of_undelivered_messages_end_as_errors() {
    let answer = Ok(vec![PublishOutcome::Confirmed, PublishOutcome::Full]);
    let (spans_of_both, _) = spans(Duration::ZERO, &[1, 3], answer).await;
    let kinds: Vec<_> = spans_of_both.iter().map(|span| attribute(span, "error.type")).collect();
    assert_eq!(kinds, [None, Some("full".to_owned())]);
    assert_eq!(spans_of_both[1].status, Status::error(""));
    let (failed, _) = spans(Duration::ZERO, &[1], Err(unavailable())).await;
    assert_eq!(attribute(&failed[0], "error.type").as_deref(), Some("unavailable"));
}
