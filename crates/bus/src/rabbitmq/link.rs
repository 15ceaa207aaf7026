//! One connection that is kept up: made, watched, and made again when it is lost.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::StreamExt;
use lapin::{Channel, Connection, Event};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    CLOSING, Tasks,
    address::Address,
    backoff::Backoff,
    declare::declare,
    transport::{Socket, connect},
    trouble::{Trouble, within},
};
use crate::{BusError, Limits, Topology};

/// How often a connection is looked at, beside being told of what happens to it.
const LOOK: Duration = Duration::from_secs(1);

/// A connection that lived this long was no flash in the pan.
const STEADY: Duration = Duration::from_secs(1);

/// A connection that works, as far as anybody knows.
pub(super) struct Live {
    connection: Connection,
    blocked: watch::Sender<bool>,
    condemned: CancellationToken,
    gone: CancellationToken,
}

impl Live {
    /// A new channel.
    pub async fn channel(&self) -> Result<Channel, BusError> {
        let opened = within(self.connection.create_channel()).await;
        if let Err(BusError::Unavailable(_)) = &opened
            && self.is_up()
            && !self.is_blocked()
        {
            // A connection that gives no channels is of no use.
            self.condemn();
        }
        opened
    }

    pub fn is_up(&self) -> bool {
        self.connection.status().connected() && !self.condemned.is_cancelled()
    }

    /// Gives the connection up: it is replaced.
    pub fn condemn(&self) {
        self.condemned.cancel();
    }

    /// Waits until it is lost.
    pub async fn gone(&self) {
        self.gone.cancelled().await;
    }

    pub fn is_blocked(&self) -> bool {
        *self.blocked.borrow()
    }

    /// Waits while the broker takes no messages.
    pub async fn unblocked(&self) {
        // The sender lives as long as this value, so waiting does not fail.
        let _ = self.blocked.subscribe().wait_for(|blocked| !blocked).await;
    }
}

/// The connection that is kept up, for as many as want it.
#[derive(Clone)]
pub(super) struct Link {
    live: watch::Receiver<Option<Arc<Live>>>,
}

impl Link {
    /// The connection, if there is one now.
    pub fn now(&self) -> Option<Arc<Live>> {
        self.live.borrow().clone().filter(|live| live.is_up())
    }

    /// Waits until there is one; for ever, when the bus has been stopped.
    pub async fn live(&self) -> Arc<Live> {
        let mut live = self.live.clone();
        let up = live.wait_for(|live| live.as_ref().is_some_and(|live| live.is_up())).await;
        match up.ok().and_then(|live| live.clone()) {
            Some(live) => live,
            None => std::future::pending().await,
        }
    }
}

/// What every connection of the bus is made with.
pub(super) struct Starter {
    pub address: Address,
    pub heartbeat: Duration,
    pub connection_name: String,
    pub topology: Arc<Topology>,
    pub limits: Limits,
    pub stop: CancellationToken,
    pub tasks: Tasks,
    /// Connections made so far.
    pub made: Arc<AtomicU64>,
}

impl Starter {
    /// Starts to keep a connection up, which is to do this.
    pub fn start(&self, purpose: &'static str) -> Link {
        let (sender, live) = watch::channel(None);
        let keeper = Keeper {
            address: self.address.clone(),
            heartbeat: heartbeat_seconds(self.heartbeat),
            name: format!("{} ({purpose})", self.connection_name),
            purpose,
            topology: Arc::clone(&self.topology),
            limits: self.limits,
            stop: self.stop.clone(),
            tasks: self.tasks.clone(),
            made: Arc::clone(&self.made),
            live: sender,
            complained: None,
        };
        self.tasks.others.spawn(keeper.keep());
        Link { live }
    }
}

/// The library gives a silent broker up after two intervals, and looks twice in each: four fifths of what was asked for
/// keep it within two of those.
fn heartbeat_seconds(asked: Duration) -> u16 {
    u16::try_from((asked * 4 / 5).as_secs().max(1)).unwrap_or(u16::MAX)
}

struct Keeper {
    address: Address,
    heartbeat: u16,
    name: String,
    purpose: &'static str,
    topology: Arc<Topology>,
    limits: Limits,
    stop: CancellationToken,
    tasks: Tasks,
    made: Arc<AtomicU64>,
    live: watch::Sender<Option<Arc<Live>>>,
    /// What was last complained of: one line for each trouble, not for each attempt.
    complained: Option<String>,
}

impl Keeper {
    async fn keep(mut self) {
        let mut backoff = Backoff::default();
        let stop = self.stop.clone();
        while let Some(established) = stop.run_until_cancelled(self.establish()).await {
            match established {
                Ok((live, socket)) => {
                    let since = Instant::now();
                    self.watch_over(live, &socket).await;
                    if stop.is_cancelled() {
                        break;
                    }
                    tracing::warn!(broker = %self.address, purpose = self.purpose, "the connection to the broker is lost");
                    if since.elapsed() >= STEADY {
                        backoff.reset();
                    }
                }
                Err(error) => self.complain(&error),
            }
            if stop.run_until_cancelled(sleep(backoff.next())).await.is_none() {
                break;
            }
        }
    }

    fn complain(&mut self, error: &BusError) {
        let source = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
        let again = self.complained.as_ref() == Some(&source);
        if again {
            tracing::debug!(broker = %self.address, purpose = self.purpose, error = ?source, "still no broker");
        } else {
            tracing::error!(broker = %self.address, purpose = self.purpose, error = ?source, "the broker cannot be used; trying again");
            self.complained = Some(source);
        }
    }

    async fn establish(&mut self) -> Result<(Arc<Live>, Socket), BusError> {
        let (connection, socket) = connect(&self.address, self.heartbeat, &self.name).await?;
        let live = Live {
            blocked: watch::Sender::new(connection.status().blocked()),
            connection,
            condemned: CancellationToken::new(),
            gone: CancellationToken::new(),
        };
        if let Err(error) = declare(&live, &self.topology, &self.limits).await {
            let _ = timeout(LOOK, live.connection.close(200, "OK".into())).await;
            socket.cut();
            return Err(error);
        }
        Ok((Arc::new(live), socket))
    }

    /// Comes back when the connection is of no more use.
    async fn watch_over(&mut self, live: Arc<Live>, socket: &Socket) {
        let mut events = Box::pin(live.connection.events_listener());
        tracing::info!(broker = %self.address, purpose = self.purpose, "connected to the broker");
        self.complained = None;
        self.made.fetch_add(1, Ordering::Relaxed);
        self.live.send_replace(Some(Arc::clone(&live)));
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while live.is_up() && !self.stop.is_cancelled() {
            tokio::select! {
                event = events.next() => match event {
                    Some(Event::ConnectionBlocked(reason)) => {
                        tracing::warn!(broker = %self.address, ?reason, "the broker takes no messages for now");
                        live.blocked.send_replace(true);
                    }
                    Some(Event::ConnectionUnblocked) => {
                        tracing::info!(broker = %self.address, "the broker takes messages again");
                        live.blocked.send_replace(false);
                    }
                    _ => {}
                },
                _ = look.tick() => {}
                () = live.condemned.cancelled() => {}
                () = self.stop.cancelled() => {}
            }
        }
        if self.stop.is_cancelled() {
            // Those that settle have their last word first.
            self.tasks.settling.close();
            let _ = timeout(CLOSING, self.tasks.settling.wait()).await;
            let _ = timeout(LOOK, live.connection.close(200, "OK".into())).await;
        }
        self.live.send_replace(None);
        live.gone.cancel();
        socket.cut();
    }
}

impl Live {
    /// For whom a connection that is blocked is as good as none.
    pub fn refusal(&self) -> Trouble {
        if self.is_blocked() { Trouble::Blocked } else { Trouble::Silent }
    }
}
