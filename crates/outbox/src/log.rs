//! The outbox of events: a subscriber of the log whose checkpoint passes delivered events only.
use async_trait::async_trait;
use deed_bus::PublishOutcome;
use deed_store::{Batch, Position, Progress, RecordedEvent, Subscriber, SubscriberError};
use prometheus::IntCounter;

use crate::{Outbox, RowMessages};

/// Publishes every event of the log, in order. A crash repeats messages and never skips one.
pub struct LogOutbox<M> {
    /// The name of the lease and the checkpoint.
    pub name: &'static str,
    /// Makes and publishes the messages.
    pub outbox: Outbox<M>,
    /// Counts delivered events.
    pub delivered: IntCounter,
}

#[derive(Debug, thiserror::Error)]
#[error("the event at position {position} was not confirmed: {outcome:?}")]
struct NotConfirmed {
    position: Position,
    outcome: PublishOutcome,
}

#[async_trait]
impl<M: RowMessages<Row = RecordedEvent>> Subscriber for LogOutbox<M> {
    fn name(&self) -> &'static str {
        self.name
    }

    async fn consume(&mut self, batch: Batch<'_>) -> Result<Progress, SubscriberError> {
        let published = self.outbox.publish(batch.events).await;
        let results = published.map_err(|error| SubscriberError::Retry(Box::new(error)))?;
        let refused = batch.events.iter().zip(&results).enumerate();
        let first_refused = refused.into_iter().find_map(|(index, (event, result))| {
            result.err().map(|outcome| (index, NotConfirmed { position: event.position, outcome }))
        });
        let Some((delivered, refused)) = first_refused else {
            self.delivered.inc_by(batch.events.len() as u64);
            return Ok(Progress::Advance);
        };
        self.delivered.inc_by(delivered as u64);
        match delivered.checked_sub(1).and_then(|last| batch.events.get(last)) {
            Some(last) => Ok(Progress::AdvanceTo(last.position)),
            None => Err(SubscriberError::Retry(Box::new(refused))),
        }
    }
}
