//! Consumes: a subscription that is made when it is asked for, and made again when it is lost.

use std::sync::{Arc, atomic::AtomicUsize};

use async_trait::async_trait;
use futures::{FutureExt, StreamExt, future::BoxFuture};
use lapin::{
    options::{BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    Shared,
    acks::Speaker,
    backoff::Backoff,
    declare::declare,
    ledger::{Ledger, Tag, Verdict},
    link::Link,
    trouble::{Trouble, within},
    wire::{Death, Incoming, Outgoing, short},
};
use crate::{
    BusError, Consumer, DeadReason, Delivery, Limits, Message, PublishOutcome, Settle, Settlement, Topology,
};

/// A consumer of one queue.
pub(super) struct QueueConsumer {
    shared: Arc<Shared>,
    queue: Arc<str>,
    state: State,
    backoff: Backoff,
}

/// What is being done about a subscription is kept here, so that it goes on when a caller stops waiting and comes back.
enum State {
    Idle,
    Subscribing(BoxFuture<'static, Result<Subscription, BusError>>),
    Subscribed(Subscription),
}

struct Subscription {
    stream: lapin::Consumer,
    ledger: Arc<Ledger>,
    /// Nobody speaks for it any more. The stream alone does not tell: its end is one item of a queue that the speaker
    /// reads as well, and whoever comes first has it.
    over: CancellationToken,
    _dropped: DropGuard,
}

impl QueueConsumer {
    pub fn new(shared: Arc<Shared>, queue: &str) -> Self {
        Self { shared, queue: queue.into(), state: State::Idle, backoff: Backoff::default() }
    }

    fn subscribe(&mut self) -> Result<BoxFuture<'static, Result<Subscription, BusError>>, BusError> {
        let shared = &self.shared;
        let subscribing = Subscribing {
            link: shared.consuming().clone(),
            queue: Arc::clone(&self.queue),
            held: Arc::clone(shared.held(&self.queue)?),
            topology: Arc::clone(&shared.topology),
            limits: shared.limits,
            closed: shared.closed.clone(),
            stop: shared.stop.clone(),
            tasks: shared.tasks.clone(),
        };
        // The first attempt need not wait.
        let pause = (!self.backoff.is_first()).then(|| self.backoff.next());
        Ok(async move {
            if let Some(pause) = pause {
                sleep(pause).await;
            }
            subscribing.subscribe().await
        }
        .boxed())
    }

    /// Nothing is awaited once a message is in hand, so a dropped future holds none.
    async fn take(&mut self) -> Result<Delivery, BusError> {
        loop {
            match &mut self.state {
                State::Idle => self.state = State::Subscribing(self.subscribe()?),
                State::Subscribing(subscribing) => match subscribing.await {
                    Ok(subscription) => {
                        self.state = State::Subscribed(subscription);
                        self.backoff.reset();
                    }
                    Err(error) => {
                        self.backoff.next();
                        let source = std::error::Error::source(&error).map(ToString::to_string);
                        tracing::warn!(queue = &*self.queue, error = ?source, "cannot consume; trying again");
                        self.state = State::Idle;
                    }
                },
                State::Subscribed(subscription) => {
                    let next = subscription.over.run_until_cancelled(subscription.stream.next()).await;
                    if let Some(Some(Ok(delivery))) = next {
                        subscription.ledger.hand_out(delivery.delivery_tag);
                        let ledger = Arc::clone(&subscription.ledger);
                        return Ok(self.delivery(delivery, ledger));
                    }
                    tracing::debug!(queue = &*self.queue, "the subscription has ended");
                    self.state = State::Idle;
                }
            }
        }
    }

    fn delivery(&self, delivery: lapin::message::Delivery, ledger: Arc<Ledger>) -> Delivery {
        let lapin::message::Delivery { delivery_tag, routing_key, redelivered, properties, data, .. } =
            delivery;
        let incoming = Incoming::read(&properties, routing_key.as_str(), data);
        let attempt = incoming.earlier.saturating_add(1);
        let message = Arc::new(incoming.message);
        let hold = InHand {
            shared: Arc::clone(&self.shared),
            queue: Arc::clone(&self.queue),
            ledger,
            tag: delivery_tag,
            message: Arc::clone(&message),
            attempt,
            settled: false,
        };
        Delivery::new(message, attempt, redelivered || attempt > 1, Box::new(hold))
    }
}

#[async_trait]
impl Consumer for QueueConsumer {
    async fn next(&mut self) -> Result<Option<Delivery>, BusError> {
        let closed = self.shared.closed.clone();
        closed.run_until_cancelled(self.take()).await.transpose()
    }
}

/// What it takes to subscribe.
struct Subscribing {
    link: Link,
    queue: Arc<str>,
    held: Arc<AtomicUsize>,
    topology: Arc<Topology>,
    limits: Limits,
    closed: CancellationToken,
    stop: CancellationToken,
    tasks: super::Tasks,
}

impl Subscribing {
    async fn subscribe(self) -> Result<Subscription, BusError> {
        let live = self.link.live().await;
        let prefetch = u16::try_from(self.limits.prefetch.max(1)).unwrap_or(u16::MAX);
        let open = async || {
            let channel = live.channel().await?;
            within(channel.basic_qos(prefetch, BasicQosOptions::default())).await?;
            let options = BasicConsumeOptions::default();
            let consuming =
                channel.basic_consume(short(&self.queue)?, "".into(), options, FieldTable::default());
            let stream = within(consuming).await?;
            Ok::<_, BusError>((channel, stream))
        };
        let (channel, stream) = match open().await {
            Ok(opened) => opened,
            // Somebody has deleted the queue: it is there again after this.
            Err(_) if live.is_up() => {
                declare(&live, &self.topology, &self.limits).await?;
                open().await?
            }
            Err(error) => return Err(error),
        };
        // Reports must not keep the broker from sending: a quarter of what it may send is worth one.
        let ledger = Arc::new(Ledger::new(usize::from(prefetch).div_ceil(4), self.held));
        let (dropped, over) = (CancellationToken::new(), CancellationToken::new());
        let speaker = Speaker {
            live,
            channel,
            stream: stream.clone(),
            ledger: Arc::clone(&ledger),
            dropped: dropped.clone(),
            closed: self.closed,
            stop: self.stop,
            _over: over.clone().drop_guard(),
        };
        self.tasks.settling.spawn(speaker.speak(self.tasks.receiving.token()));
        Ok(Subscription { stream, ledger, over, _dropped: dropped.drop_guard() })
    }
}

/// One delivered message, until it is settled.
struct InHand {
    shared: Arc<Shared>,
    queue: Arc<str>,
    ledger: Arc<Ledger>,
    tag: Tag,
    message: Arc<Message>,
    attempt: u32,
    settled: bool,
}

impl InHand {
    fn enter(&mut self, verdict: Verdict) -> Result<(), Trouble> {
        self.settled = true;
        self.ledger.settle(self.tag, verdict)
    }

    /// A delivery that was the last one allowed goes to the dead letters. The broker would see to it itself, but
    /// versions differ in what they count.
    fn give_back(&mut self) -> Result<(), Trouble> {
        if self.attempt < self.shared.limits.max_deliveries.max(1) {
            return self.enter(Verdict::Requeue);
        }
        tracing::warn!(
            queue = &*self.queue,
            deliveries = self.attempt,
            "a message was delivered too often and is now a dead letter"
        );
        self.enter(Verdict::Bury)
    }

    /// The dead letter is confirmed before the message leaves its queue: there may then be two, but never none.
    async fn bury(&mut self, reason: String) -> Result<(), BusError> {
        let spec = self.shared.topology.queues.get(&*self.queue);
        let dead_queue = spec.map(|spec| spec.dead_letter_queue.as_str()).unwrap_or_default();
        let death = Death {
            queue: self.queue.to_string(),
            reason: DeadReason::Refused(reason),
            deliveries: self.attempt,
        };
        let outgoing = Outgoing::dead(&self.message, &death, dead_queue)?;
        match self.shared.put(outgoing).await? {
            PublishOutcome::Confirmed => Ok(self.enter(Verdict::Done)?),
            PublishOutcome::Unroutable => Err(Trouble::NotBuried("its queue is missing").into()),
            PublishOutcome::Full => Err(Trouble::NotBuried("its queue is full").into()),
            PublishOutcome::Rejected => Err(Trouble::NotBuried("the broker refused it").into()),
        }
    }
}

#[async_trait]
impl Settle for InHand {
    async fn settle(mut self: Box<Self>, settlement: Settlement) -> Result<(), BusError> {
        match settlement {
            Settlement::Done => self.enter(Verdict::Done)?,
            Settlement::Requeue => self.give_back()?,
            Settlement::DeadLetter(reason) => self.bury(reason).await?,
        }
        Ok(())
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        if !self.settled {
            // Without a channel the broker gives it back by itself.
            let _ = self.give_back();
        }
    }
}
