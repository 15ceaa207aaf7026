//! The backend for several processes: RabbitMQ with quorum queues, publisher confirms and manual acknowledgements.
//!
//! Guarantees beyond those of the traits:
//! - The bus waits for a broker that is down, at the start or later. Publishing fails at its deadline, consumers wait.
//! - A delivery whose connection is gone cannot be settled: settling it is an error, and the broker delivers the
//!   message again.
//! - The broker counts deliveries. Brokers before 4.3 count a message as delivered that was sent to this process but
//!   not yet handed out when its consumer ended.

mod ack_writer;
mod address;
mod broker_error;
mod connection;
mod consumer;
mod dead_letters;
mod declare;
mod delivery_tracker;
mod publish_queue;
mod publisher;
mod transport;
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
use backon::ExponentialBuilder;
use lapin::options::QueueDeclareOptions;
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    address::Address,
    broker_error::{BrokerError, within_deadline},
    connection::{ConnectOptions, ConnectionHandle},
    consumer::QueueConsumer,
    publisher::PublisherHandle,
    wire::short_string,
};
use crate::metrics::{Health, PublishMetrics, PublishMetricsSlot};
use crate::{Bus, BusError, Consumer, DeadLetters, Depth, Limits, Publisher, Topology};

/// The pauses between attempts to connect or to subscribe: from 50 to 100 ms at first, from 2.5 to 5 s at last. The
/// jitter keeps processes from reconnecting all at once.
const RETRY: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(50))
    .with_max_delay(Duration::from_millis(2_500))
    .without_max_times()
    .with_jitter();

/// How long closing waits for the broker.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How to reach the broker, and the limits to keep.
#[derive(Clone)]
pub struct RabbitMqConfig {
    /// `amqp://user:password@host:port/vhost`, or `amqps://…` for TLS. No vhost means `/`.
    /// It holds a password, so it is never logged.
    pub url: String,
    /// The limits. `capacity` counts ready messages, and the broker may exceed it by the messages in flight. `capacity`
    /// and `max_deliveries` are arguments of the queues: a queue that exists already keeps its own.
    pub limits: Limits,
    /// The heartbeat interval, at least a second. A broker that is silent for twice as long is given up, and connected
    /// to again.
    pub heartbeat: Duration,
    /// The name of the connection that the broker's operators see.
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

/// The bus over one broker. Clones are the same bus. Dropped without being closed, it disconnects at once, and
/// unsettled deliveries are delivered again.
#[derive(Clone)]
pub struct RabbitMq {
    inner: Arc<RabbitMqInner>,
}

/// Publishing and consuming have a connection each: a broker that is short of memory blocks publishing connections,
/// while consumers have to go on settling.
struct RabbitMqInner {
    topology: Arc<Topology>,
    limits: Limits,
    connect_options: ConnectOptions,
    publishing: ConnectionHandle,
    consuming: OnceLock<ConnectionHandle>,
    publisher: PublisherHandle,
    /// How many deliveries of each queue are unsettled in this process.
    unsettled: BTreeMap<String, Arc<AtomicUsize>>,
    /// Cancelled when publishing and consuming end.
    closed: CancellationToken,
    /// Cancelled when all tasks end.
    stop: CancellationToken,
    tasks: BusTasks,
    metrics: PublishMetricsSlot,
}

/// The running tasks of the bus.
#[derive(Clone, Default)]
struct BusTasks {
    /// Tasks that settle deliveries: each ends when its last delivery is settled.
    settling: TaskTracker,
    /// Those of them to which the broker may still send messages.
    receiving: TaskTracker,
    /// Connection supervisors, and the publisher.
    others: TaskTracker,
}

impl RabbitMq {
    /// Starts to connect, and returns at once. Every new connection declares the queues of this topology. Has to be
    /// called within a tokio runtime.
    ///
    /// # Errors
    /// [`BusError::Address`] when the URL cannot be used. An unreachable broker is not an error.
    pub fn start(config: RabbitMqConfig, topology: Topology) -> Result<RabbitMq, BusError> {
        let address = Address::parse(&config.url)?;
        let topology = Arc::new(topology);
        let (closed, stop) = (CancellationToken::new(), CancellationToken::new());
        let tasks = BusTasks::default();
        let connect_options = ConnectOptions {
            address,
            heartbeat: config.heartbeat,
            connection_name: config.connection_name,
            topology: Arc::clone(&topology),
            limits: config.limits,
            stop: stop.clone(),
            tasks: tasks.clone(),
            established: Arc::default(),
        };
        let publishing = connect_options.start("publish");
        let publisher = PublisherHandle::start(
            publishing.clone(),
            Arc::clone(&topology),
            config.limits,
            &stop,
            &tasks.others,
        );
        let unsettled = topology.queues.keys().map(|name| (name.clone(), Arc::default())).collect();
        let consuming = OnceLock::new();
        let inner = RabbitMqInner {
            topology,
            limits: config.limits,
            connect_options,
            publishing,
            consuming,
            publisher,
            unsettled,
            closed,
            stop,
            tasks,
            metrics: PublishMetricsSlot::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Whether the broker is connected, with the topology declared.
    pub fn is_connected(&self) -> bool {
        let consuming = self.inner.consuming.get();
        self.inner.publishing.current().is_some()
            && consuming.is_none_or(|connection| connection.current().is_some())
    }

    /// Waits until the broker is connected and has the topology, however long it takes.
    pub async fn connected(&self) {
        self.inner.publishing.established().await;
    }
}

#[async_trait]
impl Bus for RabbitMq {
    fn topology(&self) -> &Topology {
        &self.inner.topology
    }

    fn publisher(&self) -> Arc<dyn Publisher> {
        Arc::clone(&self.inner) as _
    }

    async fn consumer(&self, queue: &str) -> Result<Box<dyn Consumer>, BusError> {
        self.inner.unsettled(queue)?;
        Ok(Box::new(QueueConsumer::new(Arc::clone(&self.inner), queue)))
    }

    fn dead_letters(&self) -> Arc<dyn DeadLetters> {
        Arc::clone(&self.inner) as _
    }

    /// `ready` and `dead` come from the broker. `unsettled` counts the deliveries of this process only, without
    /// messages on the way to a consumer.
    async fn depth(&self, queue: &str) -> Result<Depth, BusError> {
        let unsettled = self.inner.unsettled(queue)?;
        let dead = self.inner.topology.queues.get(queue).map(|spec| spec.dead_letter_queue.as_str());
        let channel = self.inner.channel().await?;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::durable() };
        let count = async |name: &str| {
            let declared =
                channel.queue_declare(short_string(name)?, passive, lapin::types::FieldTable::default());
            let queue = within_deadline(declared).await?;
            Ok::<_, BusError>(usize::try_from(queue.message_count()).unwrap_or(usize::MAX))
        };
        let ready = count(queue).await?;
        let dead = match dead {
            Some(name) => count(name).await?,
            None => 0,
        };
        Ok(Depth { ready, unsettled: unsettled.load(Ordering::Acquire), dead })
    }

    fn health(&self) -> Health {
        let connections = std::iter::once(&self.inner.publishing).chain(self.inner.consuming.get());
        Health {
            connected: self.is_connected(),
            blocked: connections
                .filter_map(ConnectionHandle::current)
                .any(|connection| connection.is_blocked()),
            connections: self.inner.connect_options.established.load(Ordering::Relaxed),
            consumers: self.inner.tasks.receiving.len(),
        }
    }

    fn measure(&self, metrics: PublishMetrics) {
        let _ = self.inner.metrics.set(metrics);
    }

    /// Waits, at most `CLOSE_TIMEOUT`, until no more messages can arrive, and until the connections are closed if no
    /// delivery is unsettled.
    async fn close(&self) {
        let RabbitMqInner { closed, stop, tasks, .. } = &*self.inner;
        if !closed.is_cancelled() {
            closed.cancel();
            let (tasks, stop) = (tasks.clone(), stop.clone());
            tasks.settling.close();
            tasks.receiving.close();
            // The connections close after the last delivery is settled.
            self.inner.tasks.others.spawn(async move {
                tokio::select! {
                    () = tasks.settling.wait() => stop.cancel(),
                    () = stop.cancelled() => {}
                }
            });
            self.inner.tasks.others.close();
        }
        let ended = async {
            tasks.receiving.wait().await;
            if self.inner.unsettled.values().all(|count| count.load(Ordering::Acquire) == 0) {
                tasks.others.wait().await;
            }
        };
        if timeout(CLOSE_TIMEOUT, ended).await.is_err() {
            tracing::warn!("the broker did not let go in time");
        }
    }
}

impl RabbitMqInner {
    fn unsettled(&self, queue: &str) -> Result<&Arc<AtomicUsize>, BusError> {
        self.unsettled.get(queue).ok_or_else(|| BusError::UnknownQueue(queue.to_owned()))
    }

    /// The connection of the consumers, started at first use.
    fn consumer_connection(&self) -> &ConnectionHandle {
        self.consuming.get_or_init(|| self.connect_options.start("consume"))
    }

    /// Opens a channel on the connection of the consumers.
    async fn channel(&self) -> Result<lapin::Channel, BusError> {
        let connection = self.consumer_connection().established();
        let connection = timeout(self.limits.publish_deadline, connection).await;
        connection.map_err(|_| BrokerError::NotConnected)?.channel().await
    }

    async fn unless_closed<T>(&self, work: impl Future<Output = T>) -> Result<T, BusError> {
        self.closed.run_until_cancelled(work).await.ok_or(BusError::Closed)
    }
}

impl Drop for RabbitMqInner {
    fn drop(&mut self) {
        self.closed.cancel();
        self.stop.cancel();
    }
}
