//! Publishes the messages of a batch of rows, each in a span of its own.
use std::{error::Error, sync::Arc, time::Duration};

use deed_bus::{BusError, InvalidKey, Message, PublishOutcome, Publisher, Requirement};
use deed_messages::{CloudEvent, CloudEventError, TraceContext, queues};
use deed_store::Unavailable;
use tracing::Span;

/// The message of one row; the outbox adds the trace context.
#[derive(Debug)]
pub struct OutboxMessage {
    /// The envelope with the payload.
    pub event: CloudEvent,
    /// The routing key. A message that a queue of ours is bound to has to reach it.
    pub routing_key: &'static str,
    /// The claim that the span names.
    pub claim: Option<String>,
}

/// Makes the messages of rows.
pub trait RowMessages: Send + Sync {
    /// What a message is made of.
    type Row: Send + Sync;

    /// The trace that caused a row, and the row's age. A row without a cause begins a trace.
    fn cause(&self, row: &Self::Row) -> Option<(TraceContext, Duration)>;

    /// The message of a row.
    ///
    /// # Errors
    /// When none can be made of it.
    fn message(&self, row: &Self::Row) -> Result<OutboxMessage, OutboxError>;
}

/// Why rows were not published; they are tried again.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The payload of a row is unreadable.
    #[error("{row} cannot be put into a message")]
    Payload {
        /// The row.
        row: String,
        /// The fault of the payload.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A message violates the envelope's specification.
    #[error("{row} makes no CloudEvent")]
    Envelope {
        /// The message id.
        row: String,
        /// The fault.
        #[source]
        source: CloudEventError,
    },
    /// A message has no valid routing key.
    #[error("the routing key of {row} is not one")]
    Key {
        /// The message id.
        row: String,
        /// The fault.
        #[source]
        source: InvalidKey,
    },
    /// The bus failed, and nothing is known of the messages.
    #[error("the bus did not take the messages")]
    Bus(#[from] BusError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] Unavailable),
}

/// Whether a message was delivered, and if not, what became of it.
pub type RowResult = Result<(), PublishOutcome>;

/// Publishes rows as the messages that `M` makes of them.
pub struct Outbox<M> {
    /// Makes the messages.
    pub messages: M,
    publisher: Arc<dyn Publisher>,
}

impl<M: RowMessages> Outbox<M> {
    /// An outbox that publishes the messages of `M`.
    pub fn new(messages: M, publisher: Arc<dyn Publisher>) -> Self {
        Self { messages, publisher }
    }

    /// Publishes all rows in one call, in order. One result for each row.
    ///
    /// # Errors
    /// When nothing is known of the messages: all of them are to be published again.
    pub async fn publish(&self, rows: &[M::Row]) -> Result<Vec<RowResult>, OutboxError> {
        if rows.is_empty() {
            return Ok(vec![]);
        }
        let (mut messages, mut spans) = (vec![], vec![]);
        for row in rows {
            let cause = self.messages.cause(row);
            let span = deed_trace::publish_span(cause.as_ref().map(|(cause, age)| (cause, *age)));
            // When tracing is off, the context of the cause is passed on unchanged.
            let trace = deed_trace::context_of(&span).or(cause.map(|(cause, _)| cause));
            let mut message = self.messages.message(row)?;
            if let Some(claim) = message.claim.take() {
                deed_trace::set_attribute(&span, "claim", claim);
            }
            let message = to_bus_message(message, trace.as_ref())?;
            record_message(&span, &message, self.publisher.system());
            messages.push(message);
            spans.push(span);
        }
        let requirements: Vec<Requirement> = messages.iter().map(|message| message.requirement).collect();
        let published = self.publisher.publish(messages).await;
        let outcomes = published.as_deref().unwrap_or_default();
        let results = requirements.iter().enumerate().map(|(index, need)| result(*need, outcomes.get(index)));
        let results: Vec<RowResult> = results.collect();
        for (index, (span, result)) in spans.into_iter().zip(&results).enumerate() {
            if let Err(outcome) = result {
                deed_trace::set_error(
                    &span,
                    if index < outcomes.len() { error_kind(*outcome) } else { "unavailable" },
                );
            }
        }
        published?;
        Ok(results)
    }
}

/// An event that no queue is bound to counts as delivered. A message without an outcome does not.
fn result(requirement: Requirement, outcome: Option<&PublishOutcome>) -> RowResult {
    match outcome {
        Some(PublishOutcome::Confirmed) => Ok(()),
        Some(PublishOutcome::Unroutable) if requirement == Requirement::Optional => Ok(()),
        Some(outcome) => Err(*outcome),
        None => Err(PublishOutcome::Rejected),
    }
}

fn error_kind(outcome: PublishOutcome) -> &'static str {
    match outcome {
        PublishOutcome::Unroutable => "unroutable",
        PublishOutcome::Full => "full",
        PublishOutcome::Confirmed | PublishOutcome::Rejected => "rejected",
    }
}

fn to_bus_message(message: OutboxMessage, trace: Option<&TraceContext>) -> Result<Message, OutboxError> {
    let OutboxMessage { mut event, routing_key, .. } = message;
    event.set_trace(trace);
    let body = event.to_json().map_err(|source| OutboxError::Envelope { row: event.id.clone(), source })?;
    let headers = trace.into_iter().flat_map(TraceContext::headers);
    Ok(Message {
        routing_key: routing_key
            .parse()
            .map_err(|source| OutboxError::Key { row: event.id.clone(), source })?,
        id: event.id,
        content_type: CloudEvent::CONTENT_TYPE.to_owned(),
        body: body.into(),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        requirement: if queues::is_work(routing_key) {
            Requirement::Mandatory
        } else {
            Requirement::Optional
        },
    })
}

/// Records the message in its publish span.
fn record_message(span: &Span, message: &Message, system: &'static str) {
    let attributes = deed_trace::MessageAttributes {
        system,
        destination: queues::EXCHANGE,
        id: &message.id,
        routing_key: message.routing_key.as_str(),
        bytes: message.body.len(),
    };
    deed_trace::set_publish_attributes(span, attributes);
}

#[cfg(test)]
mod tests;
