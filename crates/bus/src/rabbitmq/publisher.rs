//! Publishes: one task on one channel, a window of messages at a time, each confirmed before the next window.
//!
//! Only when every message of a window has its confirm is it known which of them came back as unroutable: a returned
//! message and the confirm it belongs to are two things on the wire, and one confirm may stand for many messages.

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
    Shared,
    declare::declare,
    desk::{Answer, Desk, Job, Slip, Verdict},
    link::{Link, Live},
    trouble::{Trouble, within},
    wire::Outgoing,
};
use crate::metrics::{Destination, Publishing};
use crate::{BusError, Limits, Message, PublishOutcome, Publisher, Topology};

/// How many messages are under way at a time.
const WINDOW: usize = 512;
/// How many calls wait to be taken in.
const WAITING: usize = 256;
/// The clerk answers at the deadline; a caller gives it this much longer.
const GRACE: Duration = Duration::from_millis(200);
/// How long a channel that gave no confirms may take to close.
const CLOSE: Duration = Duration::from_secs(1);
/// How often at most the topology is declared again because a message found no queue.
const REDECLARE: Duration = Duration::from_secs(1);
/// The pause after a channel could not be had.
const PAUSE: Duration = Duration::from_millis(100);

/// A hold on the task that publishes.
#[derive(Clone)]
pub(super) struct Clerk {
    jobs: mpsc::Sender<Job>,
    deadline: Duration,
}

impl Clerk {
    pub fn start(
        link: Link,
        topology: Arc<Topology>,
        limits: Limits,
        stop: &CancellationToken,
        tasks: &TaskTracker,
    ) -> Self {
        let (jobs, incoming) = mpsc::channel(WAITING);
        let office = Office {
            link,
            topology,
            limits,
            incoming,
            desk: Desk::default(),
            session: None,
            redeclare: Redeclare::NotNeeded,
            last_declared: None,
        };
        let stop = stop.clone();
        tasks.spawn(async move {
            stop.run_until_cancelled(office.work()).await;
        });
        Self { jobs, deadline: limits.publish_deadline }
    }

    /// Sends these and waits for the outcomes, up to the deadline.
    pub async fn send(&self, messages: Vec<Outgoing>) -> Answer {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let deadline = Instant::now() + self.deadline;
        let (reply, answer) = oneshot::channel();
        let sent = async {
            let job = Job { messages, deadline, reply };
            self.jobs.send(job).await.map_err(|_| BusError::Closed)?;
            answer.await.map_err(|_| BusError::Closed)?
        };
        timeout_at(deadline + GRACE, sent).await.unwrap_or_else(|_| Err(Trouble::NotConnected.into()))
    }
}

#[async_trait]
impl Publisher for Shared {
    async fn publish(&self, messages: Vec<Message>) -> Answer {
        let outgoing = |message: &Message| {
            let expected = self.topology.route(&message.routing_key).next().is_some();
            Outgoing::news(message, &self.topology.exchange, expected)
        };
        let to = messages.iter().map(|message| Destination::of(&self.topology, &message.routing_key));
        let publishing = Publishing::begin(&self.told, to);
        let answer = async {
            let messages = messages.iter().map(outgoing).collect::<Result<_, _>>()?;
            self.unless_closed(self.clerk.send(messages)).await?
        };
        publishing.end(answer.await)
    }

    fn system(&self) -> &'static str {
        "rabbitmq"
    }
}

impl Shared {
    /// Puts one message straight into a queue, also while the bus is being closed: what is in hand can still be
    /// settled.
    pub(super) async fn put(&self, outgoing: Outgoing) -> Result<PublishOutcome, BusError> {
        let to = Destination::of_queue(&self.topology, outgoing.routing_key.as_str());
        let publishing = Publishing::begin(&self.told, std::iter::once(to));
        let outcomes = publishing.end(self.clerk.send(vec![outgoing]).await)?;
        outcomes.first().copied().ok_or_else(|| Trouble::Silent.into())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Redeclare {
    NotNeeded,
    Needed,
}

/// A channel to publish on.
struct Session {
    live: Arc<Live>,
    channel: Channel,
}

impl Session {
    fn is_open(&self) -> bool {
        self.live.is_up() && self.channel.status().connected()
    }
}

struct Office {
    link: Link,
    topology: Arc<Topology>,
    limits: Limits,
    incoming: mpsc::Receiver<Job>,
    desk: Desk,
    session: Option<Session>,
    redeclare: Redeclare,
    last_declared: Option<Instant>,
}

/// For ever, if there is no such time.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

impl Office {
    /// Until nobody is left who could ask for anything.
    async fn work(mut self) {
        loop {
            while let Ok(job) = self.incoming.try_recv() {
                self.desk.take_in(job, Instant::now());
            }
            self.expire();
            if !self.desk.is_ready(Instant::now()) {
                tokio::select! {
                    job = self.incoming.recv() => match job {
                        Some(job) => self.desk.take_in(job, Instant::now()),
                        None => return,
                    },
                    () = at(self.desk.next_event()) => {}
                }
                continue;
            }
            let deadline = self.desk.next_deadline();
            tokio::select! {
                () = self.prepare() => {}
                () = at(deadline) => continue,
            }
            let window = self.desk.window(WINDOW, Instant::now());
            if !window.is_empty() {
                self.send(&window).await;
            }
        }
    }

    fn expire(&mut self) {
        let live = self.session.as_ref().map(|session| &session.live);
        self.desk.expire(Instant::now(), || live.map_or(Trouble::NotConnected, |live| live.refusal()));
    }

    /// Comes back when there is a channel on which messages can be sent now. May be given up at any point.
    async fn prepare(&mut self) {
        loop {
            if let Some(session) = self.session.as_ref().filter(|session| session.is_open()) {
                if session.live.is_blocked() {
                    tokio::select! {
                        () = session.live.unblocked() => {}
                        () = session.live.gone() => {}
                    }
                    continue;
                }
                if self.redeclare == Redeclare::NotNeeded {
                    return;
                }
            }
            let live = self.link.live().await;
            if let Err(error) = self.open(live).await {
                tracing::debug!(?error, "no channel to publish on");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn open(&mut self, live: Arc<Live>) -> Result<(), BusError> {
        if self.redeclare == Redeclare::Needed {
            if let Some(last) = self.last_declared {
                sleep_until(last + REDECLARE).await;
            }
            self.last_declared = Some(Instant::now());
            declare(&live, &self.topology, &self.limits).await?;
            self.redeclare = Redeclare::NotNeeded;
        }
        if self.session.as_ref().is_none_or(|session| !session.is_open()) {
            let channel = live.channel().await?;
            within(channel.confirm_select(ConfirmSelectOptions::default())).await?;
            self.session = Some(Session { live, channel });
        }
        Ok(())
    }

    /// Sends a window and waits for its confirms, for as long as anybody does. Callers are answered at their deadlines
    /// meanwhile, and new ones are taken in.
    async fn send(&mut self, window: &[Slip]) {
        let Some(session) = &self.session else { return };
        let (live, channel) = (Arc::clone(&session.live), session.channel.clone());
        let messages: Vec<Parcel> =
            window.iter().filter_map(|slip| self.desk.message(*slip)).map(Parcel::of).collect();
        let mut confirms = std::pin::pin!(publish_window(&channel, messages));
        loop {
            tokio::select! {
                verdicts = &mut confirms => {
                    self.book(window, &verdicts, &live);
                    return;
                }
                Some(job) = self.incoming.recv() => self.desk.take_in(job, Instant::now()),
                () = at(self.desk.next_deadline()) => self.expire(),
            }
            // While the broker is blocked it cannot even be told that a channel is to be closed.
            if !self.desk.awaits(window) && !live.is_blocked() {
                break;
            }
        }
        // No confirms in all that time: whatever the channel is good for, it is not publishing.
        self.session = None;
        if !matches!(timeout(CLOSE, channel.close(200, "OK".into())).await, Ok(Ok(()))) {
            live.condemn();
        }
    }

    fn book(&mut self, window: &[Slip], verdicts: &[Verdict], live: &Live) {
        let missing = |(slip, verdict): (&Slip, &Verdict)| {
            *verdict == Verdict::Returned && self.desk.message(*slip).is_some_and(|message| message.expected)
        };
        let queue_missing = window.iter().zip(verdicts).any(missing);
        // A channel that fails on a connection that does not: perhaps the exchange is not there.
        let exchange_missing = verdicts.contains(&Verdict::Lost) && live.is_up();
        if queue_missing || exchange_missing {
            self.redeclare = Redeclare::Needed;
        }
        if verdicts.contains(&Verdict::Lost) {
            self.session = None;
        }
        self.desk.book(window, verdicts, Instant::now());
    }
}

/// What is needed of a message while its window is under way.
struct Parcel {
    exchange: ShortString,
    routing_key: ShortString,
    options: BasicPublishOptions,
    properties: lapin::BasicProperties,
    body: Arc<[u8]>,
    identity: (String, String),
}

impl Parcel {
    fn of(outgoing: &Outgoing) -> Self {
        let (key, id) = outgoing.identity();
        Self {
            exchange: outgoing.exchange.clone(),
            routing_key: outgoing.routing_key.clone(),
            options: BasicPublishOptions { mandatory: outgoing.mandatory, ..BasicPublishOptions::default() },
            properties: outgoing.properties.clone(),
            body: Arc::clone(&outgoing.body),
            identity: (key.to_owned(), id.to_owned()),
        }
    }
}

/// One verdict for each message. A message is handed to the library when its future is first polled, so polling them
/// once in order sends them in order without waiting for the socket in between.
async fn publish_window(channel: &Channel, parcels: Vec<Parcel>) -> Vec<Verdict> {
    let publish = |parcel: &Parcel| {
        let Parcel { exchange, routing_key, options, properties, body, .. } = parcel;
        let sending = (exchange.clone(), routing_key.clone(), *options, properties.clone(), Arc::clone(body));
        async move {
            let (exchange, routing_key, options, properties, body) = sending;
            channel.basic_publish(exchange, routing_key, options, &body, properties).await?.await
        }
    };
    let mut under_way: Vec<Pin<Box<MaybeDone<_>>>> = Vec::with_capacity(parcels.len());
    for parcel in &parcels {
        let mut sending = Box::pin(maybe_done(publish(parcel)));
        let _ = futures::poll!(&mut sending);
        under_way.push(sending);
    }
    let mut returned = HashSet::new();
    let mut verdicts = Vec::with_capacity(parcels.len());
    for mut sent in under_way {
        sent.as_mut().await;
        let confirmation = sent.as_mut().take_output();
        let (verdict, message) = match confirmation {
            Some(Ok(Confirmation::Ack(message))) => (Verdict::Taken, message),
            Some(Ok(Confirmation::Nack(message))) => (Verdict::Refused, message),
            Some(Ok(Confirmation::NotRequested) | Err(_)) | None => (Verdict::Lost, None),
        };
        verdicts.push(verdict);
        returned.extend(message.as_ref().map(identity));
    }
    if !returned.is_empty() {
        for (parcel, verdict) in parcels.iter().zip(&mut verdicts) {
            if parcel.options.mandatory && *verdict == Verdict::Taken && returned.contains(&parcel.identity) {
                *verdict = Verdict::Returned;
            }
        }
    }
    verdicts
}

fn identity(message: &BasicReturnMessage) -> (String, String) {
    let id = message.properties.message_id().as_ref().map_or("", ShortString::as_str);
    (message.routing_key.to_string(), id.to_owned())
}
