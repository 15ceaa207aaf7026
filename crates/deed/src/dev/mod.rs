//! `deed dev`: the whole service on one machine, with the sandbox as its DNS and ready API keys.
mod folder;
mod keys;
mod listen;
mod processes;
mod running;
pub(crate) mod walkthrough;

use std::path::PathBuf;
use std::time::Duration;

use deed_sandbox::{Sandbox, SandboxConfig};
use deed_service::config::{Database, Inputs, Settings, load};
use deed_service::{Process, Service, Store, migrate, stop_signal};
use tokio_util::sync::CancellationToken;

use crate::client::JsonClient;
use crate::exit::{Exit, Failure};
use folder::{Addresses, Folder};
use keys::DevKeys;
pub(crate) use listen::ListenAddress;
use processes::Processes;
use running::{HostRecord, Running, Urls};

/// How long the service may take to become ready.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// The interval between two readiness checks.
const READY_POLL: Duration = Duration::from_millis(20);

/// The options of the command line.
#[derive(Debug)]
pub(crate) struct DevOptions {
    /// The folder to keep; none for a temporary one.
    pub(crate) data: Option<PathBuf>,
    pub(crate) listen: ListenAddress,
    pub(crate) ops_listen: ListenAddress,
    pub(crate) dns_listen: ListenAddress,
    pub(crate) control_listen: ListenAddress,
    pub(crate) layout: Layout,
}

/// How the roles are distributed over processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// All roles in this process.
    OneProcess,
    /// Each role in processes of its own.
    Processes,
}

/// Starts everything, calls `announce` when it is ready, and runs until a signal.
pub(crate) async fn run(
    options: DevOptions,
    announce: impl FnOnce(&Running) -> Result<(), Failure>,
) -> Result<Exit, Failure> {
    let stop = stop_signal()?;
    let folder = Folder::open(options.data)?;
    let sandbox = start_sandbox(options.dns_listen, options.control_listen).await?;
    let dns = sandbox.dns_addr();
    let requested = Addresses {
        dns,
        listen: options.listen.resolve()?,
        ops: options.ops_listen.resolve()?,
        services: None,
    };
    let settings = settings(&folder, &requested)?;
    let process = Process::start(&settings)?;
    let host_record = HostRecord::of(&settings)?;
    if matches!(settings.database, Database::Server(_)) {
        migrate(&settings).await?;
    }
    // The future holds the settings, so it is boxed.
    let (host, keys) =
        Box::pin(RunningService::start(options.layout, settings, process, &requested, &folder, &stop))
            .await?;
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

/// The running service, in this process or in child processes.
struct RunningService {
    at: Addresses,
    kind: Hosting,
}

enum Hosting {
    InProcess(Box<Service>),
    ChildProcesses(Processes),
}

impl RunningService {
    async fn start(
        layout: Layout,
        settings: Settings,
        process: Process,
        requested: &Addresses,
        folder: &Folder,
        stop: &CancellationToken,
    ) -> Result<(Self, DevKeys), Failure> {
        let services = folder::Services::of(&settings);
        match layout {
            Layout::OneProcess => {
                let service = Service::start(settings, process, stop).await?;
                let keys = DevKeys::load_or_create(folder, service.store()).await?;
                // Ports 0 are replaced by the ports in use.
                let at = Addresses {
                    listen: service.api_at().unwrap_or(requested.listen),
                    ops: service.ops_at(),
                    services,
                    ..*requested
                };
                folder.write_config(&at)?;
                Ok((Self { at, kind: Hosting::InProcess(Box::new(service)) }, keys))
            }
            Layout::Processes => {
                let store = Store::open_existing(&settings).await?;
                let keys = DevKeys::load_or_create(folder, &store).await;
                store.close().await?;
                let (listen, ops) = (listen::pick_port(requested.listen)?, listen::pick_port(requested.ops)?);
                let at = Addresses { listen, ops, services, ..*requested };
                folder.write_config(&at)?;
                let processes = Processes::start(&folder.config())?;
                Ok((Self { at, kind: Hosting::ChildProcesses(processes) }, keys?))
            }
        }
    }

    async fn run(self, stop: CancellationToken) -> Result<Exit, Failure> {
        match self.kind {
            Hosting::InProcess(service) => Ok(service.run(stop).await.map(|()| Exit::Success)?),
            Hosting::ChildProcesses(processes) => processes.run(stop).await,
        }
    }
}

/// Runs service and sandbox. The sandbox stops last, because the last checks query it; when it fails, the
/// service is stopped.
async fn supervise(
    host: RunningService,
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
            |e| Failure::with_source("the sandbox died", e),
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
    let remote = JsonClient::new(ops, None)?;
    let asking = async {
        loop {
            match remote.send::<()>(reqwest::Method::GET, &["readyz"], &[], None).await {
                Ok(answer) if answer.status.is_success() => return Ok(()),
                // A child process may not listen yet; if it cannot, it exits, which is noticed.
                Ok(_) | Err(Failure::Unavailable { .. }) => {}
                Err(failure) => return Err(failure),
            }
            tokio::time::sleep(READY_POLL).await;
        }
    };
    let late = |_| Failure::failed("the service does not get ready");
    tokio::time::timeout(READY_TIMEOUT, asking).await.map_err(late)?
}

async fn start_sandbox(dns: ListenAddress, control: ListenAddress) -> Result<Sandbox, Failure> {
    let config =
        SandboxConfig { dns: dns.resolve_dns()?, control: Some(control.resolve()?), auto_zones: true };
    // A separate token, because a signal stops the service first.
    Sandbox::start(config, CancellationToken::new())
        .await
        .map_err(|error| Failure::with_source("the sandbox cannot start", error))
}

fn settings(folder: &Folder, requested: &Addresses) -> Result<Settings, Failure> {
    folder.write_config(requested)?;
    Ok(load(Inputs::of_process(Some(folder.config()))).settings?)
}
