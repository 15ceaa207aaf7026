//! `deed dev`: the whole service on one machine, with the sandbox for its DNS and keys at hand.
mod folder;
mod keys;
mod places;
mod processes;
pub(crate) mod walkthrough;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use deed_claims::{Scope, Token};
use deed_sandbox::{Sandbox, SandboxConfig};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::client::Remote;
use crate::config::{Database, Inputs, Settings, load};
use crate::exit::{Exit, Failure};
use crate::run::{Process, Service, Store, migrate, stop_signal};
use folder::{Folder, Where};
use keys::DevKeys;
pub(crate) use places::Place;
use processes::Processes;

/// How long the service may take to be ready.
const READY: Duration = Duration::from_secs(30);
/// The pause between two looks whether it is.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What was asked for on the command line.
#[derive(Debug)]
pub(crate) struct Wishes {
    /// A folder to keep; without one a temporary one.
    pub(crate) data: Option<PathBuf>,
    pub(crate) listen: Place,
    pub(crate) ops_listen: Place,
    pub(crate) dns_listen: Place,
    pub(crate) control_listen: Place,
    pub(crate) layout: Layout,
}

/// Where the roles run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// All in this process.
    OneProcess,
    /// Each in processes of its own.
    Processes,
}

/// Where everything is, for people and programs.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Running {
    pub(crate) urls: Urls,
    pub(crate) keys: DevKeys,
    /// The configuration that other commands of `deed` take with `--config`.
    pub(crate) config: PathBuf,
    /// The folder of the service's files.
    pub(crate) data: PathBuf,
    /// Whether the folder goes away at the end.
    pub(crate) temporary: bool,
    /// For the walk-through.
    #[serde(skip)]
    host_record: HostRecord,
}

/// What the record of the walk-through's hostname is called, with a place for its token.
#[derive(Debug, Clone)]
struct HostRecord {
    name: String,
    value: String,
}

impl HostRecord {
    fn of(settings: &Settings) -> Result<Self, Failure> {
        let host = walkthrough::HOST
            .parse()
            .map_err(|error| Failure::because("the walk-through has no name", error))?;
        let token = Token::from_bytes([0; 20]);
        let made = settings.templates.challenge(Scope::Host, &host, token.clone());
        let value = made.record_value.replace(token.as_str(), "$TOKEN");
        Ok(Self { name: made.record_name.to_string(), value })
    }
}

/// Where each part is reached.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Urls {
    pub(crate) api: String,
    pub(crate) ops: String,
    /// Of the sandbox.
    pub(crate) control: String,
    /// Of the sandbox: address and port, UDP and TCP.
    pub(crate) dns: SocketAddr,
}

/// Starts everything, says so through `announce`, and runs until a signal.
pub(crate) async fn run(
    wishes: Wishes,
    announce: impl FnOnce(&Running) -> Result<(), Failure>,
) -> Result<Exit, Failure> {
    let stop = stop_signal()?;
    let folder = Folder::open(wishes.data)?;
    let sandbox = start_sandbox(wishes.dns_listen, wishes.control_listen).await?;
    let dns = sandbox.dns_addr();
    let asked =
        Where { dns, listen: wishes.listen.settle()?, ops: wishes.ops_listen.settle()?, services: None };
    let settings = settings(&folder, &asked)?;
    let process = Process::start(&settings)?;
    let host_record = HostRecord::of(&settings)?;
    if matches!(settings.database, Database::Server(_)) {
        migrate(&settings).await?;
    }
    // The settings within make it a large one.
    let (host, keys) =
        Box::pin(Host::start(wishes.layout, settings, process, &asked, &folder, &stop)).await?;
    let running = Running {
        urls: Urls {
            api: format!("http://{}", host.at.listen),
            ops: format!("http://{}", host.at.ops),
            control: sandbox.control_addr().map(|at| format!("http://{at}")).unwrap_or_default(),
            dns,
        },
        keys,
        config: folder.config(),
        data: folder.path().to_owned(),
        temporary: folder.is_temporary(),
        host_record,
    };
    let ended = supervise(host, sandbox, stop, &running, announce).await;
    folder.close()?;
    ended
}

/// The service, wherever it runs.
struct Host {
    at: Where,
    kind: HostKind,
}

enum HostKind {
    Here(Box<Service>),
    Elsewhere(Processes),
}

impl Host {
    async fn start(
        layout: Layout,
        settings: Settings,
        process: Process,
        asked: &Where,
        folder: &Folder,
        stop: &CancellationToken,
    ) -> Result<(Self, DevKeys), Failure> {
        let services = folder::Services::of(&settings);
        match layout {
            Layout::OneProcess => {
                let service = Service::start(settings, process, stop).await?;
                let keys = DevKeys::at_hand(folder, service.store()).await?;
                // Ports that were left open are known by now.
                let at = Where {
                    listen: service.api_at().unwrap_or(asked.listen),
                    ops: service.ops_at(),
                    services,
                    ..*asked
                };
                folder.write_config(&at)?;
                Ok((Self { at, kind: HostKind::Here(Box::new(service)) }, keys))
            }
            Layout::Processes => {
                let store = Store::open_existing(&settings).await?;
                let keys = DevKeys::at_hand(folder, &store).await;
                store.close().await?;
                let (listen, ops) = (places::closed(asked.listen)?, places::closed(asked.ops)?);
                let at = Where { listen, ops, services, ..*asked };
                folder.write_config(&at)?;
                let processes = Processes::start(&folder.config())?;
                Ok((Self { at, kind: HostKind::Elsewhere(processes) }, keys?))
            }
        }
    }

    async fn run(self, stop: CancellationToken) -> Result<Exit, Failure> {
        match self.kind {
            HostKind::Here(service) => service.run(stop).await,
            HostKind::Elsewhere(processes) => processes.run(stop).await,
        }
    }
}

/// The sandbox outlives the service, whose last checks ask it; when it dies first, the service ends too.
async fn supervise(
    host: Host,
    sandbox: Sandbox,
    stop: CancellationToken,
    running: &Running,
    announce: impl FnOnce(&Running) -> Result<(), Failure>,
) -> Result<Exit, Failure> {
    let (ending, ended) = (stop.child_token(), CancellationToken::new());
    let serve = async {
        let served = host.run(ending.clone()).await;
        ended.cancel();
        served
    };
    let answer_dns = async {
        let died = tokio::select! {
            joined = sandbox.join() => joined,
            () = ended.cancelled() => return Ok(()),
        };
        ending.cancel();
        Err(died.map_or_else(
            |e| Failure::because("the sandbox died", e),
            |()| Failure::failed("the sandbox ended"),
        ))
    };
    let greet = async {
        let greeted = match ended.run_until_cancelled(ready(&running.urls.ops)).await {
            Some(Ok(())) => announce(running),
            Some(Err(failure)) => Err(failure),
            None => Ok(()),
        };
        if greeted.is_err() {
            ending.cancel();
        }
        greeted
    };
    let (served, answered, greeted) = tokio::join!(serve, answer_dns, greet);
    answered.and(greeted)?;
    served
}

async fn ready(ops: &str) -> Result<(), Failure> {
    let remote = Remote::new(ops, None)?;
    let asking = async {
        loop {
            match remote.send::<()>(reqwest::Method::GET, &["readyz"], &[], None).await {
                Ok(answer) if answer.status.is_success() => return Ok(()),
                // A process of its own may not listen yet; when it cannot, it ends, and that is seen.
                Ok(_) | Err(Failure::Unavailable { .. }) => {}
                Err(failure) => return Err(failure),
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    let late = |_| Failure::failed("the service does not get ready");
    tokio::time::timeout(READY, asking).await.map_err(late)?
}

async fn start_sandbox(dns: Place, control: Place) -> Result<Sandbox, Failure> {
    let config = SandboxConfig { dns: dns.settle_dns()?, control: Some(control.settle()?), auto_zones: true };
    // A token of its own: a signal ends the service first.
    Sandbox::start(config, CancellationToken::new())
        .await
        .map_err(|error| Failure::because("the sandbox cannot start", error))
}

fn settings(folder: &Folder, asked: &Where) -> Result<Settings, Failure> {
    folder.write_config(asked)?;
    Ok(load(Inputs::of_process(Some(folder.config()))).settings?)
}
