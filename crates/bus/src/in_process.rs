//! The embedded backend: queues in memory. Messages are lost when the process ends; the dispatcher then publishes due
//! work again.

mod queue;

use std::{collections::BTreeMap, iter::once, sync::Arc};

use async_trait::async_trait;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use self::queue::{Queue, QueuedMessage, ReplayResult};
use crate::metrics::{Health, PublishMetrics, PublishMetricsSlot, PublishRecorder, destination};
use crate::{
    Bus, BusError, Consumer, DeadLetter, DeadLetters, DeadReason, Delivery, Depth, Limits, Message,
    PublishOutcome, Publisher, QueueSpec, Replay, Requirement, Settle, Settlement, Topology,
};

/// The configuration of [`InProcess`]: the limits that every backend keeps. A queue's `capacity` covers ready and
/// unsettled messages, so that a requeued message always fits. As many dead letters are kept beside them; each further
/// one occupies a slot of the queue it came from, until it is replayed or purged. None is ever dropped.
pub type InProcessConfig = Limits;

/// The bus within one process. Clones are the same bus.
#[derive(Clone)]
pub struct InProcess {
    inner: Arc<InProcessInner>,
}

struct InProcessInner {
    topology: Topology,
    queues: BTreeMap<String, Arc<Queue>>,
    limits: Limits,
    closed: CancellationToken,
    metrics: Arc<PublishMetricsSlot>,
    /// Each consumer holds a clone, so the reference count gives the number of consumers.
    consumers: Arc<()>,
}

impl InProcess {
    /// A bus with the queues of this topology, all empty.
    pub fn new(topology: Topology, config: InProcessConfig) -> Self {
        let metrics = Arc::<PublishMetricsSlot>::default();
        let queue = |(name, spec): (&String, &QueueSpec)| {
            (name.clone(), Arc::new(Queue::new(name, spec, &config, Arc::clone(&metrics))))
        };
        let queues = topology.queues.iter().map(queue).collect();
        let inner = InProcessInner {
            topology,
            queues,
            limits: config,
            closed: CancellationToken::new(),
            metrics,
            consumers: Arc::default(),
        };
        Self { inner: Arc::new(inner) }
    }
}

#[async_trait]
impl Bus for InProcess {
    fn topology(&self) -> &Topology {
        &self.inner.topology
    }

    fn publisher(&self) -> Arc<dyn Publisher> {
        Arc::clone(&self.inner) as _
    }

    async fn consumer(&self, queue: &str) -> Result<Box<dyn Consumer>, BusError> {
        let prefetch = self.inner.limits.prefetch.clamp(1, Semaphore::MAX_PERMITS);
        Ok(Box::new(QueueConsumer {
            queue: Arc::clone(self.inner.queue(queue)?),
            free_prefetch: Arc::new(Semaphore::new(prefetch)),
            closed: self.inner.closed.clone(),
            _consumer_count: Arc::clone(&self.inner.consumers),
        }))
    }

    fn dead_letters(&self) -> Arc<dyn DeadLetters> {
        Arc::clone(&self.inner) as _
    }

    async fn depth(&self, queue: &str) -> Result<Depth, BusError> {
        Ok(self.inner.queue(queue)?.depth())
    }

    fn health(&self) -> Health {
        let consumers = Arc::strong_count(&self.inner.consumers) - 1;
        Health { connected: true, consumers, ..Health::default() }
    }

    fn measure(&self, metrics: PublishMetrics) {
        let _ = self.inner.metrics.set(metrics);
    }

    async fn close(&self) {
        self.inner.closed.cancel();
    }
}

impl InProcessInner {
    fn queue(&self, name: &str) -> Result<&Arc<Queue>, BusError> {
        self.queues.get(name).ok_or_else(|| BusError::UnknownQueue(name.to_owned()))
    }

    async fn unless_closed<T>(&self, work: impl Future<Output = T>) -> Result<T, BusError> {
        self.closed.run_until_cancelled(work).await.ok_or(BusError::Closed)
    }

    /// Reserves a slot in every queue first, so that the message reaches all of them or none. All publishers reserve in
    /// the order of the queues' names, so they cannot deadlock.
    async fn publish_one(&self, message: Message, started: Instant) -> PublishOutcome {
        let mut reserved = Vec::new();
        for queue in self.topology.route(&message.routing_key).filter_map(|name| self.queues.get(name)) {
            let time_left = self.limits.publish_deadline.saturating_sub(started.elapsed());
            match timeout(time_left, queue.reserve_slot()).await {
                Ok(slot) => reserved.push((queue, slot)),
                Err(_) => return PublishOutcome::Full,
            }
        }
        if reserved.is_empty() && message.requirement == Requirement::Mandatory {
            return PublishOutcome::Unroutable;
        }
        let message = Arc::new(message);
        for (queue, slot) in reserved {
            queue.push(Arc::clone(&message), slot);
        }
        PublishOutcome::Confirmed
    }

    /// Replays one dead letter; `false` when it is there no more.
    async fn replay_one(&self, queue: &Queue, number: u64) -> Result<bool, BusError> {
        let result = match queue.replay(number, None) {
            ReplayResult::NeedsSlot => {
                let slot = timeout(self.limits.publish_deadline, queue.reserve_slot()).await;
                let slot = slot.map_err(|_| BusError::Full(queue.name.clone()))?;
                queue.replay(number, Some(slot))
            }
            result => result,
        };
        let replayed = matches!(result, ReplayResult::Replayed);
        if replayed {
            PublishRecorder::start(&self.metrics, once(&*queue.name))
                .record(Ok(vec![PublishOutcome::Confirmed]))?;
        }
        Ok(replayed)
    }
}

#[async_trait]
impl Publisher for InProcessInner {
    async fn publish(&self, messages: Vec<Message>) -> Result<Vec<PublishOutcome>, BusError> {
        let started = Instant::now();
        let to = messages.iter().map(|message| destination(&self.topology, &message.routing_key));
        let recorder = PublishRecorder::start(&self.metrics, to);
        let result = self.unless_closed(async {
            let mut outcomes = Vec::with_capacity(messages.len());
            for message in messages {
                outcomes.push(self.publish_one(message, started).await);
            }
            outcomes
        });
        recorder.record(result.await)
    }
}

#[async_trait]
impl DeadLetters for InProcessInner {
    async fn list(&self, limit: usize) -> Result<Vec<DeadLetter>, BusError> {
        let mut letters = Vec::new();
        for queue in self.queues.values() {
            letters.extend(queue.dead_letters(limit - letters.len()));
        }
        Ok(letters)
    }

    async fn replay(&self, which: Replay) -> Result<usize, BusError> {
        let is_selected = |message: &Message| match &which {
            Replay::Id(id) => message.id == *id,
            Replay::All => true,
        };
        self.unless_closed(async {
            let mut replayed = 0;
            for queue in self.queues.values() {
                for number in queue.dead_letter_numbers(is_selected) {
                    replayed += usize::from(self.replay_one(queue, number).await?);
                }
            }
            Ok(replayed)
        })
        .await?
    }

    async fn purge(&self, id: &str) -> Result<usize, BusError> {
        let purge = |queue: &Arc<Queue>| {
            let numbers = queue.dead_letter_numbers(|message| message.id == id);
            numbers.into_iter().filter(|number| queue.purge(*number)).count()
        };
        Ok(self.queues.values().map(purge).sum())
    }
}

struct QueueConsumer {
    queue: Arc<Queue>,
    free_prefetch: Arc<Semaphore>,
    closed: CancellationToken,
    _consumer_count: Arc<()>,
}

impl QueueConsumer {
    /// Cancellation-safe: nothing is awaited after a message has been taken from the queue.
    async fn take(&self) -> Option<Delivery> {
        let prefetch = Arc::clone(&self.free_prefetch).acquire_owned().await.ok()?;
        let queued = self.queue.pop().await;
        let (message, attempt, redelivered) =
            (Arc::clone(&queued.message), queued.deliveries, queued.redelivered);
        let queue = Arc::clone(&self.queue);
        let unsettled = UnsettledDelivery { queue, queued: Some(queued), _prefetch: prefetch };
        Some(Delivery::new(message, attempt, redelivered, Box::new(unsettled)))
    }
}

#[async_trait]
impl Consumer for QueueConsumer {
    async fn next(&mut self) -> Result<Option<Delivery>, BusError> {
        Ok(self.closed.run_until_cancelled(self.take()).await.flatten())
    }
}

/// One delivered message until it is settled, with its share of the consumer's prefetch.
struct UnsettledDelivery {
    queue: Arc<Queue>,
    queued: Option<QueuedMessage>,
    _prefetch: OwnedSemaphorePermit,
}

#[async_trait]
impl Settle for UnsettledDelivery {
    async fn settle(mut self: Box<Self>, settlement: Settlement) -> Result<(), BusError> {
        if let Some(queued) = self.queued.take() {
            match settlement {
                Settlement::Acknowledge => self.queue.acknowledge(queued),
                Settlement::Requeue => self.queue.requeue(queued),
                Settlement::DeadLetter(reason) => {
                    self.queue.dead_letter(queued, DeadReason::Refused(reason));
                }
            }
        }
        Ok(())
    }
}

impl Drop for UnsettledDelivery {
    fn drop(&mut self) {
        if let Some(queued) = self.queued.take() {
            self.queue.requeue(queued);
        }
    }
}
