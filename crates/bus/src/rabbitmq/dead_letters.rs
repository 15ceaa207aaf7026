//! The dead letters on RabbitMQ: listed without being lost, replayed, or purged.
//!
//! A broker cannot show a message without delivering it, so dead letters are fetched with `basic.get` and requeued; a
//! quorum queue returns them to their old order. While one scan holds dead letters, another scan does not see them. If
//! a process dies during a scan, the broker requeues what it held.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use lapin::{
    Channel,
    options::{BasicAckOptions, BasicGetOptions, BasicNackOptions, QueueDeclareOptions},
    types::FieldTable,
};
use tokio::time::{sleep, timeout};

use super::{
    RabbitMqInner,
    broker_error::{BrokerError, within_deadline},
    delivery_tracker::DeliveryTag,
    wire::{DeadLetterRecord, InboundMessage, OutboundMessage, short_string},
};
use crate::{BusError, DeadLetter, DeadLetters, Message, PublishOutcome, Replay};

/// How long requeued dead letters may take to be ready again, and how often that is polled.
const REQUEUE_TIMEOUT: Duration = Duration::from_secs(1);
const REQUEUE_POLL: Duration = Duration::from_millis(5);

/// Whether a scanned dead letter stays in its queue.
enum ScanDecision {
    Keep,
    Remove,
}

/// What a scan does.
enum ScanAction<'a> {
    Replay(&'a Replay),
    Purge(&'a str),
}

/// One pass over the dead letters of one queue, on a channel that holds them until the pass ends.
struct DeadLetterScan {
    channel: Channel,
    queue: String,
    /// How many dead letters are still to be fetched, of those that were ready at the start. So later ones are left
    /// out, and none is fetched twice.
    remaining: usize,
    kept: usize,
    last_kept: Option<DeliveryTag>,
    max_deliveries: u32,
}

/// One dead letter that a scan has fetched.
struct FetchedLetter {
    tag: DeliveryTag,
    message: Message,
    record: DeadLetterRecord,
}

impl DeadLetterScan {
    async fn begin(bus: &RabbitMqInner, queue: &str) -> Result<Self, BusError> {
        let channel = bus.channel().await?;
        let max_deliveries = bus.limits.max_deliveries;
        let mut scan =
            Self { channel, queue: queue.to_owned(), remaining: 0, kept: 0, last_kept: None, max_deliveries };
        scan.remaining = scan.ready().await?;
        Ok(scan)
    }

    async fn ready(&self) -> Result<usize, BusError> {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::durable() };
        let declared = self.channel.queue_declare(short_string(&self.queue)?, passive, FieldTable::default());
        Ok(usize::try_from(within_deadline(declared).await?.message_count()).unwrap_or(usize::MAX))
    }

    /// Fetches the next dead letter, oldest first.
    async fn next(&mut self) -> Result<Option<FetchedLetter>, BusError> {
        let Some(remaining) = self.remaining.checked_sub(1) else { return Ok(None) };
        self.remaining = remaining;
        let getting = self.channel.basic_get(short_string(&self.queue)?, BasicGetOptions::default());
        let got = within_deadline(getting).await?;
        Ok(got.map(|got| {
            let lapin::message::Delivery { delivery_tag: tag, routing_key, properties, data, .. } =
                got.delivery;
            let message = InboundMessage::read(&properties, routing_key.as_str(), data).message;
            FetchedLetter { tag, message, record: DeadLetterRecord::read(&properties, self.max_deliveries) }
        }))
    }

    async fn apply(&mut self, tag: DeliveryTag, decision: ScanDecision) -> Result<(), BusError> {
        match decision {
            ScanDecision::Keep => {
                self.kept += 1;
                self.last_kept = Some(tag);
            }
            ScanDecision::Remove => {
                within_deadline(self.channel.basic_ack(tag, BasicAckOptions::default())).await?;
            }
        }
        Ok(())
    }

    /// Requeues all kept letters at once, which preserves their order. The broker does not report when they are ready
    /// again, so that is polled for a moment: the next scan should find all of them.
    async fn end(self) -> Result<(), BusError> {
        if let Some(last) = self.last_kept {
            let expected = self.ready().await?.saturating_add(self.kept);
            let requeue = BasicNackOptions { multiple: true, requeue: true };
            within_deadline(self.channel.basic_nack(last, requeue)).await?;
            let requeued = async {
                while self.ready().await? < expected {
                    sleep(REQUEUE_POLL).await;
                }
                Ok::<_, BusError>(())
            };
            // A time-out is no failure: another scan may have fetched some of them at once.
            if let Ok(result) = timeout(REQUEUE_TIMEOUT, requeued).await {
                result?;
            }
        }
        within_deadline(self.channel.close(200, "OK".into())).await
    }
}

impl RabbitMqInner {
    /// Each dead-letter queue once, in order.
    fn dead_letter_queues(&self) -> Vec<&str> {
        let mut queues: Vec<&str> =
            self.topology.queues.values().map(|spec| spec.dead_letter_queue.as_str()).collect();
        queues.sort_unstable();
        queues.dedup();
        queues
    }

    /// Publishes a dead letter to the queue it came from. The copy is confirmed before the dead letter is removed: a
    /// crash may duplicate it, but never loses it.
    async fn replay_one(&self, letter: &FetchedLetter) -> Result<ScanDecision, BusError> {
        let queue = &letter.record.queue;
        if !self.topology.queues.contains_key(queue) {
            tracing::warn!(id = ?letter.message.id, ?queue, "a dead letter came from no queue of ours and stays");
            return Ok(ScanDecision::Keep);
        }
        match self.publish_to_queue(OutboundMessage::to_queue(&letter.message, queue)?).await? {
            PublishOutcome::Confirmed => Ok(ScanDecision::Remove),
            PublishOutcome::Full | PublishOutcome::Rejected => Err(BusError::Full(queue.clone())),
            PublishOutcome::Unroutable => Err(BrokerError::NotConnected.into()),
        }
    }

    async fn decide(
        &self,
        action: &ScanAction<'_>,
        letter: &FetchedLetter,
    ) -> Result<ScanDecision, BusError> {
        match action {
            ScanAction::Purge(id) if letter.message.id == *id => Ok(ScanDecision::Remove),
            ScanAction::Purge(_) => Ok(ScanDecision::Keep),
            ScanAction::Replay(Replay::Id(id)) if letter.message.id != *id => Ok(ScanDecision::Keep),
            ScanAction::Replay(_) => self.replay_one(letter).await,
        }
    }

    /// Scans all dead-letter queues, and returns how many letters were removed.
    async fn scan_all(&self, action: ScanAction<'_>) -> Result<usize, BusError> {
        let mut removed = 0;
        for queue in self.dead_letter_queues() {
            removed += self.scan(queue, &action).await?;
        }
        Ok(removed)
    }

    async fn scan(&self, queue: &str, action: &ScanAction<'_>) -> Result<usize, BusError> {
        let mut scan = DeadLetterScan::begin(self, queue).await?;
        let mut removed = 0;
        let ended = loop {
            let letter = match scan.next().await {
                Ok(Some(letter)) => letter,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            };
            match self.decide(action, &letter).await {
                Ok(ScanDecision::Remove) => {
                    removed += 1;
                    scan.apply(letter.tag, ScanDecision::Remove).await?;
                }
                Ok(ScanDecision::Keep) => scan.apply(letter.tag, ScanDecision::Keep).await?,
                Err(error) => {
                    scan.apply(letter.tag, ScanDecision::Keep).await?;
                    break Err(error);
                }
            }
        };
        scan.end().await?;
        ended.map(|()| removed)
    }
}

#[async_trait]
impl DeadLetters for RabbitMqInner {
    async fn list(&self, limit: usize) -> Result<Vec<DeadLetter>, BusError> {
        let mut letters = Vec::new();
        for queue in self.dead_letter_queues() {
            let mut scan = DeadLetterScan::begin(self, queue).await?;
            while letters.len() < limit
                && let Some(letter) = scan.next().await?
            {
                scan.apply(letter.tag, ScanDecision::Keep).await?;
                let FetchedLetter { message, record, .. } = letter;
                letters.push(DeadLetter {
                    message: Arc::new(message),
                    queue: record.queue,
                    reason: record.reason,
                    deliveries: record.deliveries,
                });
            }
            scan.end().await?;
        }
        Ok(letters)
    }

    async fn replay(&self, which: Replay) -> Result<usize, BusError> {
        self.unless_closed(self.scan_all(ScanAction::Replay(&which))).await?
    }

    async fn purge(&self, id: &str) -> Result<usize, BusError> {
        self.scan_all(ScanAction::Purge(id)).await
    }
}
