//! The running service: starts its parts in order, supervises them, and stops them in order.
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use deed_api::{Api, OpsConfig, Readiness};
use deed_bus::Bus;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::config::{Role, Settings};
use crate::error::ServiceError;
use crate::parts::Parts;
use crate::process::Process;
use crate::store::Store;
use crate::tasks::{ShutdownOutcome, TaskExit, Tasks, deadline_before};

/// Time reserved within the shutdown deadline for closing the store.
const RESERVE: Duration = Duration::from_secs(1);

/// The reason that `/readyz` reports during shutdown.
const STOPPING: &str = "stopping";

/// Tasks that are stopped together.
#[derive(Default)]
struct TaskGroup {
    tasks: Tasks,
    stop: CancellationToken,
}

/// A started service.
pub struct Service {
    store: Store,
    bus: Arc<dyn Bus>,
    readiness: Readiness,
    /// Telemetry of the process; taken when the last spans are exported.
    process: Option<Process>,
    /// The HTTP interface; stops first.
    http: TaskGroup,
    /// The tasks of the roles; stop second.
    roles: TaskGroup,
    /// The operations port; stops last.
    ops: TaskGroup,
    api_at: Option<SocketAddr>,
    ops_at: SocketAddr,
    /// Cancelled when shutdown begins; the HTTP interface then closes its connections.
    leaving: CancellationToken,
    /// How long requests are accepted after that.
    delay: Duration,
    deadline: Duration,
}

impl Service {
    /// Opens the store and the ports and starts every part.
    ///
    /// # Errors
    /// When one of them cannot start; then none runs.
    pub async fn start(
        settings: Settings,
        process: Process,
        stop: &CancellationToken,
    ) -> Result<Self, ServiceError> {
        let store = Store::open(&settings, stop).await?;
        match Self::start_on(store.clone(), settings, process) {
            Ok(service) => Ok(service),
            Err(failure) => {
                // The start failure matters more than an error of closing.
                let _ = store.close().await;
                Err(failure)
            }
        }
    }

    fn start_on(store: Store, settings: Settings, process: Process) -> Result<Self, ServiceError> {
        let parts = Parts::new(settings, store, &process)?;
        let server = &parts.settings.config.server;
        let (http, roles, ops) = (TaskGroup::default(), TaskGroup::default(), TaskGroup::default());
        let leaving = CancellationToken::new();
        let api = parts.has(Role::Api).then(|| {
            let state = parts.app_state(leaving.clone(), http.stop.child_token())?;
            let api = Api::bind(&parts.api_config(), &state);
            api.map_err(|source| ServiceError::Listen { key: "server.listen", at: server.listen, source })
        });
        let api = api.transpose()?;
        let ops_config = OpsConfig { listen: server.ops_listen };
        let operations = deed_api::ops::bind(&ops_config, parts.ops()?).map_err(|source| {
            ServiceError::Listen { key: "server.ops_listen", at: server.ops_listen, source }
        })?;
        let mut service = Self {
            api_at: api.as_ref().map(|api| api.addresses().first().copied().unwrap_or(server.listen)),
            ops_at: operations.addresses().first().copied().unwrap_or(server.ops_listen),
            leaving,
            delay: if api.is_some() { server.shutdown_delay } else { Duration::ZERO },
            deadline: server.shutdown_deadline,
            store: parts.store.clone(),
            bus: parts.bus.clone(),
            readiness: parts.readiness.clone(),
            process: Some(process),
            http,
            roles,
            ops,
        };
        // A server cancels its token when it ends by itself; the child token keeps that from stopping the
        // others silently.
        let stop = service.ops.stop.child_token();
        service.ops.tasks.spawn("operations port", operations.run(stop));
        parts.start_roles(&mut service.roles.tasks, &service.roles.stop)?;
        if let Some(api) = api {
            let stop = service.http.stop.child_token();
            service.http.tasks.spawn("HTTP interface", api.run(stop));
            parts.readiness.ready("api");
        }
        let roles: Vec<_> = parts.settings.config.server.roles.iter().map(ToString::to_string).collect();
        tracing::info!(
            roles = roles.join(","),
            api = service.api_at.map(|at| at.to_string()),
            ops = %service.ops_at,
            version = env!("CARGO_PKG_VERSION"),
            "deed is running"
        );
        Ok(service)
    }

    /// The address of the HTTP interface, if this process has one.
    pub fn api_at(&self) -> Option<SocketAddr> {
        self.api_at
    }

    /// The address of the operations port.
    pub fn ops_at(&self) -> SocketAddr {
        self.ops_at
    }

    /// The open store, for other users in this process.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Runs until `stop` or until a part fails, then stops everything in order.
    ///
    /// # Errors
    /// When a part failed, or work had to be aborted.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), ServiceError> {
        let exited = tokio::select! {
            () = announce_shutdown(stop, &self.readiness, &self.leaving, self.delay) => None,
            ended = self.http.tasks.next() => Some(ended),
            ended = self.roles.tasks.next() => Some(ended),
            ended = self.ops.tasks.next() => Some(ended),
        };
        match &exited {
            None => tracing::info!("stopping: what is in hand is finished"),
            Some(ended) => log_task_exit(ended),
        }
        let finish = self.end().await;
        match (exited, finish) {
            (Some(TaskExit { name: task, result: Err(source) }), _) => {
                Err(ServiceError::TaskFailed { task, source })
            }
            (Some(ended), _) => Err(ServiceError::TaskEnded(ended.name)),
            (None, ShutdownOutcome::Clean) => {
                tracing::info!("stopped");
                Ok(())
            }
            (None, ShutdownOutcome::Incomplete) => Err(ServiceError::Unfinished),
        }
    }

    /// Order: not ready, stop requests, finish work, release leases, close the store, export spans.
    async fn end(&mut self) -> ShutdownOutcome {
        let deadline = Instant::now() + self.deadline;
        self.readiness.unready("process", STOPPING);
        self.http.stop.cancel();
        let finish = self.http.tasks.finish(deadline_before(deadline, self.deadline / 2)).await;
        self.roles.stop.cancel();
        let finish = finish.and(self.roles.tasks.finish(deadline_before(deadline, RESERVE)).await);
        self.bus.close().await;
        let closed = match timeout_at(deadline, self.store.close()).await {
            Ok(Ok(())) => ShutdownOutcome::Clean,
            Ok(Err(error)) => {
                // No data is lost: SQLite recovers the write-ahead log when the file is opened again.
                tracing::warn!(error = &error as &dyn Error, "the store was not closed cleanly");
                ShutdownOutcome::Clean
            }
            Err(_) => {
                tracing::error!("the store was not closed in time");
                ShutdownOutcome::Incomplete
            }
        };
        if let Some(process) = self.process.take() {
            // All tasks that create spans have ended.
            process.finish(deadline).await;
        }
        self.ops.stop.cancel();
        finish.and(closed).and(self.ops.tasks.finish(deadline + RESERVE).await)
    }
}

/// Waits for `stop`, reports not ready, and goes on serving for `delay`, so that load balancers notice before
/// connections are refused.
async fn announce_shutdown(
    stop: CancellationToken,
    readiness: &Readiness,
    leaving: &CancellationToken,
    delay: Duration,
) {
    stop.cancelled().await;
    readiness.unready("process", STOPPING);
    leaving.cancel();
    if !delay.is_zero() {
        tracing::info!(?delay, "about to stop: not ready any more, requests are still taken");
        tokio::time::sleep(delay).await;
    }
}

fn log_task_exit(ended: &TaskExit) {
    match &ended.result {
        Ok(()) => tracing::error!("{ended}; the process ends"),
        Err(error) => tracing::error!(error = &**error as &dyn Error, "{ended}; the process ends"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn reports_not_ready_before_stopping() {
        let (stop, leaving) = (CancellationToken::new(), CancellationToken::new());
        let readiness = Readiness::awaiting([]);
        let delay = Duration::from_secs(5);
        let stopped_at = Instant::now();
        stop.cancel();
        let observed = async {
            leaving.cancelled().await;
            (readiness.waiting_for(), stopped_at.elapsed())
        };
        let ((), (waiting_for, after)) =
            tokio::join!(announce_shutdown(stop.clone(), &readiness, &leaving, delay), observed);
        assert_eq!(waiting_for.get("process").map(String::as_str), Some(STOPPING));
        assert_eq!((after, stopped_at.elapsed()), (Duration::ZERO, delay));
    }
}
