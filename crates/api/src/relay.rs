//! The relay: publishes every event of the log to the bus, in order.
//!
//! The log is the outbox. The checkpoint moves only past events whose messages were confirmed, so a crash repeats
//! messages and never skips one.
use std::{collections::BTreeMap, sync::Arc, time::Duration};

use deed_bus::Publisher;
use deed_claims::Clock;
use deed_messages::{CloudEvent, TraceContext};
use deed_outbox::{LogOutbox, Outbox, OutboxError, OutboxMessage, RowMessages};
use deed_store::{
    Checkpoints, EventStore, RecordedEvent, SubscriptionConfig, SubscriptionError, SubscriptionMetrics,
    run_subscription,
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

/// The messages of events: `CloudEvents` from this source.
struct EventMessages {
    source: String,
    clock: Arc<dyn Clock>,
}

impl RowMessages for EventMessages {
    type Row = RecordedEvent;

    /// The trace that is stored with the event, and the event's age.
    fn cause(&self, recorded: &RecordedEvent) -> Option<(TraceContext, Duration)> {
        let metadata = &recorded.metadata;
        let trace = TraceContext::parse(metadata.traceparent.as_deref()?, metadata.tracestate.as_deref())?;
        Some((trace, (self.clock.now() - recorded.recorded_at).to_std().unwrap_or_default()))
    }

    fn message(&self, recorded: &RecordedEvent) -> Result<OutboxMessage, OutboxError> {
        let position = recorded.position.0;
        let key = recorded.event.routing_key();
        // The stored payload, unparsed: a newer version may have written fields that this one does not know.
        let data = serde_json::from_str(&recorded.payload).map_err(|error| OutboxError::Payload {
            row: format!("the event at position {position}"),
            source: Box::new(error),
        })?;
        let event = CloudEvent {
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
        Ok(OutboxMessage { event, routing_key: key, claim: None })
    }
}

/// Publishes events as `CloudEvents`.
pub struct Relay {
    outbox: LogOutbox<EventMessages>,
    metrics: RelayMetrics,
}

impl Relay {
    /// A relay that publishes as `source`, a URI reference. The clock measures the age of events.
    pub fn new(
        publisher: Arc<dyn Publisher>,
        source: String,
        clock: Arc<dyn Clock>,
        metrics: RelayMetrics,
    ) -> Self {
        let outbox = Outbox::new(EventMessages { source, clock }, publisher);
        Self { outbox: LogOutbox { name: RELAY, outbox, delivered: metrics.0.events.clone() }, metrics }
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
    relay: Relay,
    config: &SubscriptionConfig,
    stop: CancellationToken,
) -> Result<(), SubscriptionError> {
    let Relay { mut outbox, metrics: RelayMetrics(metrics) } = relay;
    let (leases, time) = (Arc::clone(&checkpoints), Arc::clone(&clock));
    tokio::select! {
        ended = run_subscription(store, checkpoints, clock, &mut outbox, config, &metrics.lease, stop) => ended,
        never = metrics.watch(&*leases, &*time, RELAY) => match never {},
    }
}

#[cfg(test)]
mod tests;
