//! The relay: publishes every event of the log to the bus, in order.
//!
//! The log is the outbox. The checkpoint moves only past events whose messages were confirmed, so a crash repeats
//! messages and never skips one.
mod spans;

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use deed_bus::{Message, PublishOutcome, Publisher, Requirement};
use deed_claims::Clock;
use deed_messages::{CloudEvent, CloudEventError, TraceContext, queues};
use deed_store::{
    Batch, Checkpoints, EventStore, Progress, RecordedEvent, Subscriber, SubscriberError, SubscriptionConfig,
    SubscriptionError, SubscriptionMetrics, SystemClock, run_subscription,
};
use prometheus::Registry;
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// The name of the relay's lease and checkpoint.
pub const RELAY: &str = "relay";

/// The metrics of the relay.
#[derive(Debug, Clone)]
pub struct RelayMetrics(SubscriptionMetrics);

impl RelayMetrics {
    /// Registers the relay's metrics.
    ///
    /// # Errors
    /// When the registry has them already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        SubscriptionMetrics::register(registry, RELAY).map(Self)
    }
}

/// Why an event was not published; the relay retries.
#[derive(Debug, thiserror::Error)]
enum RelayError {
    #[error("the event at position {position} cannot be put into a message")]
    Unreadable {
        position: u64,
        #[source]
        source: serde_json::Error,
    },
    #[error("the event at position {position} makes no CloudEvent")]
    Envelope {
        position: u64,
        #[source]
        source: CloudEventError,
    },
    #[error("the routing key of the event at position {position} is not one")]
    Key {
        position: u64,
        #[source]
        source: deed_bus::InvalidKey,
    },
    #[error("the event at position {position} was not confirmed: {outcome:?}")]
    NotConfirmed { position: u64, outcome: PublishOutcome },
}

impl From<RelayError> for SubscriberError {
    fn from(error: RelayError) -> Self {
        Self::Retry(Box::new(error))
    }
}

/// Publishes events as CloudEvents.
pub struct Relay {
    publisher: Arc<dyn Publisher>,
    source: String,
    metrics: RelayMetrics,
    /// Measures the age of an event; `run_relay` sets it to its own clock.
    clock: Arc<dyn Clock>,
}

impl Relay {
    /// A relay that publishes as `source`, a URI reference.
    pub fn new(publisher: Arc<dyn Publisher>, source: String, metrics: RelayMetrics) -> Self {
        Self { publisher, source, metrics, clock: Arc::new(SystemClock) }
    }

    fn message(&self, recorded: &RecordedEvent, trace: Option<&TraceContext>) -> Result<Message, RelayError> {
        let position = recorded.position.0;
        let event = &recorded.event;
        let key = event.routing_key();
        // The stored payload, unparsed: a newer version may have written fields that this one does not know.
        let data = serde_json::from_str(&recorded.payload)
            .map_err(|source| RelayError::Unreadable { position, source })?;
        let mut envelope = CloudEvent {
            id: format!("evt_{position}"),
            source: self.source.clone(),
            r#type: format!("deed.{key}.v{}", recorded.schema),
            subject: Some(recorded.stream.to_string()),
            time: Some(recorded.recorded_at),
            datacontenttype: Some(CloudEvent::JSON.to_owned()),
            dataschema: None,
            data,
            extensions: BTreeMap::from([
                ("position".to_owned(), json!(position.to_string())),
                ("streamversion".to_owned(), json!(recorded.version.to_string())),
            ]),
        };
        envelope.set_trace(trace);
        let body = envelope.to_json().map_err(|source| RelayError::Envelope { position, source })?;
        Ok(Message {
            id: envelope.id,
            routing_key: key.parse().map_err(|source| RelayError::Key { position, source })?,
            content_type: CloudEvent::CONTENT_TYPE.to_owned(),
            body: body.into(),
            headers: headers(trace),
            requirement: if queues::is_work(key) { Requirement::Mandatory } else { Requirement::Optional },
        })
    }
}

fn headers(trace: Option<&TraceContext>) -> BTreeMap<String, String> {
    let headers = trace.into_iter().flat_map(TraceContext::headers);
    headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Whether the checkpoint may pass a message. An event that no queue is bound to counts as delivered.
fn is_delivered(requirement: Requirement, outcome: PublishOutcome) -> bool {
    match outcome {
        PublishOutcome::Confirmed => true,
        PublishOutcome::Unroutable => requirement == Requirement::Optional,
        PublishOutcome::Full | PublishOutcome::Rejected => false,
    }
}

#[async_trait]
impl Subscriber for Relay {
    fn name(&self) -> &'static str {
        RELAY
    }

    async fn consume(&mut self, batch: Batch<'_>) -> Result<Progress, SubscriberError> {
        let (mut messages, mut traced) = (vec![], vec![]);
        for event in batch.events {
            let span = spans::begin(event, &*self.clock);
            // When tracing is off, the context of the event is passed on unchanged.
            let trace = deed_trace::context_of(&span).or_else(|| spans::context(event));
            let message = self.message(event, trace.as_ref())?;
            spans::record_message(&span, &message, self.publisher.system());
            messages.push(message);
            traced.push(span);
        }
        let requirements: Vec<Requirement> = messages.iter().map(|message| message.requirement).collect();
        let published = self.publisher.publish(messages).await;
        spans::record_failures(&traced, &requirements, published.as_deref().unwrap_or_default());
        // The spans end here: the rest is not part of publishing.
        drop(traced);
        let outcomes = published.map_err(|error| SubscriberError::Retry(Box::new(error)))?;
        let prefix =
            requirements.iter().zip(&outcomes).take_while(|(need, got)| is_delivered(**need, **got)).count();
        self.metrics.0.events.inc_by(prefix as u64);
        if prefix == batch.events.len() {
            return Ok(Progress::Advance);
        }
        if let Some(last) = prefix.checked_sub(1).and_then(|last| batch.events.get(last)) {
            return Ok(Progress::AdvanceTo(last.position));
        }
        let position = batch.events.first().map_or(batch.to.0, |event| event.position.0);
        let outcome = outcomes.first().copied().unwrap_or(PublishOutcome::Rejected);
        Err(RelayError::NotConfirmed { position, outcome }.into())
    }
}

/// Runs the relay until `stop`: active while it has the lease, otherwise as a standby.
///
/// # Errors
/// An error that ends the subscription.
pub async fn run_relay(
    store: Arc<dyn EventStore>,
    checkpoints: Arc<dyn Checkpoints>,
    clock: Arc<dyn Clock>,
    mut relay: Relay,
    config: &SubscriptionConfig,
    stop: CancellationToken,
) -> Result<(), SubscriptionError> {
    relay.clock = Arc::clone(&clock);
    let RelayMetrics(metrics) = relay.metrics.clone();
    let (leases, time) = (Arc::clone(&checkpoints), Arc::clone(&clock));
    tokio::select! {
        ended = run_subscription(store, checkpoints, clock, &mut relay, config, &metrics.lease, stop) => ended,
        never = metrics.watch(&*leases, &*time, RELAY) => match never {},
    }
}

#[cfg(test)]
mod tests;
