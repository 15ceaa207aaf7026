//! A process of the server mode without HTTP: relay, projector and dispatcher on connections of its own.
use std::sync::Arc;
use std::time::Duration;

use deed_api::relay::{Relay, RelayMetrics, run_relay};
use deed_bus::{Bus, Limits, RabbitMq, RabbitMqConfig, Topology};
use deed_claims::Clock;
use deed_projector::{
    DispatcherConfig, DispatcherMetrics, DispatcherPorts, IfHeld, Projector, ProjectorMetrics, RebuildConfig,
    rebuild, rebuild_channel, run_dispatcher, run_projector,
};
use deed_store::{Checkpoints, EventStore, SubscriptionConfig, SystemClock};
use deed_store_postgres::{PostgresConfig, PostgresStore, migrate};
use prometheus::Registry;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{LEASE, topology};

/// The timeout of every wait.
pub const TIMEOUT: Duration = Duration::from_mins(2);

/// The URLs of database and broker.
pub struct Backends {
    pub database: String,
    pub broker: String,
}

pub struct Process {
    tasks: JoinSet<()>,
    bus: RabbitMq,
    store: PostgresStore,
    stop: CancellationToken,
}

impl Process {
    /// Aborts all tasks; its leases expire by themselves.
    pub fn kill(mut self) {
        self.tasks.abort_all();
    }

    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.join_all().await;
        self.bus.close().await;
        self.store.close().await;
    }
}

fn projector(store: &PostgresStore) -> Projector {
    let metrics = ProjectorMetrics::register(&Registry::new()).unwrap();
    // Due work is due at once.
    Projector::new(Arc::new(store.clone()), Duration::ZERO, metrics)
}

impl Backends {
    pub async fn migrated(&self) -> PostgresStore {
        migrate(&PostgresConfig::new(self.database.clone())).await.unwrap();
        self.store().await
    }

    async fn store(&self) -> PostgresStore {
        PostgresStore::connect(PostgresConfig::new(self.database.clone())).await.unwrap()
    }

    pub async fn bus(&self, topology: Topology) -> RabbitMq {
        let config = RabbitMqConfig {
            url: self.broker.clone(),
            limits: Limits { publish_deadline: Duration::from_secs(30), ..Limits::default() },
            heartbeat: Duration::from_secs(10),
            connection_name: "leaders".to_owned(),
        };
        let bus = RabbitMq::start(config, topology).unwrap();
        bus.connected().await;
        bus
    }

    pub async fn process(&self, number: u64) -> Process {
        let (store, bus) = (self.store().await, self.bus(topology()).await);
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        let owner = format!("process {number}");
        let subscription = SubscriptionConfig {
            owner: owner.clone(),
            // Small batches, so that a kill always interrupts work.
            batch: 7,
            lease_ttl: LEASE,
            poll: Duration::from_millis(50),
            backoff_max: Duration::from_millis(200),
        };
        let log: Arc<dyn EventStore> = Arc::new(store.clone());
        let checkpoints: Arc<dyn Checkpoints> = Arc::new(store.clone());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);

        let metrics = RelayMetrics::register(&Registry::new()).unwrap();
        let relay = Relay::new(bus.publisher(), "/test".to_owned(), Arc::new(SystemClock), metrics);
        let (ports, config, ended) =
            ((log.clone(), checkpoints.clone(), clock.clone()), subscription.clone(), stop.clone());
        tasks.spawn(async move {
            run_relay(ports.0, ports.1, ports.2, relay, &config, ended).await.unwrap();
        });

        let (ports, ended, projector) =
            ((log.clone(), checkpoints.clone(), clock.clone()), stop.clone(), projector(&store));
        tasks.spawn(async move {
            let (_rebuilder, requests) = rebuild_channel();
            run_projector(ports.0, ports.1, ports.2, projector, requests, &subscription, ended)
                .await
                .unwrap();
        });

        let due = Arc::new(store.clone());
        let ports = DispatcherPorts { store: log, checkpoints, due, bus: Arc::new(bus.clone()), clock };
        let config = DispatcherConfig {
            owner,
            limit: 7,
            // Work of a killed leader is published again soon.
            visibility: Duration::from_secs(3),
            poll: Duration::from_millis(50),
            lease_ttl: LEASE,
            backoff_max: Duration::from_millis(200),
            ..DispatcherConfig::default()
        };
        let (metrics, ended) = (DispatcherMetrics::register(&Registry::new()).unwrap(), stop.clone());
        tasks.spawn(async move { run_dispatcher(ports, &config, metrics, ended).await });
        Process { tasks, bus, store, stop }
    }

    /// Rebuilds the read models, with another batch size.
    pub async fn rebuild(&self, store: &PostgresStore) {
        let config = RebuildConfig {
            owner: "rebuild".to_owned(),
            batch: 1_000,
            lease_ttl: LEASE,
            if_held: IfHeld::Wait,
        };
        let (checkpoints, clock): (Arc<dyn Checkpoints>, Arc<dyn Clock>) =
            (Arc::new(store.clone()), Arc::new(SystemClock));
        let stop = CancellationToken::new();
        rebuild(store, &checkpoints, &clock, &mut projector(store), &config, &stop).await.unwrap();
    }
}
