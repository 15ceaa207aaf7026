//! Builds the parts of the service from the settings and wires their ports.
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use deed_api::ops::OpsParts;
use deed_api::relay::{Relay, RelayMetrics, run_relay};
use deed_api::{ApiConfig, AppState, AppStateParts, Health, Readiness, ReadyMetric};
use deed_bus::Bus;
use deed_bus::metrics::QueueMetrics;
use deed_claims::Clock;
use deed_probe::{Probe, Prober};
use deed_projector::{
    DispatcherConfig, DispatcherMetrics, DispatcherPorts, Projector, ProjectorMetrics, rebuild_channel,
    run_dispatcher, run_projector,
};
use deed_store::{OsEntropy, SubscriptionConfig, SystemClock};
use deed_verifier::{Verifier, VerifierConfig, VerifierMetrics, run_verifier};
use prometheus::Registry;
use tokio_util::sync::CancellationToken;

use crate::config::{Role, Settings};
use crate::error::ServiceError;
use crate::process::Process;
use crate::store::Store;
use crate::tasks::{TaskError, Tasks};
use crate::{bus, purge, telemetry};

/// Time beyond the budget of a check after which a lookup is aborted.
const LOOK_DEADLINE_MARGIN: Duration = Duration::from_secs(10);

/// The shared dependencies of the parts.
pub(crate) struct Parts {
    pub(crate) settings: Settings,
    pub(crate) store: Store,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) readiness: Readiness,
    clock: Arc<dyn Clock>,
    registry: Registry,
    owner: String,
}

/// The parts that readiness of a process with this role depends on.
fn parts_of(role: Role) -> &'static [&'static str] {
    match role {
        Role::Api => &["api", "relay"],
        Role::Projector => &["projector", "dispatcher"],
        Role::Verifier => &["verifier"],
    }
}

impl Parts {
    pub(crate) fn new(settings: Settings, store: Store, process: &Process) -> Result<Self, ServiceError> {
        let owner = process.name.clone();
        let registry = telemetry::registry()?;
        process.span_counts()?.register(&registry)?;
        let parts = Self {
            bus: bus::open(&settings, &owner)?,
            readiness: Readiness::awaiting(
                settings.config.server.roles.iter().flat_map(|role| parts_of(*role).iter().copied()),
            ),
            clock: Arc::new(SystemClock),
            registry,
            owner,
            settings,
            store,
        };
        parts.register()?;
        Ok(parts)
    }

    /// Registers the metrics of every process, and those of processes that append.
    fn register(&self) -> Result<(), prometheus::Error> {
        deed_bus::metrics::register(&self.registry, &self.bus)?;
        self.store.register_connections(&self.registry)?;
        if self.has(Role::Api) || self.has(Role::Verifier) {
            self.store.register_appends(&self.registry)?;
        }
        Ok(())
    }

    pub(crate) fn api_config(&self) -> ApiConfig {
        let server = &self.settings.config.server;
        let processors = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        ApiConfig {
            listen: server.listen,
            workers: server.workers.map_or_else(processors, NonZeroUsize::get),
            drain: server.shutdown_deadline / 3,
        }
    }

    pub(crate) fn app_state(
        &self,
        leaving: CancellationToken,
        stop: CancellationToken,
    ) -> Result<Arc<AppState>, ServiceError> {
        let config = &self.settings.config;
        Ok(Arc::new(AppState::new(AppStateParts {
            store: self.store.log.clone(),
            read_models: self.store.read_models.clone(),
            checkpoints: self.store.checkpoints.clone(),
            keys: self.store.keys.clone(),
            idempotency: self.store.idempotency.clone(),
            clock: self.clock.clone(),
            entropy: Arc::new(OsEntropy),
            names: config.names.clone(),
            policy: config.policy.clone(),
            templates: self.settings.templates.clone(),
            cname_base: config.cname_base.as_str().into(),
            default_region: config.default_region.as_str().into(),
            caps: config.limits.clone(),
            metrics: deed_api::http_metrics(&self.registry)?,
            leaving,
            stop,
        })))
    }

    pub(crate) fn ops(&self) -> Result<OpsParts, ServiceError> {
        Ok(OpsParts {
            health: Health {
                store: self.store.log.clone(),
                readiness: self.readiness.clone(),
                registry: self.registry.clone(),
                ready: ReadyMetric::register(&self.registry)?,
            },
            dead_letters: self.bus.dead_letters(),
        })
    }

    /// Whether this process has a role.
    pub(crate) fn has(&self, role: Role) -> bool {
        self.settings.config.server.roles.contains(&role)
    }

    /// Starts the parts of the roles of this process, except the HTTP interface.
    pub(crate) fn start_roles(
        &self,
        tasks: &mut Tasks,
        stop: &CancellationToken,
    ) -> Result<(), ServiceError> {
        if self.has(Role::Projector) {
            self.start_projector(tasks, stop.clone())?;
        }
        if self.has(Role::Verifier) {
            self.start_verifier(tasks, stop.clone())?;
        }
        if self.has(Role::Api) {
            self.start_relay(tasks, stop.clone())?;
            let purging = purge::run(self.store.idempotency.clone(), self.clock.clone(), stop.clone());
            tasks.spawn("purge", purging);
        }
        if self.has(Role::Projector) {
            self.start_dispatcher(tasks, stop.clone())?;
        }
        Ok(())
    }

    fn subscription(&self) -> SubscriptionConfig {
        SubscriptionConfig { owner: self.owner.clone(), ..self.settings.config.subscriptions.clone() }
    }

    fn start_projector(&self, tasks: &mut Tasks, stop: CancellationToken) -> Result<(), ServiceError> {
        let own = ProjectorMetrics::register(&self.registry)?;
        let visibility = self.settings.config.dispatcher.visibility;
        let projector = Projector::new(self.store.read_models.clone(), visibility, own);
        let (store, clock, config) = (self.store.clone(), self.clock.clone(), self.subscription());
        tasks.spawn("projector", async move {
            // The command line rebuilds from its own process, so this channel has no sender.
            let (_rebuilder, requests) = rebuild_channel();
            run_projector(store.log, store.checkpoints, clock, projector, requests, &config, stop).await
        });
        self.readiness.ready("projector");
        Ok(())
    }

    fn start_relay(&self, tasks: &mut Tasks, stop: CancellationToken) -> Result<(), ServiceError> {
        let own = RelayMetrics::register(&self.registry)?;
        let relay = Relay::new(
            self.bus.publisher(),
            self.settings.config.dispatcher.source.clone(),
            self.clock.clone(),
            own,
        );
        let (store, clock, config) = (self.store.clone(), self.clock.clone(), self.subscription());
        tasks.spawn("relay", async move {
            run_relay(store.log, store.checkpoints, clock, relay, &config, stop).await
        });
        self.readiness.ready("relay");
        Ok(())
    }

    fn start_dispatcher(&self, tasks: &mut Tasks, stop: CancellationToken) -> Result<(), ServiceError> {
        let own = DispatcherMetrics::register(&self.registry)?;
        let leases = &self.settings.config.subscriptions;
        let config = DispatcherConfig {
            owner: self.owner.clone(),
            lease_ttl: leases.lease_ttl,
            backoff_max: leases.backoff_max,
            ..self.settings.config.dispatcher.clone()
        };
        let ports = DispatcherPorts {
            store: self.store.log.clone(),
            checkpoints: self.store.checkpoints.clone(),
            due: self.store.due.clone(),
            bus: self.bus.clone(),
            clock: self.clock.clone(),
        };
        let (queue, bus) = (QueueMetrics::register(&self.registry)?, self.bus.clone());
        let stopping = stop.clone();
        tasks.spawn("look at the queue", async move {
            // It runs until it is cancelled.
            let _ = stopping.run_until_cancelled(queue.watch(&*bus)).await;
            Ok::<_, TaskError>(())
        });
        tasks.spawn("dispatcher", async move {
            run_dispatcher(ports, &config, own, stop).await;
            Ok::<_, TaskError>(())
        });
        self.readiness.ready("dispatcher");
        Ok(())
    }

    fn start_verifier(&self, tasks: &mut Tasks, stop: CancellationToken) -> Result<(), ServiceError> {
        let own = VerifierMetrics::register(&self.registry)?;
        let (settings, config) = (&self.settings, &self.settings.config);
        let config = VerifierConfig {
            policy: config.policy.clone(),
            names: config.names.clone(),
            longest_prefix_len: settings.templates.longest_prefix(),
            vantage: settings.probe.vantage.clone(),
            cname_base: config.cname_base.to_string(),
            probe_deadline: settings.probe.budgets.time + LOOK_DEADLINE_MARGIN,
            // The HTTP interface may have used half of the shutdown deadline before.
            drain: config.server.shutdown_deadline * 2 / 5,
            ..config.verifier.clone()
        };
        let prober = Prober::new(settings.probe.clone())
            .map_err(|error| ServiceError::Setting(format!("the DNS cannot be asked so: {error}")))?;
        prober.measure(&self.registry)?;
        let look: Arc<dyn Probe> = Arc::new(prober);
        let verifier = Verifier::new(self.store.log.clone(), look, self.clock.clone(), config, own);
        let (bus, verifier) = (self.bus.clone(), Arc::new(verifier));
        tasks.spawn("verifier", async move { run_verifier(&*bus, verifier, stop).await });
        self.readiness.ready("verifier");
        Ok(())
    }
}
