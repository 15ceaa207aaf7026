//! Publishes: one task on one channel sends a window of messages at a time and awaits all confirms of it.
//!
//! Returned messages are known only when every message of a window is confirmed: `basic.return` and the confirm that
//! belongs to it are separate frames, and one confirm may cover many messages.

use std::{collections::HashSet, pin::Pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::future::{MaybeDone, maybe_done};
use lapin::{
    Channel, Confirmation,
    message::BasicReturnMessage,
    options::{BasicPublishOptions, ConfirmSelectOptions},
    types::ShortString,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    RabbitMqInner,
    broker_error::{BrokerError, within_deadline},
    connection::{Connection, ConnectionHandle},
    declare::declare,
    publish_queue::{Confirm, InFlightId, PublishQueue, PublishRequest, PublishResult},
    wire::OutboundMessage,
};
use crate::metrics::{PublishRecorder, destination};
use crate::{BusError, Limits, Message, PublishOutcome, Publisher, Topology};

/// How many messages are in flight at a time.
const WINDOW: usize = 512;
/// How many calls wait until the task accepts them.
const WAITING_CALLS: usize = 256;
/// The task answers at the deadline; a caller waits this much longer for it.
const GRACE: Duration = Duration::from_millis(200);
/// How long a channel that sent no confirms may take to close.
const CHANNEL_CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// The shortest interval between two declarations of the topology after a message found no queue.
const REDECLARE_INTERVAL: Duration = Duration::from_secs(1);
/// The pause after a channel could not be opened.
const OPEN_RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Sends calls to the task that publishes.
#[derive(Clone)]
pub(super) struct PublisherHandle {
    requests: mpsc::Sender<PublishRequest>,
    publish_deadline: Duration,
}

impl PublisherHandle {
    pub fn start(
        connection: ConnectionHandle,
        topology: Arc<Topology>,
        limits: Limits,
        stop: &CancellationToken,
        tasks: &TaskTracker,
    ) -> Self {
        let (requests, incoming) = mpsc::channel(WAITING_CALLS);
        let task = PublisherTask {
            connection,
            topology,
            limits,
            incoming,
            queue: PublishQueue::default(),
            channel: None,
            redeclare: Redeclare::NotNeeded,
            last_declared: None,
        };
        let stop = stop.clone();
        tasks.spawn(async move {
            stop.run_until_cancelled(task.run()).await;
        });
        Self { requests, publish_deadline: limits.publish_deadline }
    }

    /// Sends these messages and waits for their outcomes, up to the deadline.
    pub async fn send(&self, messages: Vec<OutboundMessage>) -> PublishResult {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let deadline = Instant::now() + self.publish_deadline;
        let (reply, result) = oneshot::channel();
        let sent = async {
            let request = PublishRequest { messages, deadline, reply };
            self.requests.send(request).await.map_err(|_| BusError::Closed)?;
            result.await.map_err(|_| BusError::Closed)?
        };
        timeout_at(deadline + GRACE, sent).await.unwrap_or_else(|_| Err(BrokerError::NotConnected.into()))
    }
}

#[async_trait]
impl Publisher for RabbitMqInner {
    async fn publish(&self, messages: Vec<Message>) -> PublishResult {
        let outbound = |message: &Message| {
            let has_queue = self.topology.route(&message.routing_key).next().is_some();
            OutboundMessage::to_exchange(message, &self.topology.exchange, has_queue)
        };
        let to = messages.iter().map(|message| destination(&self.topology, &message.routing_key));
        let recorder = PublishRecorder::start(&self.metrics, to);
        let result = async {
            let messages = messages.iter().map(outbound).collect::<Result<_, _>>()?;
            self.unless_closed(self.publisher.send(messages)).await?
        };
        recorder.record(result.await)
    }

    fn system(&self) -> &'static str {
        "rabbitmq"
    }
}

impl RabbitMqInner {
    /// Publishes one message to a queue by name. Works while the bus is being closed, because deliveries can still be
    /// settled then.
    pub(super) async fn publish_to_queue(
        &self,
        message: OutboundMessage,
    ) -> Result<PublishOutcome, BusError> {
        let recorder = PublishRecorder::start(&self.metrics, std::iter::once(message.routing_key.as_str()));
        let outcomes = recorder.record(self.publisher.send(vec![message]).await)?;
        outcomes.first().copied().ok_or_else(|| BrokerError::Timeout.into())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Redeclare {
    NotNeeded,
    Needed,
}

/// A channel in confirm mode, and the connection it belongs to.
struct PublishChannel {
    connection: Arc<Connection>,
    channel: Channel,
}

impl PublishChannel {
    fn is_open(&self) -> bool {
        self.connection.is_up() && self.channel.status().connected()
    }
}

/// Whether messages can be sent now.
enum Readiness {
    Ready,
    /// The broker takes no messages on this connection (`connection.blocked`).
    Blocked(Arc<Connection>),
    /// The channel has to be opened, or the topology has to be declared.
    NotOpen,
}

struct PublisherTask {
    connection: ConnectionHandle,
    topology: Arc<Topology>,
    limits: Limits,
    incoming: mpsc::Receiver<PublishRequest>,
    queue: PublishQueue,
    channel: Option<PublishChannel>,
    redeclare: Redeclare,
    last_declared: Option<Instant>,
}

/// Sleeps until this time; for ever when there is none.
async fn sleep_until_some(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

impl PublisherTask {
    /// Publishes until every handle is dropped.
    async fn run(mut self) {
        loop {
            while let Ok(request) = self.incoming.try_recv() {
                self.queue.push(request, Instant::now());
            }
            self.expire();
            if !self.queue.is_ready(Instant::now()) {
                tokio::select! {
                    request = self.incoming.recv() => match request {
                        Some(request) => self.queue.push(request, Instant::now()),
                        None => return,
                    },
                    () = sleep_until_some(self.queue.next_event()) => {}
                }
                continue;
            }
            let deadline = self.queue.next_deadline();
            tokio::select! {
                () = self.until_ready() => {}
                () = sleep_until_some(deadline) => continue,
            }
            let window = self.queue.next_window(WINDOW, Instant::now());
            if !window.is_empty() {
                self.send(&window).await;
            }
        }
    }

    fn expire(&mut self) {
        let connection = self.channel.as_ref().map(|channel| &channel.connection);
        self.queue.expire(Instant::now(), || {
            connection.map_or(BrokerError::NotConnected, |connection| connection.timeout_error())
        });
    }

    /// Waits until there is a channel on which messages can be sent now. Cancellation-safe.
    async fn until_ready(&mut self) {
        loop {
            match self.readiness() {
                Readiness::Ready => return,
                Readiness::Blocked(connection) => connection.unblocked_or_lost().await,
                Readiness::NotOpen => {
                    let connection = self.connection.established().await;
                    if let Err(error) = self.open(connection).await {
                        tracing::debug!(?error, "no channel to publish on");
                        tokio::time::sleep(OPEN_RETRY_PAUSE).await;
                    }
                }
            }
        }
    }

    fn readiness(&self) -> Readiness {
        match self.channel.as_ref().filter(|channel| channel.is_open()) {
            Some(channel) if channel.connection.is_blocked() => {
                Readiness::Blocked(Arc::clone(&channel.connection))
            }
            Some(_) if self.redeclare == Redeclare::NotNeeded => Readiness::Ready,
            Some(_) | None => Readiness::NotOpen,
        }
    }

    async fn open(&mut self, connection: Arc<Connection>) -> Result<(), BusError> {
        if self.redeclare == Redeclare::Needed {
            self.declare_again(&connection).await?;
        }
        if self.channel.as_ref().is_none_or(|channel| !channel.is_open()) {
            let channel = connection.channel().await?;
            within_deadline(channel.confirm_select(ConfirmSelectOptions::default())).await?;
            self.channel = Some(PublishChannel { connection, channel });
        }
        Ok(())
    }

    async fn declare_again(&mut self, connection: &Connection) -> Result<(), BusError> {
        if let Some(last) = self.last_declared {
            sleep_until(last + REDECLARE_INTERVAL).await;
        }
        self.last_declared = Some(Instant::now());
        declare(connection, &self.topology, &self.limits).await?;
        self.redeclare = Redeclare::NotNeeded;
        Ok(())
    }

    /// Sends a window and waits for its confirms, as long as a caller waits for one of them. Meanwhile, callers are
    /// answered at their deadlines and new calls are accepted.
    async fn send(&mut self, window: &[InFlightId]) {
        let Some(open) = &self.channel else { return };
        let (connection, channel) = (Arc::clone(&open.connection), open.channel.clone());
        let messages: Vec<OutboundMessage> =
            window.iter().filter_map(|id| self.queue.message(*id)).cloned().collect();
        let mut confirms = std::pin::pin!(publish_window(&channel, messages));
        loop {
            tokio::select! {
                confirms = &mut confirms => {
                    self.record_confirms(window, &confirms, &connection);
                    return;
                }
                Some(request) = self.incoming.recv() => self.queue.push(request, Instant::now()),
                () = sleep_until_some(self.queue.next_deadline()) => self.expire(),
            }
            // A broker that blocks the connection does not even read that a channel is to be closed.
            if !self.queue.awaits(window) && !connection.is_blocked() {
                break;
            }
        }
        // No confirms came up to the deadline: the channel is of no use for publishing.
        self.channel = None;
        let closed = timeout(CHANNEL_CLOSE_TIMEOUT, channel.close(200, "OK".into())).await;
        if !matches!(closed, Ok(Ok(()))) {
            connection.mark_broken();
        }
    }

    fn record_confirms(&mut self, window: &[InFlightId], confirms: &[Confirm], connection: &Connection) {
        let is_missing = |(id, confirm): (&InFlightId, &Confirm)| {
            *confirm == Confirm::Returned && self.queue.message(*id).is_some_and(|message| message.has_queue)
        };
        let queue_missing = window.iter().zip(confirms).any(is_missing);
        let channel_lost = confirms.contains(&Confirm::Lost);
        // A channel that fails while its connection is up: the exchange may be missing.
        let exchange_missing = channel_lost && connection.is_up();
        if queue_missing || exchange_missing {
            self.redeclare = Redeclare::Needed;
        }
        if channel_lost {
            self.channel = None;
        }
        self.queue.record_confirms(window, confirms, Instant::now());
    }
}

/// One confirm for each message. The library queues a message when its future is first polled, so polling each future
/// once, in order, sends them in order without waiting for the socket in between.
async fn publish_window(channel: &Channel, messages: Vec<OutboundMessage>) -> Vec<Confirm> {
    let mut in_flight: Vec<Pin<Box<MaybeDone<_>>>> = Vec::with_capacity(messages.len());
    for message in &messages {
        let mut sending = Box::pin(maybe_done(publish(channel, message.clone())));
        let _ = futures::poll!(&mut sending);
        in_flight.push(sending);
    }
    let mut returned = HashSet::new();
    let mut confirms = Vec::with_capacity(messages.len());
    for mut sent in in_flight {
        sent.as_mut().await;
        let (confirm, message) = match sent.as_mut().take_output() {
            Some(Ok(Confirmation::Ack(message))) => (Confirm::Ack, message),
            Some(Ok(Confirmation::Nack(message))) => (Confirm::Nack, message),
            Some(Ok(Confirmation::NotRequested) | Err(_)) | None => (Confirm::Lost, None),
        };
        confirms.push(confirm);
        returned.extend(message.as_ref().map(identity));
    }
    if !returned.is_empty() {
        mark_returned(&mut confirms, &messages, &returned);
    }
    confirms
}

async fn publish(channel: &Channel, message: OutboundMessage) -> lapin::Result<Confirmation> {
    let OutboundMessage { exchange, routing_key, mandatory, properties, body, .. } = message;
    let options = BasicPublishOptions { mandatory, ..BasicPublishOptions::default() };
    channel.basic_publish(exchange, routing_key, options, &body, properties).await?.await
}

/// The routing key and the message id: what tells which message a `basic.return` belongs to.
type MessageIdentity = (String, String);

/// A returned message is acknowledged all the same, so its confirm is replaced.
fn mark_returned(
    confirms: &mut [Confirm],
    messages: &[OutboundMessage],
    returned: &HashSet<MessageIdentity>,
) {
    for (message, confirm) in messages.iter().zip(confirms) {
        let (key, id) = message.identity();
        if message.mandatory
            && *confirm == Confirm::Ack
            && returned.contains(&(key.to_owned(), id.to_owned()))
        {
            *confirm = Confirm::Returned;
        }
    }
}

fn identity(message: &BasicReturnMessage) -> MessageIdentity {
    let id = message.properties.message_id().as_ref().map_or("", ShortString::as_str);
    (message.routing_key.to_string(), id.to_owned())
}
