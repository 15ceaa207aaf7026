//! Consumes a queue: subscribes when the first message is asked for, and again when the subscription is lost.

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use async_trait::async_trait;
use backon::{BackoffBuilder, ExponentialBackoff};
use futures::{FutureExt, StreamExt, future::BoxFuture};
use lapin::{
    Channel,
    options::{BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    BusTasks, RETRY, RabbitMqInner,
    ack_writer::AckWriter,
    broker_error::{BrokerError, within_deadline},
    connection::{Connection, ConnectionHandle},
    declare::declare,
    delivery_tracker::{Acknowledgement, DeliveryTag, DeliveryTracker},
    wire::{DeadLetterRecord, InboundMessage, OutboundMessage, short_string},
};
use crate::{
    BusError, Consumer, DeadReason, Delivery, Limits, Message, PublishOutcome, Settle, Settlement, Topology,
};

/// A consumer of one queue.
pub(super) struct QueueConsumer {
    bus: Arc<RabbitMqInner>,
    queue: Arc<str>,
    state: SubscriptionState,
    pauses: ExponentialBackoff,
    /// The pause before the next attempt to subscribe; none before the first.
    pause: Option<Duration>,
}

/// Kept in the consumer, so that subscribing goes on when a caller drops its future and calls again.
enum SubscriptionState {
    Unsubscribed,
    Subscribing(BoxFuture<'static, Result<Subscription, BusError>>),
    Subscribed(Subscription),
}

struct Subscription {
    stream: lapin::Consumer,
    deliveries: Arc<DeliveryTracker>,
    /// Cancelled when the [`AckWriter`] has ended. The end of the stream does not show that: it is one item of a queue
    /// that the writer reads as well, and only the first reader gets it.
    writer_ended: CancellationToken,
    _dropped: DropGuard,
}

impl QueueConsumer {
    pub fn new(bus: Arc<RabbitMqInner>, queue: &str) -> Self {
        let state = SubscriptionState::Unsubscribed;
        Self { bus, queue: queue.into(), state, pauses: RETRY.build(), pause: None }
    }

    fn subscribe(&mut self) -> Result<BoxFuture<'static, Result<Subscription, BusError>>, BusError> {
        let bus = &self.bus;
        let subscriber = Subscriber {
            connection: bus.consumer_connection().clone(),
            queue: Arc::clone(&self.queue),
            queue_unsettled: Arc::clone(bus.unsettled(&self.queue)?),
            topology: Arc::clone(&bus.topology),
            limits: bus.limits,
            closed: bus.closed.clone(),
            stop: bus.stop.clone(),
            tasks: bus.tasks.clone(),
        };
        let pause = self.pause;
        Ok(async move {
            if let Some(pause) = pause {
                sleep(pause).await;
            }
            subscriber.subscribe().await
        }
        .boxed())
    }

    /// Cancellation-safe: nothing is awaited after a message has been taken from the stream.
    async fn take(&mut self) -> Result<Delivery, BusError> {
        loop {
            match &mut self.state {
                SubscriptionState::Unsubscribed => {
                    self.state = SubscriptionState::Subscribing(self.subscribe()?);
                }
                SubscriptionState::Subscribing(subscribing) => match subscribing.await {
                    Ok(subscription) => {
                        self.state = SubscriptionState::Subscribed(subscription);
                        (self.pauses, self.pause) = (RETRY.build(), None);
                    }
                    Err(error) => {
                        self.pause = self.pauses.next();
                        let source = std::error::Error::source(&error).map(ToString::to_string);
                        tracing::warn!(queue = &*self.queue, error = ?source, "cannot consume; trying again");
                        self.state = SubscriptionState::Unsubscribed;
                    }
                },
                SubscriptionState::Subscribed(subscription) => {
                    let next = subscription.stream.next();
                    let next = subscription.writer_ended.run_until_cancelled(next).await;
                    if let Some(Some(Ok(delivery))) = next {
                        subscription.deliveries.hand_out(delivery.delivery_tag);
                        let deliveries = Arc::clone(&subscription.deliveries);
                        return Ok(self.delivery(delivery, deliveries));
                    }
                    tracing::debug!(queue = &*self.queue, "the subscription has ended");
                    self.state = SubscriptionState::Unsubscribed;
                }
            }
        }
    }

    fn delivery(&self, delivery: lapin::message::Delivery, deliveries: Arc<DeliveryTracker>) -> Delivery {
        let lapin::message::Delivery { delivery_tag, routing_key, redelivered, properties, data, .. } =
            delivery;
        let inbound = InboundMessage::read(&properties, routing_key.as_str(), data);
        let attempt = inbound.earlier_deliveries.saturating_add(1);
        let message = Arc::new(inbound.message);
        let unsettled = UnsettledDelivery {
            bus: Arc::clone(&self.bus),
            queue: Arc::clone(&self.queue),
            deliveries,
            tag: delivery_tag,
            message: Arc::clone(&message),
            attempt,
            settled: false,
        };
        Delivery::new(message, attempt, redelivered || attempt > 1, Box::new(unsettled))
    }
}

#[async_trait]
impl Consumer for QueueConsumer {
    async fn next(&mut self) -> Result<Option<Delivery>, BusError> {
        let closed = self.bus.closed.clone();
        closed.run_until_cancelled(self.take()).await.transpose()
    }
}

/// Makes one subscription.
struct Subscriber {
    connection: ConnectionHandle,
    queue: Arc<str>,
    queue_unsettled: Arc<AtomicUsize>,
    topology: Arc<Topology>,
    limits: Limits,
    closed: CancellationToken,
    stop: CancellationToken,
    tasks: BusTasks,
}

impl Subscriber {
    fn prefetch(&self) -> u16 {
        u16::try_from(self.limits.prefetch.max(1)).unwrap_or(u16::MAX)
    }

    async fn open(&self, connection: &Connection) -> Result<(Channel, lapin::Consumer), BusError> {
        let channel = connection.channel().await?;
        within_deadline(channel.basic_qos(self.prefetch(), BasicQosOptions::default())).await?;
        let options = BasicConsumeOptions::default();
        let consuming =
            channel.basic_consume(short_string(&self.queue)?, "".into(), options, FieldTable::default());
        let stream = within_deadline(consuming).await?;
        Ok((channel, stream))
    }

    async fn subscribe(self) -> Result<Subscription, BusError> {
        let connection = self.connection.established().await;
        let (channel, stream) = match self.open(&connection).await {
            Ok(opened) => opened,
            // The queue may have been deleted: declare it again.
            Err(_) if connection.is_up() => {
                declare(&connection, &self.topology, &self.limits).await?;
                self.open(&connection).await?
            }
            Err(error) => return Err(error),
        };
        // A quarter of the prefetch per batch: waiting acknowledgements must not keep the broker from sending.
        let batch_size = usize::from(self.prefetch()).div_ceil(4);
        let deliveries = Arc::new(DeliveryTracker::new(batch_size, self.queue_unsettled));
        let (dropped, writer_ended) = (CancellationToken::new(), CancellationToken::new());
        let writer = AckWriter {
            connection,
            channel,
            stream: stream.clone(),
            deliveries: Arc::clone(&deliveries),
            receiving: Some(self.tasks.receiving.token()),
            dropped: dropped.clone(),
            closed: self.closed,
            stop: self.stop,
            _ended: writer_ended.clone().drop_guard(),
        };
        self.tasks.settling.spawn(writer.run());
        Ok(Subscription { stream, deliveries, writer_ended, _dropped: dropped.drop_guard() })
    }
}

/// One delivered message, until it is settled.
struct UnsettledDelivery {
    bus: Arc<RabbitMqInner>,
    queue: Arc<str>,
    deliveries: Arc<DeliveryTracker>,
    tag: DeliveryTag,
    message: Arc<Message>,
    attempt: u32,
    settled: bool,
}

impl UnsettledDelivery {
    fn settle_as(&mut self, acknowledgement: Acknowledgement) -> Result<(), BrokerError> {
        self.settled = true;
        self.deliveries.settle(self.tag, acknowledgement)
    }

    /// Requeues the message, or makes it a dead letter when this was its last delivery. The broker enforces the limit
    /// as well, but its versions count differently.
    fn requeue(&mut self) -> Result<(), BrokerError> {
        if self.attempt < self.bus.limits.max_deliveries.max(1) {
            return self.settle_as(Acknowledgement::Requeue);
        }
        tracing::warn!(
            queue = &*self.queue,
            deliveries = self.attempt,
            "a message was delivered too often and is now a dead letter"
        );
        self.settle_as(Acknowledgement::DeadLetter)
    }

    /// The dead letter is confirmed before the message leaves its queue: a crash may duplicate it, but never loses it.
    async fn dead_letter(&mut self, reason: String) -> Result<(), BusError> {
        let spec = self.bus.topology.queues.get(&*self.queue);
        let dead_letter_queue = spec.map(|spec| spec.dead_letter_queue.as_str()).unwrap_or_default();
        let record = DeadLetterRecord {
            queue: self.queue.to_string(),
            reason: DeadReason::Refused(reason),
            deliveries: self.attempt,
        };
        let message = OutboundMessage::to_dead_letters(&self.message, &record, dead_letter_queue)?;
        let failed = |why| Err(BrokerError::DeadLetterNotPublished(why).into());
        match self.bus.publish_to_queue(message).await? {
            PublishOutcome::Confirmed => Ok(self.settle_as(Acknowledgement::Ack)?),
            PublishOutcome::Unroutable => failed("its queue is missing"),
            PublishOutcome::Full => failed("its queue is full"),
            PublishOutcome::Rejected => failed("the broker refused it"),
        }
    }
}

#[async_trait]
impl Settle for UnsettledDelivery {
    async fn settle(mut self: Box<Self>, settlement: Settlement) -> Result<(), BusError> {
        match settlement {
            Settlement::Acknowledge => self.settle_as(Acknowledgement::Ack)?,
            Settlement::Requeue => self.requeue()?,
            Settlement::DeadLetter(reason) => self.dead_letter(reason).await?,
        }
        Ok(())
    }
}

impl Drop for UnsettledDelivery {
    fn drop(&mut self) {
        if !self.settled {
            // Fails when the channel is gone; the broker has requeued the message then.
            let _ = self.requeue();
        }
    }
}
