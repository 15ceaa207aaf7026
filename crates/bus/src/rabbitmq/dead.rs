//! The dead letters: read without being lost, put back, or removed.
//!
//! A broker has no way of looking at a message without taking it, so they are taken and given back, which a quorum
//! queue does in their old order. While one caller looks, another one sees none of what the first one holds; should a
//! process die meanwhile, the broker gives back what it held.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use lapin::{
    Channel,
    options::{BasicAckOptions, BasicGetOptions, BasicNackOptions, QueueDeclareOptions},
    types::FieldTable,
};
use tokio::time::{sleep, timeout};

use super::{
    Shared,
    ledger::Tag,
    trouble::{Trouble, within},
    wire::{Death, Incoming, Outgoing, short},
};
use crate::{BusError, DeadLetter, DeadLetters, Message, PublishOutcome, Replay};

/// How long what was given back may take to be there again, and how often that is looked for.
const RETURN: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(5);

/// What becomes of a dead letter that was looked at.
enum Sentence {
    Stays,
    Goes,
}

/// What dead letters are gone through for.
enum Errand<'a> {
    Replay(&'a Replay),
    Purge(&'a str),
}

/// A channel on which dead letters of one queue are held.
struct Visit {
    channel: Channel,
    queue: String,
    /// How many there were when the visit began: what comes later is not looked at, nor is anything looked at twice.
    left: usize,
    staying: usize,
    last_staying: Option<Tag>,
    /// How many deliveries a message has.
    allowed: u32,
}

/// One dead letter, held.
struct Held {
    tag: Tag,
    message: Message,
    death: Death,
}

impl Visit {
    async fn begin(shared: &Shared, queue: &str) -> Result<Self, BusError> {
        let channel = shared.channel().await?;
        let allowed = shared.limits.max_deliveries;
        let mut visit =
            Self { channel, queue: queue.to_owned(), left: 0, staying: 0, last_staying: None, allowed };
        visit.left = visit.ready().await?;
        Ok(visit)
    }

    async fn ready(&self) -> Result<usize, BusError> {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::durable() };
        let declared = self.channel.queue_declare(short(&self.queue)?, passive, FieldTable::default());
        Ok(usize::try_from(within(declared).await?.message_count()).unwrap_or(usize::MAX))
    }

    /// The next one, oldest first.
    async fn next(&mut self) -> Result<Option<Held>, BusError> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        let got = within(self.channel.basic_get(short(&self.queue)?, BasicGetOptions::default())).await?;
        Ok(got.map(|got| {
            let lapin::message::Delivery { delivery_tag: tag, routing_key, properties, data, .. } =
                got.delivery;
            let message = Incoming::read(&properties, routing_key.as_str(), data).message;
            Held { tag, message, death: Death::read(&properties, self.allowed) }
        }))
    }

    async fn pass(&mut self, tag: Tag, sentence: Sentence) -> Result<(), BusError> {
        match sentence {
            Sentence::Stays => {
                self.staying += 1;
                self.last_staying = Some(tag);
            }
            Sentence::Goes => within(self.channel.basic_ack(tag, BasicAckOptions::default())).await?,
        }
        Ok(())
    }

    /// Gives back what stays, all at once: so it keeps its order. The broker does not say when that is done, so it is
    /// watched for a moment: whoever looks next is to find everything there.
    async fn end(self) -> Result<(), BusError> {
        if let Some(last) = self.last_staying {
            let expected = self.ready().await?.saturating_add(self.staying);
            within(self.channel.basic_nack(last, BasicNackOptions { multiple: true, requeue: true })).await?;
            let back = async {
                while self.ready().await? < expected {
                    sleep(LOOK).await;
                }
                Ok::<_, BusError>(())
            };
            // Somebody else may have taken some of them at once.
            if let Ok(looked) = timeout(RETURN, back).await {
                looked?;
            }
        }
        within(self.channel.close(200, "OK".into())).await
    }
}

impl Shared {
    /// Each queue of dead letters once, in order.
    fn dead_letter_queues(&self) -> Vec<&str> {
        let mut queues: Vec<&str> =
            self.topology.queues.values().map(|spec| spec.dead_letter_queue.as_str()).collect();
        queues.sort_unstable();
        queues.dedup();
        queues
    }

    /// Back to the queue it came from. The copy is confirmed before the dead letter goes: there may then be two, but
    /// never none.
    async fn revive(&self, held: &Held) -> Result<bool, BusError> {
        let queue = &held.death.queue;
        if !self.topology.queues.contains_key(queue) {
            tracing::warn!(id = ?held.message.id, ?queue, "a dead letter came from no queue of ours and stays");
            return Ok(false);
        }
        match self.put(Outgoing::straight(&held.message, queue)?).await? {
            PublishOutcome::Confirmed => Ok(true),
            PublishOutcome::Full | PublishOutcome::Rejected => Err(BusError::Full(queue.clone())),
            PublishOutcome::Unroutable => Err(Trouble::NotConnected.into()),
        }
    }

    async fn sentence(&self, errand: &Errand<'_>, held: &Held) -> Result<Sentence, BusError> {
        let goes = match errand {
            Errand::Purge(id) => held.message.id == *id,
            Errand::Replay(Replay::Id(id)) if held.message.id != *id => false,
            Errand::Replay(_) => self.revive(held).await?,
        };
        Ok(if goes { Sentence::Goes } else { Sentence::Stays })
    }

    /// Goes through all dead letters, and says how many are gone.
    async fn run(&self, errand: Errand<'_>) -> Result<usize, BusError> {
        let mut gone = 0;
        for queue in self.dead_letter_queues() {
            gone += self.sift(queue, &errand).await?;
        }
        Ok(gone)
    }

    async fn sift(&self, queue: &str, errand: &Errand<'_>) -> Result<usize, BusError> {
        let mut visit = Visit::begin(self, queue).await?;
        let mut gone = 0;
        let ended = loop {
            let held = match visit.next().await {
                Ok(Some(next)) => next,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            };
            match self.sentence(errand, &held).await {
                Ok(Sentence::Goes) => {
                    gone += 1;
                    visit.pass(held.tag, Sentence::Goes).await?;
                }
                Ok(Sentence::Stays) => visit.pass(held.tag, Sentence::Stays).await?,
                Err(error) => {
                    visit.pass(held.tag, Sentence::Stays).await?;
                    break Err(error);
                }
            }
        };
        visit.end().await?;
        ended.map(|()| gone)
    }
}

#[async_trait]
impl DeadLetters for Shared {
    async fn list(&self, limit: usize) -> Result<Vec<DeadLetter>, BusError> {
        let mut letters = Vec::new();
        for queue in self.dead_letter_queues() {
            let mut visit = Visit::begin(self, queue).await?;
            while letters.len() < limit
                && let Some(held) = visit.next().await?
            {
                visit.pass(held.tag, Sentence::Stays).await?;
                let Held { message, death, .. } = held;
                letters.push(DeadLetter {
                    message: Arc::new(message),
                    queue: death.queue,
                    reason: death.reason,
                    deliveries: death.deliveries,
                });
            }
            visit.end().await?;
        }
        Ok(letters)
    }

    async fn replay(&self, which: Replay) -> Result<usize, BusError> {
        self.unless_closed(self.run(Errand::Replay(&which))).await?
    }

    async fn purge(&self, id: &str) -> Result<usize, BusError> {
        self.run(Errand::Purge(id)).await
    }
}
