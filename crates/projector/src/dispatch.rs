//! One round of dispatch: rows that are due become messages, and rows whose message did not arrive become due again.
use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Duration, Utc};
use deed_bus::{
    Bus, BusError, CloudEvent, CloudEventError, InvalidKey, Message, PublishOutcome, Publisher, Requirement,
    Topology,
};
use deed_store::{Clock, DueItem, DueWork, Unavailable};
use deed_trace::TraceContext;
use serde_json::{Value, json};
use tracing::Span;

use crate::dispatcher::{DispatcherConfig, DispatcherPorts};
use crate::metrics::DispatcherMetrics;
use crate::pace::Pace;

const KEY: &str = "verification.due";
const TYPE: &str = "deed.verification.due.v1";

/// Why a round came to nothing; the rows are due again, at once or when they become visible.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DispatchError {
    #[error(transparent)]
    Store(#[from] Unavailable),
    #[error("the bus did not take the work")]
    Bus(#[from] BusError),
    #[error("due work makes no message")]
    Envelope(#[from] CloudEventError),
    #[error("due work has no routing key")]
    Key(#[from] InvalidKey),
}

/// How a round ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Round {
    /// Nothing is due; when the next row will be, where there is one.
    Idle(Option<DateTime<Utc>>),
    /// Everything that was due is on the bus.
    Done,
    /// As much as one round takes is on the bus, and more may be due.
    More,
    /// As much is on the bus as may be in this time; how long until there may be more.
    Paced(std::time::Duration),
    /// The queue has enough to do already.
    Crowded,
    /// The bus did not take so many rows, which were given back.
    Refused(usize),
}

/// What a round works with.
pub(crate) struct Dispatch {
    pub due: Arc<dyn DueWork>,
    pub bus: Arc<dyn Bus>,
    pub publisher: Arc<dyn Publisher>,
    pub clock: Arc<dyn Clock>,
    /// Rows a round takes at most.
    pub limit: usize,
    /// Messages that may wait in the queue.
    pub window: usize,
    /// How fast rows become messages.
    pub pace: Pace,
    pub visibility: Duration,
    pub source: String,
    pub metrics: DispatcherMetrics,
}

impl Dispatch {
    pub(crate) fn new(
        ports: &DispatcherPorts,
        config: &DispatcherConfig,
        metrics: DispatcherMetrics,
    ) -> Self {
        Self {
            due: Arc::clone(&ports.due),
            bus: Arc::clone(&ports.bus),
            publisher: ports.bus.publisher(),
            clock: Arc::clone(&ports.clock),
            limit: config.limit.max(1),
            window: config.window.max(1),
            pace: Pace::new(config.rate),
            visibility: Duration::from_std(config.visibility).unwrap_or(Duration::days(1)),
            source: config.source.clone(),
            metrics,
        }
    }

    pub(crate) async fn round(&self) -> Result<Round, DispatchError> {
        let now = self.clock.now();
        match self.due.next_due_at().await? {
            Some(at) if at <= now => {}
            next => return Ok(Round::Idle(next)),
        }
        // While nobody works, rows would be asked for again and again: the queue must not fill up with repetitions.
        let waiting = self.bus.depth(Topology::VERIFICATION).await?.ready;
        let room = self.window.saturating_sub(waiting).min(self.limit);
        if room == 0 {
            return Ok(Round::Crowded);
        }
        let room = match self.pace.room(now) {
            Ok(allowed) => room.min(allowed),
            Err(wait) => return Ok(Round::Paced(wait)),
        };
        let items = self.due.claim_due(now, room, now + self.visibility).await?;
        self.pace.spend(items.len());
        let refused = self.publish(&items, now).await?;
        Ok(match refused {
            0 if items.is_empty() => Round::Idle(None),
            0 if items.len() < room => Round::Done,
            0 => Round::More,
            refused => Round::Refused(refused),
        })
    }

    /// Publishes all rows at once; how many did not arrive and were given back.
    async fn publish(&self, items: &[DueItem], now: DateTime<Utc>) -> Result<usize, DispatchError> {
        if items.is_empty() {
            return Ok(0);
        }
        // Each begins a trace: what was due has nothing to do with what else is. Its cause is in the claim's stream, where
        // the verifier finds it.
        let spans: Vec<Span> = items.iter().map(|_| deed_trace::publication(None)).collect();
        let messages = items.iter().zip(&spans).map(|(item, span)| self.message(item, now, span));
        let messages = messages.collect::<Result<Vec<_>, _>>()?;
        let published = self.publisher.publish(messages).await;
        judge(spans, published.as_deref().unwrap_or_default());
        let outcomes = match published {
            Ok(outcomes) => outcomes,
            Err(error) => {
                self.give_back(items).await?;
                return Err(error.into());
            }
        };
        let done = self.clock.now();
        let mut refused = vec![];
        for (index, item) in items.iter().enumerate() {
            if outcomes.get(index).copied().is_some_and(PublishOutcome::is_confirmed) {
                self.metrics.dispatched(item.kind).inc();
                self.metrics.lateness.observe((done - item.due_at).as_seconds_f64().max(0.0));
            } else {
                refused.push(item.clone());
            }
        }
        if !refused.is_empty() {
            self.give_back(&refused).await?;
        }
        Ok(refused.len())
    }

    async fn give_back(&self, items: &[DueItem]) -> Result<(), Unavailable> {
        self.metrics.given_back.inc_by(items.len() as u64);
        self.due.give_back(items).await
    }

    fn message(&self, item: &DueItem, now: DateTime<Utc>, span: &Span) -> Result<Message, DispatchError> {
        let (claim, kind, attempt) = (item.claim_id, item.kind.as_str(), item.attempt);
        let trace: BTreeMap<String, String> = TraceContext::of(span)
            .map(|trace| ("traceparent".to_owned(), trace.traceparent().to_owned()))
            .into_iter()
            .collect();
        let envelope = CloudEvent {
            // The same row is asked for again under another id, hence the time.
            id: format!("due_{claim}_{kind}_{attempt}_{}", now.timestamp_millis()),
            source: self.source.clone(),
            r#type: TYPE.to_owned(),
            subject: Some(item.stream.to_string()),
            time: Some(now),
            datacontenttype: Some(CloudEvent::JSON.to_owned()),
            dataschema: None,
            data: json!({"claimId": claim, "kind": kind, "attempt": attempt}),
            extensions: trace.iter().map(|(k, v)| (k.clone(), Value::String(v.clone()))).collect(),
        };
        let body = envelope.to_json()?;
        let message = Message {
            id: envelope.id,
            routing_key: KEY.parse()?,
            content_type: CloudEvent::CONTENT_TYPE.to_owned(),
            body: body.into(),
            headers: trace,
            delivery: Requirement::MustReachQueue,
        };
        if deed_trace::is_kept(span) {
            deed_trace::attribute(span, "claim", claim.to_string());
        }
        deed_trace::published(
            span,
            deed_trace::Message {
                system: self.publisher.system(),
                destination: Topology::EVENTS,
                id: &message.id,
                routing_key: message.routing_key.as_str(),
                bytes: message.body.len(),
            },
        );
        Ok(message)
    }
}

/// Ends the spans of a round: those of rows that did not arrive as failures.
fn judge(spans: Vec<Span>, outcomes: &[PublishOutcome]) {
    for (index, span) in spans.into_iter().enumerate() {
        if !outcomes.get(index).copied().is_some_and(PublishOutcome::is_confirmed) {
            deed_trace::failed(&span, if outcomes.is_empty() { "unavailable" } else { "refused" });
        }
    }
}

#[cfg(test)]
mod tests;
