//! The embedded backend: queues in this process, gone with it. What is lost so is asked for again by due work.

mod queue;

use std::{collections::BTreeMap, iter::once, sync::Arc};

use async_trait::async_trait;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use self::queue::{Entry, Queue, Revived};
use crate::metrics::{Destination, Health, PublishMetrics, Publishing, Told};
use crate::{
    Bus, BusError, Consumer, DeadLetter, DeadLetters, DeadReason, Delivery, Depth, Limits, Message,
    PublishOutcome, Publisher, Replay, Requirement, Settle, Settlement, Topology,
};

/// What [`InProcess`] is configured with: nothing but the limits every backend keeps. A queue's `capacity` covers
/// ready and unsettled messages, so that what comes back always fits. As many dead letters are kept beside them; each
/// one beyond takes up room in the queue it came from, until it is replayed or purged. None is ever thrown away.
pub type InProcessConfig = Limits;

/// The bus within one process. Clones are the same bus.
#[derive(Clone)]
pub struct InProcess {
    shared: Arc<Shared>,
}

struct Shared {
    topology: Topology,
    queues: BTreeMap<String, Arc<Queue>>,
    limits: Limits,
    closed: CancellationToken,
    told: Arc<Told>,
    /// Every consumer has one as well.
    consumers: Arc<()>,
}

impl InProcess {
    /// A bus with the queues of this topology, all empty.
    pub fn new(topology: Topology, config: InProcessConfig) -> Self {
        let told = Arc::<Told>::default();
        let queue = |name: &String| {
            let queue = Queue::new(name.clone(), config.capacity, config.max_deliveries, Arc::clone(&told));
            (name.clone(), Arc::new(queue))
        };
        let queues = topology.queues.keys().map(queue).collect();
        let shared = Shared {
            topology,
            queues,
            limits: config,
            closed: CancellationToken::new(),
            told,
            consumers: Arc::default(),
        };
        Self { shared: Arc::new(shared) }
    }
}

#[async_trait]
impl Bus for InProcess {
    fn publisher(&self) -> Arc<dyn Publisher> {
        Arc::clone(&self.shared) as _
    }

    async fn consumer(&self, queue: &str) -> Result<Box<dyn Consumer>, BusError> {
        let prefetch = self.shared.limits.prefetch.clamp(1, Semaphore::MAX_PERMITS);
        Ok(Box::new(QueueConsumer {
            queue: Arc::clone(self.shared.queue(queue)?),
            hands: Arc::new(Semaphore::new(prefetch)),
            closed: self.shared.closed.clone(),
            _counted: Arc::clone(&self.shared.consumers),
        }))
    }

    fn dead_letters(&self) -> Arc<dyn DeadLetters> {
        Arc::clone(&self.shared) as _
    }

    async fn depth(&self, queue: &str) -> Result<Depth, BusError> {
        Ok(self.shared.queue(queue)?.depth())
    }

    fn health(&self) -> Health {
        let consumers = Arc::strong_count(&self.shared.consumers) - 1;
        Health { connected: true, consumers, ..Health::default() }
    }

    fn measure(&self, metrics: PublishMetrics) {
        let _ = self.shared.told.set(metrics);
    }

    async fn close(&self) {
        self.shared.closed.cancel();
    }
}

impl Shared {
    fn queue(&self, name: &str) -> Result<&Arc<Queue>, BusError> {
        self.queues.get(name).ok_or_else(|| BusError::UnknownQueue(name.to_owned()))
    }

    async fn unless_closed<T>(&self, work: impl Future<Output = T>) -> Result<T, BusError> {
        self.closed.run_until_cancelled(work).await.ok_or(BusError::Closed)
    }

    /// Takes a place in every queue first, so that the message reaches all of them or none. All publishers ask the
    /// queues in the order of their names, so none waits for another in a circle.
    async fn publish_one(&self, message: Message, started: Instant) -> PublishOutcome {
        let mut placed = Vec::new();
        for queue in self.topology.route(&message.routing_key).filter_map(|name| self.queues.get(name)) {
            let time_left = self.limits.publish_deadline.saturating_sub(started.elapsed());
            match timeout(time_left, queue.place()).await {
                Ok(place) => placed.push((queue, place)),
                Err(_) => return PublishOutcome::Full,
            }
        }
        if placed.is_empty() && message.delivery == Requirement::MustReachQueue {
            return PublishOutcome::Unroutable;
        }
        let message = Arc::new(message);
        for (queue, place) in placed {
            queue.push(Arc::clone(&message), place);
        }
        PublishOutcome::Confirmed
    }

    async fn revive(&self, queue: &Queue, number: u64) -> Result<bool, BusError> {
        let revived = match queue.revive(number, None) {
            Revived::NeedsPlace => {
                let place = timeout(self.limits.publish_deadline, queue.place()).await;
                let place = place.map_err(|_| BusError::Full(queue.name.clone()))?;
                queue.revive(number, Some(place))
            }
            settled => settled,
        };
        let revived = matches!(revived, Revived::Ready);
        if revived {
            Publishing::begin(&self.told, once(Destination::Work))
                .end(Ok(vec![PublishOutcome::Confirmed]))?;
        }
        Ok(revived)
    }
}

#[async_trait]
impl Publisher for Shared {
    async fn publish(&self, messages: Vec<Message>) -> Result<Vec<PublishOutcome>, BusError> {
        let started = Instant::now();
        let to = messages.iter().map(|message| Destination::of(&self.topology, &message.routing_key));
        let publishing = Publishing::begin(&self.told, to);
        let answer = self.unless_closed(async {
            let mut outcomes = Vec::with_capacity(messages.len());
            for message in messages {
                outcomes.push(self.publish_one(message, started).await);
            }
            outcomes
        });
        publishing.end(answer.await)
    }
}

#[async_trait]
impl DeadLetters for Shared {
    async fn list(&self, limit: usize) -> Result<Vec<DeadLetter>, BusError> {
        let mut letters = Vec::new();
        for queue in self.queues.values() {
            letters.extend(queue.dead(limit - letters.len()));
        }
        Ok(letters)
    }

    async fn replay(&self, which: Replay) -> Result<usize, BusError> {
        let chosen = |message: &Message| match &which {
            Replay::Id(id) => message.id == *id,
            Replay::All => true,
        };
        self.unless_closed(async {
            let mut replayed = 0;
            for queue in self.queues.values() {
                for number in queue.dead_numbers(chosen) {
                    replayed += usize::from(self.revive(queue, number).await?);
                }
            }
            Ok(replayed)
        })
        .await?
    }

    async fn purge(&self, id: &str) -> Result<usize, BusError> {
        let purge = |queue: &Arc<Queue>| {
            let numbers = queue.dead_numbers(|message| message.id == id);
            numbers.into_iter().filter(|number| queue.purge(*number)).count()
        };
        Ok(self.queues.values().map(purge).sum())
    }
}

struct QueueConsumer {
    queue: Arc<Queue>,
    hands: Arc<Semaphore>,
    closed: CancellationToken,
    _counted: Arc<()>,
}

impl QueueConsumer {
    /// Nothing is awaited once a message is in hand, so a dropped future holds none.
    async fn take(&self) -> Option<Delivery> {
        let hand = Arc::clone(&self.hands).acquire_owned().await.ok()?;
        let entry = self.queue.pop().await;
        let (message, attempt, redelivered) =
            (Arc::clone(&entry.message), entry.deliveries, entry.redelivered);
        let hold = InHand { queue: Arc::clone(&self.queue), entry: Some(entry), _hand: hand };
        Some(Delivery::new(message, attempt, redelivered, Box::new(hold)))
    }
}

#[async_trait]
impl Consumer for QueueConsumer {
    async fn next(&mut self) -> Result<Option<Delivery>, BusError> {
        Ok(self.closed.run_until_cancelled(self.take()).await.flatten())
    }
}

/// One delivered message: its entry until it is settled, and the consumer's hand.
struct InHand {
    queue: Arc<Queue>,
    entry: Option<Entry>,
    _hand: OwnedSemaphorePermit,
}

#[async_trait]
impl Settle for InHand {
    async fn settle(mut self: Box<Self>, settlement: Settlement) -> Result<(), BusError> {
        if let Some(entry) = self.entry.take() {
            match settlement {
                Settlement::Done => self.queue.done(entry),
                Settlement::Requeue => self.queue.give_back(entry),
                Settlement::DeadLetter(reason) => self.queue.bury(entry, DeadReason::Refused(reason)),
            }
        }
        Ok(())
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            self.queue.give_back(entry);
        }
    }
}
