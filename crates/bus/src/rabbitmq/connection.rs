//! Keeps one connection to the broker established: connects, watches, and connects again when it is lost.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use backon::BackoffBuilder;
use futures::StreamExt;
use lapin::{Channel, Event};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    BusTasks, CLOSE_TIMEOUT, RETRY,
    address::Address,
    broker_error::{BrokerError, within_deadline},
    declare::declare,
    transport::{SocketHandle, connect},
};
use crate::{BusError, Limits, Topology};

/// How often the status of a connection is polled, beside the events that it reports.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How long a connection may take to close.
const CONNECTION_CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection that lived this long resets the backoff.
const STABLE_AFTER: Duration = Duration::from_secs(1);

/// An established connection, with the topology declared.
pub(super) struct Connection {
    amqp: lapin::Connection,
    blocked: watch::Sender<bool>,
    broken: CancellationToken,
    lost: CancellationToken,
}

impl Connection {
    /// Opens a channel.
    pub async fn channel(&self) -> Result<Channel, BusError> {
        let opened = within_deadline(self.amqp.create_channel()).await;
        if let Err(BusError::Unavailable(_)) = &opened
            && self.is_up()
            && !self.is_blocked()
        {
            // A connection that opens no channels is of no use.
            self.mark_broken();
        }
        opened
    }

    pub fn is_up(&self) -> bool {
        self.amqp.status().connected() && !self.broken.is_cancelled()
    }

    /// Has the supervisor replace this connection.
    pub fn mark_broken(&self) {
        self.broken.cancel();
    }

    /// Waits until the connection is lost.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    pub fn is_blocked(&self) -> bool {
        *self.blocked.borrow()
    }

    /// Waits until the broker takes messages again, or the connection is lost.
    pub async fn unblocked_or_lost(&self) {
        let mut blocked = self.blocked.subscribe();
        tokio::select! {
            // The sender lives as long as this value, so waiting does not fail.
            _ = blocked.wait_for(|blocked| !blocked) => {}
            () = self.lost() => {}
        }
    }

    /// Why the broker did not confirm in time.
    pub fn timeout_error(&self) -> BrokerError {
        if self.is_blocked() { BrokerError::Blocked } else { BrokerError::Timeout }
    }
}

/// Access to a supervised connection. Clones share it.
#[derive(Clone)]
pub(super) struct ConnectionHandle {
    current: watch::Receiver<Option<Arc<Connection>>>,
}

impl ConnectionHandle {
    /// The connection, if it is established now.
    pub fn current(&self) -> Option<Arc<Connection>> {
        self.current.borrow().clone().filter(|connection| connection.is_up())
    }

    /// Waits until the connection is established; for ever when the bus has been stopped.
    pub async fn established(&self) -> Arc<Connection> {
        let mut current = self.current.clone();
        let is_up = |connection: &Option<Arc<Connection>>| connection.as_ref().is_some_and(|one| one.is_up());
        let established = current.wait_for(is_up).await;
        match established.ok().and_then(|connection| connection.clone()) {
            Some(connection) => connection,
            None => std::future::pending().await,
        }
    }
}

/// What every connection of the bus has in common.
pub(super) struct ConnectOptions {
    pub address: Address,
    pub heartbeat: Duration,
    pub connection_name: String,
    pub topology: Arc<Topology>,
    pub limits: Limits,
    pub stop: CancellationToken,
    pub tasks: BusTasks,
    /// Connections established so far.
    pub established: Arc<AtomicU64>,
}

impl ConnectOptions {
    /// Starts to supervise a connection. The purpose becomes part of its name.
    pub fn start(&self, purpose: &'static str) -> ConnectionHandle {
        let (sender, current) = watch::channel(None);
        let supervisor = ConnectionSupervisor {
            address: self.address.clone(),
            heartbeat: heartbeat_seconds(self.heartbeat),
            name: format!("{} ({purpose})", self.connection_name),
            purpose,
            topology: Arc::clone(&self.topology),
            limits: self.limits,
            stop: self.stop.clone(),
            tasks: self.tasks.clone(),
            established: Arc::clone(&self.established),
            current: sender,
            last_error: None,
        };
        self.tasks.others.spawn(supervisor.run());
        ConnectionHandle { current }
    }
}

/// The library gives up a silent broker after two intervals and checks twice in each interval: four fifths of the
/// configured interval keep that within two of those configured.
fn heartbeat_seconds(configured: Duration) -> u16 {
    u16::try_from((configured * 4 / 5).as_secs().max(1)).unwrap_or(u16::MAX)
}

struct ConnectionSupervisor {
    address: Address,
    heartbeat: u16,
    name: String,
    purpose: &'static str,
    topology: Arc<Topology>,
    limits: Limits,
    stop: CancellationToken,
    tasks: BusTasks,
    established: Arc<AtomicU64>,
    current: watch::Sender<Option<Arc<Connection>>>,
    /// The last error that was logged: each cause is logged once, not at each attempt.
    last_error: Option<String>,
}

impl ConnectionSupervisor {
    async fn run(mut self) {
        let mut pauses = RETRY.build();
        let stop = self.stop.clone();
        while let Some(established) = stop.run_until_cancelled(self.establish()).await {
            match established {
                Ok((connection, socket)) => {
                    let since = Instant::now();
                    self.supervise(connection, &socket).await;
                    if stop.is_cancelled() {
                        break;
                    }
                    tracing::warn!(broker = %self.address, purpose = self.purpose, "the connection to the broker is lost");
                    if since.elapsed() >= STABLE_AFTER {
                        pauses = RETRY.build();
                    }
                }
                Err(error) => self.log_error(&error),
            }
            if stop.run_until_cancelled(sleep(pauses.next().unwrap_or_default())).await.is_none() {
                break;
            }
        }
    }

    fn log_error(&mut self, error: &BusError) {
        let source = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
        if self.last_error.as_ref() == Some(&source) {
            tracing::debug!(broker = %self.address, purpose = self.purpose, error = ?source, "still no broker");
        } else {
            tracing::error!(broker = %self.address, purpose = self.purpose, error = ?source, "the broker cannot be used; trying again");
            self.last_error = Some(source);
        }
    }

    async fn establish(&mut self) -> Result<(Arc<Connection>, SocketHandle), BusError> {
        let (amqp, socket) = connect(&self.address, self.heartbeat, &self.name).await?;
        let connection = Connection {
            blocked: watch::Sender::new(amqp.status().blocked()),
            amqp,
            broken: CancellationToken::new(),
            lost: CancellationToken::new(),
        };
        if let Err(error) = declare(&connection, &self.topology, &self.limits).await {
            let closing = connection.amqp.close(200, "OK".into());
            let _ = timeout(CONNECTION_CLOSE_TIMEOUT, closing).await;
            socket.shut_down();
            return Err(error);
        }
        Ok((Arc::new(connection), socket))
    }

    /// Publishes the connection to its users, and returns when it is lost, broken or no longer needed.
    async fn supervise(&mut self, connection: Arc<Connection>, socket: &SocketHandle) {
        let mut events = Box::pin(connection.amqp.events_listener());
        tracing::info!(broker = %self.address, purpose = self.purpose, "connected to the broker");
        self.last_error = None;
        self.established.fetch_add(1, Ordering::Relaxed);
        self.current.send_replace(Some(Arc::clone(&connection)));
        let mut poll = interval(POLL_INTERVAL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while connection.is_up() && !self.stop.is_cancelled() {
            tokio::select! {
                event = events.next() => self.on_event(&connection, event),
                _ = poll.tick() => {}
                () = connection.broken.cancelled() => {}
                () = self.stop.cancelled() => {}
            }
        }
        if self.stop.is_cancelled() {
            // The last acknowledgements are written before the connection closes.
            self.tasks.settling.close();
            let _ = timeout(CLOSE_TIMEOUT, self.tasks.settling.wait()).await;
            let closing = connection.amqp.close(200, "OK".into());
            let _ = timeout(CONNECTION_CLOSE_TIMEOUT, closing).await;
        }
        self.current.send_replace(None);
        connection.lost.cancel();
        socket.shut_down();
    }

    fn on_event(&self, connection: &Connection, event: Option<Event>) {
        match event {
            Some(Event::ConnectionBlocked(reason)) => {
                tracing::warn!(broker = %self.address, ?reason, "the broker takes no messages for now");
                connection.blocked.send_replace(true);
            }
            Some(Event::ConnectionUnblocked) => {
                tracing::info!(broker = %self.address, "the broker takes messages again");
                connection.blocked.send_replace(false);
            }
            _ => {}
        }
    }
}
