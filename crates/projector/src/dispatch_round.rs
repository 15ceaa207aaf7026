//! One round of dispatch: publishes the rows that are due, and gives back the rows whose message was not confirmed.
use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use deed_bus::{Bus, BusError, InvalidKey, Message, PublishOutcome, Publisher, Requirement};
use deed_claims::Clock;
use deed_messages::{CloudEvent, CloudEventError, TraceContext, VerificationTask, VerificationWork, queues};
use deed_store::{DueItem, DueWork, Unavailable};
use tracing::Span;

use crate::dispatch_loop::{DispatcherConfig, DispatcherPorts};
use crate::metrics::DispatcherMetrics;
use crate::token_bucket::TokenBucket;

/// Why a round failed. Its rows are due again: at once, or after the visibility time-out.
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
pub(crate) enum RoundOutcome {
    /// No row is due; when the next row falls due, if there is one.
    Idle(Option<DateTime<Utc>>),
    /// Every row that was due is published.
    Done,
    /// The limit of one round is published, and more rows may be due.
    More,
    /// The rate limit is used up; how long until the next message is allowed.
    RateLimited(std::time::Duration),
    /// The queue has as many messages as may wait in it.
    QueueFull,
    /// The bus refused this number of rows, which were given back.
    Refused(usize),
}

/// Publishes due work, one round at a time.
pub(crate) struct Dispatcher {
    pub due: Arc<dyn DueWork>,
    pub bus: Arc<dyn Bus>,
    pub publisher: Arc<dyn Publisher>,
    pub clock: Arc<dyn Clock>,
    /// The most rows of one round.
    pub limit: usize,
    /// The most messages that may wait in the queue.
    pub window: usize,
    /// The rate limit of messages.
    pub rate_limit: TokenBucket,
    pub visibility: Duration,
    pub source: String,
    pub metrics: DispatcherMetrics,
}

impl Dispatcher {
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
            rate_limit: TokenBucket::new(config.rate),
            visibility: Duration::from_std(config.visibility).unwrap_or(Duration::days(1)),
            source: config.source.clone(),
            metrics,
        }
    }

    pub(crate) async fn run_round(&self) -> Result<RoundOutcome, DispatchError> {
        let now = self.clock.now();
        match self.due.next_due_at().await? {
            Some(at) if at <= now => {}
            next => return Ok(RoundOutcome::Idle(next)),
        }
        // Without consumers, rows fall due again and again: the queue must not fill up with repetitions.
        let waiting = self.bus.depth(queues::VERIFICATION).await?.ready;
        let capacity = self.window.saturating_sub(waiting).min(self.limit);
        if capacity == 0 {
            return Ok(RoundOutcome::QueueFull);
        }
        let capacity = match self.rate_limit.available(now) {
            Ok(available) => capacity.min(available),
            Err(wait) => return Ok(RoundOutcome::RateLimited(wait)),
        };
        let items = self.due.claim_due(now, capacity, now + self.visibility).await?;
        self.rate_limit.consume(items.len());
        let refused = self.publish(&items, now).await?;
        Ok(match refused {
            0 if items.is_empty() => RoundOutcome::Idle(None),
            0 if items.len() < capacity => RoundOutcome::Done,
            0 => RoundOutcome::More,
            refused => RoundOutcome::Refused(refused),
        })
    }

    /// Publishes all rows in one call; returns how many were not confirmed and were given back.
    async fn publish(&self, items: &[DueItem], now: DateTime<Utc>) -> Result<usize, DispatchError> {
        if items.is_empty() {
            return Ok(0);
        }
        // Each row begins a trace, since the rows of a round are unrelated. The verifier finds the cause of a row in
        // the claim's stream and links to it.
        let spans: Vec<Span> = items.iter().map(|_| deed_trace::publish_span(None)).collect();
        let messages = items.iter().zip(&spans).map(|(item, span)| self.message(item, now, span));
        let messages = messages.collect::<Result<Vec<_>, _>>()?;
        let published = self.publisher.publish(messages).await;
        end_spans(spans, published.as_deref().unwrap_or_default());
        let outcomes = match published {
            Ok(outcomes) => outcomes,
            Err(error) => {
                self.give_back(items).await?;
                return Err(error.into());
            }
        };
        let published_at = self.clock.now();
        let mut refused = vec![];
        for (index, item) in items.iter().enumerate() {
            if outcomes.get(index).copied().is_some_and(PublishOutcome::is_confirmed) {
                self.metrics.dispatched(item.kind).inc();
                self.metrics.lateness.observe((published_at - item.due_at).as_seconds_f64().max(0.0));
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
        let trace = deed_trace::context_of(span);
        let headers = trace.iter().flat_map(TraceContext::headers);
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let task = VerificationTask::from_due(item.kind, item.attempt);
        let work = VerificationWork::due(item.stream.clone(), item.claim_id, task, now, trace);
        let envelope = work.to_due_event(&self.source);
        let body = envelope.to_json()?;
        let message = Message {
            id: envelope.id,
            routing_key: VerificationWork::DUE_KEY.parse()?,
            content_type: CloudEvent::CONTENT_TYPE.to_owned(),
            body: body.into(),
            headers,
            requirement: Requirement::Mandatory,
        };
        if deed_trace::is_recording(span) {
            deed_trace::set_attribute(span, "claim", item.claim_id.to_string());
        }
        deed_trace::set_publish_attributes(
            span,
            deed_trace::MessageAttributes {
                system: self.publisher.system(),
                destination: queues::EXCHANGE,
                id: &message.id,
                routing_key: message.routing_key.as_str(),
                bytes: message.body.len(),
            },
        );
        Ok(message)
    }
}

/// Ends the spans of a round; those of rows that were not confirmed end as failures.
fn end_spans(spans: Vec<Span>, outcomes: &[PublishOutcome]) {
    for (index, span) in spans.into_iter().enumerate() {
        if !outcomes.get(index).copied().is_some_and(PublishOutcome::is_confirmed) {
            deed_trace::set_error(&span, if outcomes.is_empty() { "unavailable" } else { "refused" });
        }
    }
}

#[cfg(test)]
mod tests;
