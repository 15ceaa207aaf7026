//! The backend for several processes: RabbitMQ with quorum queues, publisher confirms and manual acknowledgements.
//!
//! What it promises beyond the traits:
//! - A broker that is down, at the start or later, is waited for. Publishing fails at its deadline, consumers wait.
//! - A delivery whose connection is gone cannot be settled any more: settling it is an error, and the broker delivers
//!   the message again.
//! - Deliveries are counted by the broker. A message that was sent to this process but not yet handed out when its
//!   consumer ended counts as delivered on brokers before 4.3.

mod acks;
mod address;
mod backoff;
mod consumer;
mod dead;
mod declare;
mod desk;
mod ledger;
mod link;
mod publisher;
mod transport;
mod trouble;
mod wire;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use lapin::options::QueueDeclareOptions;
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{address::Address, consumer::QueueConsumer, link::Link, publisher::Clerk};
use crate::metrics::{Health, PublishMetrics, Told};
use crate::{Bus, BusError, Consumer, DeadLetters, Depth, Limits, Publisher, Topology};

/// How long closing waits for the broker.
const CLOSING: Duration = Duration::from_secs(5);

/// How to reach the broker, and the bounds to keep.
#[derive(Clone)]
pub struct RabbitMqConfig {
    /// `amqp://user:password@host:port/vhost`, or `amqps://…` for TLS. No vhost means `/`.
    /// It holds a password, so it is never logged.
    pub url: String,
    /// The bounds. `capacity` counts ready messages, and the broker may exceed it by what is under way. `capacity` and
    /// `max_deliveries` are arguments of the queues: those of a queue that exists already stay as they are.
    pub limits: Limits,
    /// A broker from which nothing was heard for twice as long is given up, and connected to anew. At least a second.
    pub heartbeat: Duration,
    /// What the broker's operators see this process as.
    pub connection_name: String,
}

impl fmt::Debug for RabbitMqConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitMqConfig")
            .field("limits", &self.limits)
            .field("heartbeat", &self.heartbeat)
            .field("connection_name", &self.connection_name)
            .finish_non_exhaustive()
    }
}

/// The bus over one broker. Clones are the same bus. Dropped without being closed, it lets go of the broker at once,
/// and what was in hand is delivered again.
#[derive(Clone)]
pub struct RabbitMq {
    shared: Arc<Shared>,
}

/// Publishing and consuming have a connection each: a broker that is short of memory blocks those that publish, and
/// consumers have to go on settling then.
struct Shared {
    topology: Arc<Topology>,
    limits: Limits,
    starter: link::Starter,
    publishing: Link,
    consuming: OnceLock<Link>,
    clerk: Clerk,
    /// How many deliveries of each queue are in this process's hands.
    held: BTreeMap<String, Arc<AtomicUsize>>,
    /// No more publishing and consuming.
    closed: CancellationToken,
    /// No more anything.
    stop: CancellationToken,
    tasks: Tasks,
    told: Told,
}

/// Who is at work.
#[derive(Clone, Default)]
struct Tasks {
    /// Those that settle deliveries: they end with the last one in hand.
    settling: TaskTracker,
    /// Those among them that may still be sent messages.
    receiving: TaskTracker,
    /// Connections, and the publisher.
    others: TaskTracker,
}

impl RabbitMq {
    /// Starts connecting, and comes back at once. The queues of this topology are declared whenever there is a new
    /// connection. Has to be called within a tokio runtime.
    ///
    /// # Errors
    /// [`BusError::Address`] when the URL cannot be used. A broker that does not answer is no error.
    pub fn start(config: RabbitMqConfig, topology: Topology) -> Result<RabbitMq, BusError> {
        let address = Address::parse(&config.url)?;
        let topology = Arc::new(topology);
        let (closed, stop) = (CancellationToken::new(), CancellationToken::new());
        let tasks = Tasks::default();
        let starter = link::Starter {
            address,
            heartbeat: config.heartbeat,
            connection_name: config.connection_name,
            topology: Arc::clone(&topology),
            limits: config.limits,
            stop: stop.clone(),
            tasks: tasks.clone(),
            made: Arc::default(),
        };
        let publishing = starter.start("publish");
        let clerk =
            Clerk::start(publishing.clone(), Arc::clone(&topology), config.limits, &stop, &tasks.others);
        let held = topology.queues.keys().map(|name| (name.clone(), Arc::default())).collect();
        let consuming = OnceLock::new();
        let shared = Shared {
            topology,
            limits: config.limits,
            starter,
            publishing,
            consuming,
            clerk,
            held,
            closed,
            stop,
            tasks,
            told: Told::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Whether the broker is connected, with the topology declared.
    pub fn is_connected(&self) -> bool {
        let consuming = self.shared.consuming.get();
        self.shared.publishing.now().is_some() && consuming.is_none_or(|link| link.now().is_some())
    }

    /// Waits until the broker is connected and has the topology, however long it takes.
    pub async fn connected(&self) {
        self.shared.publishing.live().await;
    }
}

#[async_trait]
impl Bus for RabbitMq {
    fn publisher(&self) -> Arc<dyn Publisher> {
        Arc::clone(&self.shared) as _
    }

    async fn consumer(&self, queue: &str) -> Result<Box<dyn Consumer>, BusError> {
        self.shared.held(queue)?;
        Ok(Box::new(QueueConsumer::new(Arc::clone(&self.shared), queue)))
    }

    fn dead_letters(&self) -> Arc<dyn DeadLetters> {
        Arc::clone(&self.shared) as _
    }

    /// `ready` and `dead` are the broker's. `unsettled` is what this process has handed out: other processes' hands
    /// are not seen, nor are messages on the way to a consumer.
    async fn depth(&self, queue: &str) -> Result<Depth, BusError> {
        let held = self.shared.held(queue)?;
        let dead = self.shared.topology.queues.get(queue).map(|spec| spec.dead_letter_queue.as_str());
        let channel = self.shared.channel().await?;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::durable() };
        let count = async |name: &str| {
            let declared =
                channel.queue_declare(wire::short(name)?, passive, lapin::types::FieldTable::default());
            let queue = trouble::within(declared).await?;
            Ok::<_, BusError>(usize::try_from(queue.message_count()).unwrap_or(usize::MAX))
        };
        let ready = count(queue).await?;
        let dead = match dead {
            Some(name) => count(name).await?,
            None => 0,
        };
        Ok(Depth { ready, unsettled: held.load(Ordering::Acquire), dead })
    }

    fn health(&self) -> Health {
        let links = std::iter::once(&self.shared.publishing).chain(self.shared.consuming.get());
        Health {
            connected: self.is_connected(),
            blocked: links.filter_map(Link::now).any(|live| live.is_blocked()),
            connections: self.shared.starter.made.load(Ordering::Relaxed),
            consumers: self.shared.tasks.receiving.len(),
        }
    }

    fn measure(&self, metrics: PublishMetrics) {
        let _ = self.shared.told.set(metrics);
    }

    /// Waits, not for long, until nothing more can come and, when nothing is in hand, until the broker has let go.
    async fn close(&self) {
        let Shared { closed, stop, tasks, .. } = &*self.shared;
        if !closed.is_cancelled() {
            closed.cancel();
            let (tasks, stop) = (tasks.clone(), stop.clone());
            tasks.settling.close();
            tasks.receiving.close();
            // Whoever settles last lets go of the broker.
            self.shared.tasks.others.spawn(async move {
                tokio::select! {
                    () = tasks.settling.wait() => stop.cancel(),
                    () = stop.cancelled() => {}
                }
            });
            self.shared.tasks.others.close();
        }
        let ended = async {
            tasks.receiving.wait().await;
            if self.shared.held.values().all(|held| held.load(Ordering::Acquire) == 0) {
                tasks.others.wait().await;
            }
        };
        if timeout(CLOSING, ended).await.is_err() {
            tracing::warn!("the broker did not let go in time");
        }
    }
}

impl Shared {
    fn held(&self, queue: &str) -> Result<&Arc<AtomicUsize>, BusError> {
        self.held.get(queue).ok_or_else(|| BusError::UnknownQueue(queue.to_owned()))
    }

    /// The connection of consumers, which is made when somebody first wants it.
    fn consuming(&self) -> &Link {
        self.consuming.get_or_init(|| self.starter.start("consume"))
    }

    /// A channel of its own on the connection of consumers, for one piece of work.
    async fn channel(&self) -> Result<lapin::Channel, BusError> {
        let live = timeout(self.limits.publish_deadline, self.consuming().live()).await;
        live.map_err(|_| trouble::Trouble::NotConnected)?.channel().await
    }

    async fn unless_closed<T>(&self, work: impl Future<Output = T>) -> Result<T, BusError> {
        self.closed.run_until_cancelled(work).await.ok_or(BusError::Closed)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.closed.cancel();
        self.stop.cancel();
    }
}
