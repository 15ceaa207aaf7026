//! The complete service under test: processes, database, broker and DNS server.
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use deed_claims::{Event, Scope, StreamId};
use deed_sandbox::{Limits, PutFault, PutRecords, Sandbox, SandboxConfig, Zones};
use deed_store::{Checkpoints, EventStore, Position, ReadModels, RecordedEvent};
use deed_store_postgres::{PostgresConfig, PostgresStore};
use deed_store_sqlite::{SqliteConfig, SqliteStore};
use deed_testkit::{Database, VHost};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::Services;
use crate::api_client::ApiResponse;
use crate::cpu::{self, CpuTimes, CpuUser};
use crate::service::{ALL, ServiceProcess, ServiceSettings};

/// The mode of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One process, SQLite, in-process bus.
    Embedded,
    /// One process per role, PostgreSQL, RabbitMQ, and this many verifiers.
    Server { verifiers: usize },
}

impl Mode {
    /// The mode in the name of a row.
    pub fn of(row: &str) -> Self {
        if row.ends_with("embedded") { Self::Embedded } else { Self::Server { verifiers: 1 } }
    }
}

/// A DNS server for all zones, on its own thread.
pub struct Dns {
    pub zones: Zones,
    address: SocketAddr,
    thread: u32,
    _stop: DropGuard,
}

/// A running service.
pub struct Deployment {
    pub dns: Arc<Dns>,
    pub key: String,
    pub log: Arc<dyn EventStore>,
    pub models: Arc<dyn ReadModels>,
    checkpoints: Arc<dyn Checkpoints>,
    processes: Vec<(String, ServiceProcess)>,
    cpu_users: Vec<(String, CpuUser)>,
    _kept: (TempDir, Option<(Database, VHost)>),
}

impl Dns {
    /// Starts the server.
    pub async fn start() -> Self {
        let (tell, told) = oneshot::channel();
        let stop = CancellationToken::new();
        let ended = stop.clone();
        std::thread::Builder::new()
            .name("dns".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("a runtime").block_on(async {
                    let config = SandboxConfig {
                        dns: (Ipv4Addr::LOCALHOST, 0).into(),
                        control: None,
                        auto_zones: true,
                    };
                    let limits = Limits { tcp_connections: 4096, query_log: 1_000_000, ..Limits::default() };
                    let sandbox = Sandbox::start_with(config, limits, ended).await.expect("a DNS server");
                    let _ = tell.send((sandbox.zones(), sandbox.dns_addr(), own_thread()));
                    sandbox.join().await.expect("the DNS server serves");
                });
            })
            .expect("a thread");
        let (zones, address, thread) = told.await.expect("the DNS server starts");
        Self { zones, address, thread, _stop: stop.drop_guard() }
    }

    /// Publishes the record of a claim response.
    pub fn publish(&self, claimed: &ApiResponse) {
        let body = claimed.json();
        let text = |field: &str| body["data"]["record"][field].as_str().expect("a record").to_owned();
        let put = PutRecords::values([text("value")]);
        self.zones.put_records(&text("name"), "TXT", &put).expect("the record is published");
    }

    /// Delays all answers.
    pub fn delay(&self, by: Duration) {
        let ms = by.as_millis().try_into().expect("a short time");
        self.zones.put_fault("*.", &PutFault::delay(ms)).expect("the fault is set");
    }
}

/// The id of the current thread, from /proc.
fn own_thread() -> u32 {
    let link = std::fs::read_link("/proc/thread-self").expect("there is /proc");
    link.file_name().and_then(|id| id.to_str()?.parse().ok()).expect("a thread has a number")
}

/// Starts the processes of the service, and adds them to those whose processor time is measured.
async fn start_processes(
    service: &ServiceSettings,
    mode: Mode,
    cpu_users: &mut Vec<(String, CpuUser)>,
) -> Vec<(String, ServiceProcess)> {
    let mut processes = vec![];
    match mode {
        Mode::Embedded => {
            let process = service.serve(ALL).await;
            for (part, threads) in
                [("HTTP", "actix"), ("SQLite", "sqlx-sqlite"), ("the rest", "tokio-rt-worker")]
            {
                cpu_users.push((format!("deed: {part}"), CpuUser::Threads(process.pid(), threads)));
            }
            processes.push((ALL.to_owned(), process));
        }
        Mode::Server { verifiers } => {
            for role in ["api", "projector"] {
                let process = service.serve(role).await;
                cpu_users.push((format!("deed: {role}"), CpuUser::Family(process.pid())));
                processes.push((role.to_owned(), process));
            }
            for n in 1..=verifiers {
                let name = format!("verifier-{n}");
                let process = service.clone().with("DNS__VANTAGE", &name).serve("verifier").await;
                cpu_users.push((format!("deed: {name}"), CpuUser::Family(process.pid())));
                processes.push((name, process));
            }
        }
    }
    processes
}

impl Deployment {
    /// Starts everything; `settings` changes the defaults.
    pub async fn start(
        mode: Mode,
        services: &mut Services,
        settings: impl Fn(ServiceSettings) -> ServiceSettings,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let dns = Dns::start().await;
        let hints = folder.path().join("root.hints");
        std::fs::write(&hints, format!("root-server.test. 3600 A {}\n", dns.address.ip()))
            .expect("root hints");
        let kept = match mode {
            Mode::Embedded => None,
            Mode::Server { .. } => {
                let (postgres, broker) = services.both().await;
                Some((postgres.database().await, broker.vhost().await))
            }
        };
        let url = kept.as_ref().map(|(database, _)| database.url());
        let mut service = ServiceSettings::new(folder.path(), url)
            .with("DNS__PORT", dns.address.port())
            .with("DNS__ROOTS", hints.display())
            .with("DNS__ALLOW_NETWORKS", "127.0.0.0/8")
            .with("DNS__SERVER_RATE", 0);
        if let Some((_, vhost)) = &kept {
            service = service.with("BUS__URL", vhost.url());
        }
        let service = settings(service);
        let mut cpu_users = vec![("load generator".to_owned(), CpuUser::OwnProcess)];
        cpu_users.push(("DNS server".to_owned(), CpuUser::Thread(dns.thread)));
        let (log, models, checkpoints): (Arc<dyn EventStore>, Arc<dyn ReadModels>, Arc<dyn Checkpoints>) =
            match url {
                None => {
                    let config = SqliteConfig::new(folder.path().join("deed.db"));
                    let store = Arc::new(SqliteStore::open(config).await.expect("a store"));
                    (store.clone(), store.clone(), store)
                }
                Some(url) => {
                    let config = PostgresConfig::new(url.to_owned());
                    deed_store_postgres::migrate(&config).await.expect("tables");
                    let store = Arc::new(PostgresStore::connect(config).await.expect("a store"));
                    cpu_users.push(("PostgreSQL".to_owned(), CpuUser::Family(services.postgres().pid())));
                    cpu_users.extend(
                        services.broker.as_ref().map(|b| ("RabbitMQ".to_owned(), CpuUser::Family(b.pid()))),
                    );
                    (store.clone(), store.clone(), store)
                }
            };
        let key = service.key().await;
        let processes = start_processes(&service, mode, &mut cpu_users).await;
        let kept = (folder, kept);
        Self { dns: Arc::new(dns), key, log, models, checkpoints, processes, cpu_users, _kept: kept }
    }

    /// The address of the HTTP interface.
    pub fn api(&self) -> SocketAddr {
        self.processes.first().expect("the first serves HTTP").1.listen
    }

    /// The processes, by name.
    pub fn processes(&self) -> &[(String, ServiceProcess)] {
        &self.processes
    }

    /// The processor time of all parts so far.
    pub fn used(&self) -> CpuTimes {
        cpu::used(&self.cpu_users)
    }

    /// Waits until the read models are up to date.
    pub async fn in_view(&self) {
        let last = self.log.last_position().await.expect("the end of the log");
        while self.checkpoints.checkpoint("read-models").await.expect("the checkpoint") < last {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// All events of the log.
    pub async fn events(&self) -> Vec<RecordedEvent> {
        let mut all: Vec<RecordedEvent> = vec![];
        loop {
            let after = all.last().map_or(Position(0), |event| event.position);
            let more = self.log.read_log(after, 5000).await.expect("the log");
            if more.is_empty() {
                return all;
            }
            all.extend(more);
        }
    }

    /// Kills all processes.
    pub async fn end(self) {
        for (_, process) in self.processes {
            process.kill().await;
        }
    }
}

/// The stream of the name with this number.
pub fn stream(n: u64) -> StreamId {
    StreamId::ownership(Scope::Apex, &crate::api_client::domain(n).parse().expect("a valid name"))
}

/// The number of events that match.
pub fn count(events: &[RecordedEvent], is: impl Fn(&Event) -> bool) -> u64 {
    events.iter().filter(|recorded| is(&recorded.event)).count().try_into().unwrap_or(u64::MAX)
}
