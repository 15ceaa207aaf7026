//! One running service: which parts it has, in which order they start, and in which they end.
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use deed_api::{Api, Ops, OpsConfig, Readiness};
use deed_bus::Bus;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::Process;
use super::parts::Parts;
use super::store::Store;
use super::tasks::{Ended, Finish, Tasks, before};
use crate::config::{Role, Settings};
use crate::exit::{Exit, Failure};

/// What is kept of the time to stop for letting go of the store.
const RESERVE: Duration = Duration::from_secs(1);

/// Why a process is not ready that is to end.
const STOPPING: &str = "stopping";

/// Parts that end together.
#[derive(Default)]
struct Group {
    tasks: Tasks,
    stop: CancellationToken,
}

/// A service that has been started.
pub(crate) struct Service {
    store: Store,
    bus: Arc<dyn Bus>,
    readiness: Readiness,
    /// Until its last spans are sent.
    process: Option<Process>,
    /// Takes requests; ends first.
    http: Group,
    /// Does the work behind them.
    roles: Group,
    /// Tells how the service is; ends last.
    ops: Group,
    api_at: Option<SocketAddr>,
    ops_at: SocketAddr,
    /// Tells the HTTP interface that it will end soon.
    leaving: CancellationToken,
    /// How long that is.
    delay: Duration,
    deadline: Duration,
}

impl Service {
    /// Opens the store and the ports and starts every part.
    ///
    /// # Errors
    /// When one of them cannot start; then none runs.
    pub(crate) async fn start(
        settings: Settings,
        process: Process,
        stop: &CancellationToken,
    ) -> Result<Self, Failure> {
        let store = Store::open(&settings, stop).await?;
        match Self::start_on(store.clone(), settings, process) {
            Ok(service) => Ok(service),
            Err(failure) => {
                // What it says of the failure to start matters more than this.
                let _ = store.close().await;
                Err(failure)
            }
        }
    }

    fn start_on(store: Store, settings: Settings, process: Process) -> Result<Self, Failure> {
        let parts = Parts::new(settings, store, &process)?;
        let server = &parts.settings.config.server;
        let (http, roles, ops) = (Group::default(), Group::default(), Group::default());
        let leaving = CancellationToken::new();
        let api = parts.has(Role::Api).then(|| {
            let state = parts.app_state(leaving.clone(), http.stop.child_token())?;
            let api = Api::bind(&parts.api_config(), &state);
            api.map_err(|error| listening("server.listen", server.listen, error))
        });
        let api = api.transpose()?;
        let ops_config = OpsConfig { listen: server.ops_listen };
        let operations = Ops::bind(&ops_config, parts.ops()?)
            .map_err(|error| listening("server.ops_listen", server.ops_listen, error))?;
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
        // A server cancels the token it is given when it ends by itself: that must not stop its neighbours unnoticed.
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

    /// Where the HTTP interface listens, if this process has one.
    pub(crate) fn api_at(&self) -> Option<SocketAddr> {
        self.api_at
    }

    /// Where the operations port listens.
    pub(crate) fn ops_at(&self) -> SocketAddr {
        self.ops_at
    }

    /// The store, for whoever else works on it in this process.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Runs until `stop` or until a part dies, then ends everything in order.
    ///
    /// # Errors
    /// When a part died, or something had to be dropped.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Result<Exit, Failure> {
        let died = tokio::select! {
            () = leave(stop, &self.readiness, &self.leaving, self.delay) => None,
            ended = self.http.tasks.next() => Some(ended),
            ended = self.roles.tasks.next() => Some(ended),
            ended = self.ops.tasks.next() => Some(ended),
        };
        match &died {
            None => tracing::info!("stopping: what is in hand is finished"),
            Some(ended) => log_death(ended),
        }
        let finish = self.end().await;
        match (died, finish) {
            (Some(Ended { name, result: Err(error) }), _) => {
                Err(Failure::because(format!("the {name} died"), error))
            }
            (Some(ended), _) => Err(Failure::failed(ended.to_string())),
            (None, Finish::Orderly) => {
                tracing::info!("stopped");
                Ok(Exit::Success)
            }
            (None, Finish::CutShort) => Err(Failure::failed("not everything in hand could be finished")),
        }
    }

    /// Readiness false, no more requests, work finished, leases released, store closed, spans sent.
    async fn end(&mut self) -> Finish {
        let deadline = Instant::now() + self.deadline;
        self.readiness.unready("process", STOPPING);
        self.http.stop.cancel();
        let finish = self.http.tasks.finish(before(deadline, self.deadline / 2)).await;
        self.roles.stop.cancel();
        let finish = finish.and(self.roles.tasks.finish(before(deadline, RESERVE)).await);
        self.bus.close().await;
        let closed = match timeout_at(deadline, self.store.close()).await {
            Ok(Ok(())) => Finish::Orderly,
            Ok(Err(error)) => {
                // Nothing is lost by it: the next process to open the file finishes it.
                tracing::warn!(error = &error as &dyn Error, "the store was not closed cleanly");
                Finish::Orderly
            }
            Err(_) => {
                tracing::error!("the store was not closed in time");
                Finish::CutShort
            }
        };
        if let Some(process) = self.process.take() {
            // Everything that makes spans has ended.
            process.finish(deadline).await;
        }
        self.ops.stop.cancel();
        finish.and(closed).and(self.ops.tasks.finish(deadline + RESERVE).await)
    }
}

/// Waits for the word to stop, and then until nobody can be sending requests here any more who asks whether this process
/// is ready. Everything works meanwhile.
async fn leave(stop: CancellationToken, readiness: &Readiness, leaving: &CancellationToken, delay: Duration) {
    stop.cancelled().await;
    readiness.unready("process", STOPPING);
    leaving.cancel();
    if !delay.is_zero() {
        tracing::info!(?delay, "about to stop: not ready any more, requests are still taken");
        tokio::time::sleep(delay).await;
    }
}

fn log_death(ended: &Ended) {
    match &ended.result {
        Ok(()) => tracing::error!("{ended}; the process ends"),
        Err(error) => tracing::error!(error = &**error as &dyn Error, "{ended}; the process ends"),
    }
}

fn listening(key: &str, at: SocketAddr, error: std::io::Error) -> Failure {
    Failure::because(format!("cannot listen on {at} (`{key}`)"), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_asks_hears_that_it_stops_before_it_does() {
        let (stop, leaving) = (CancellationToken::new(), CancellationToken::new());
        let readiness = Readiness::awaiting([]);
        let delay = Duration::from_secs(5);
        let told = Instant::now();
        stop.cancel();
        let heard = async {
            leaving.cancelled().await;
            (readiness.waiting_for(), told.elapsed())
        };
        let ((), (waiting_for, after)) =
            tokio::join!(leave(stop.clone(), &readiness, &leaving, delay), heard);
        assert_eq!(waiting_for.get("process").map(String::as_str), Some(STOPPING));
        assert_eq!((after, told.elapsed()), (Duration::ZERO, delay));
    }
}
