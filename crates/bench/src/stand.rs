//! The whole service as one measures it from request to view: processes, what they stand on, and a DNS server.
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
use crate::cpu::{self, Used, Who};
use crate::site::{ALL, Process, Site};
use crate::talk::Answer;

/// How the service runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// In one process, on SQLite, with the bus in it.
    Embedded,
    /// A process for each role, on PostgreSQL and RabbitMQ, with so many verifiers.
    Server { verifiers: usize },
}

impl Stage {
    /// What the name of a row says.
    pub fn of(row: &str) -> Self {
        if row.ends_with("embedded") { Self::Embedded } else { Self::Server { verifiers: 1 } }
    }
}

/// A DNS server for every zone there may be, on a thread of its own.
pub struct Dns {
    pub zones: Zones,
    address: SocketAddr,
    thread: u32,
    _stop: DropGuard,
}

/// A running service.
pub struct Stand {
    pub dns: Arc<Dns>,
    pub key: String,
    pub log: Arc<dyn EventStore>,
    pub models: Arc<dyn ReadModels>,
    checkpoints: Arc<dyn Checkpoints>,
    processes: Vec<(String, Process)>,
    whom: Vec<(String, Who)>,
    _kept: (TempDir, Option<(Database, VHost)>),
}

impl Dns {
    /// Starts it.
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

    /// Publishes the record that the answer to a claim asks for.
    pub fn publish(&self, claimed: &Answer) {
        let body = claimed.json();
        let text = |field: &str| body["data"]["record"][field].as_str().expect("a record").to_owned();
        let put = PutRecords::values([text("value")]);
        self.zones.put_records(&text("name"), "TXT", &put).expect("the record is published");
    }

    /// Has every answer come so much later.
    pub fn delay(&self, by: Duration) {
        let ms = by.as_millis().try_into().expect("a short time");
        self.zones.put_fault("*.", &PutFault::delay(ms)).expect("the fault is set");
    }
}

/// gettid(2), without a crate for it.
fn own_thread() -> u32 {
    let link = std::fs::read_link("/proc/thread-self").expect("there is /proc");
    link.file_name().and_then(|id| id.to_str()?.parse().ok()).expect("a thread has a number")
}

impl Stand {
    /// Starts everything; `settings` says what is not as usual.
    pub async fn start(stage: Stage, services: &mut Services, settings: impl Fn(Site) -> Site) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let dns = Dns::start().await;
        let hints = folder.path().join("root.hints");
        std::fs::write(&hints, format!("root-server.test. 3600 A {}\n", dns.address.ip()))
            .expect("root hints");
        let kept = match stage {
            Stage::Embedded => None,
            Stage::Server { .. } => {
                let (postgres, broker) = services.both().await;
                Some((postgres.database().await, broker.vhost().await))
            }
        };
        let url = kept.as_ref().map(|(database, _)| database.url());
        let mut site = Site::new(folder.path(), url)
            .with("DNS__PORT", dns.address.port())
            .with("DNS__ROOTS", hints.display())
            .with("DNS__ALLOW_NETWORKS", "127.0.0.0/8")
            .with("DNS__SERVER_RATE", 0);
        if let Some((_, vhost)) = &kept {
            site = site.with("BUS__URL", vhost.url());
        }
        let site = settings(site);
        let mut whom = vec![("load generator".to_owned(), Who::Ourselves)];
        whom.push(("DNS server".to_owned(), Who::Thread(dns.thread)));
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
                    whom.push(("PostgreSQL".to_owned(), Who::Family(services.postgres().pid())));
                    whom.extend(
                        services.broker.as_ref().map(|b| ("RabbitMQ".to_owned(), Who::Family(b.pid()))),
                    );
                    (store.clone(), store.clone(), store)
                }
            };
        let key = site.key().await;
        let mut processes = vec![];
        match stage {
            Stage::Embedded => {
                let process = site.serve(ALL).await;
                for (part, threads) in
                    [("HTTP", "actix"), ("SQLite", "sqlx-sqlite"), ("the rest", "tokio-rt-worker")]
                {
                    whom.push((format!("deed: {part}"), Who::Threads(process.pid(), threads)));
                }
                processes.push((ALL.to_owned(), process));
            }
            Stage::Server { verifiers } => {
                for role in ["api", "projector"] {
                    let process = site.serve(role).await;
                    whom.push((format!("deed: {role}"), Who::Family(process.pid())));
                    processes.push((role.to_owned(), process));
                }
                for n in 1..=verifiers {
                    let name = format!("verifier-{n}");
                    let process = site.clone().with("DNS__VANTAGE", &name).serve("verifier").await;
                    whom.push((format!("deed: {name}"), Who::Family(process.pid())));
                    processes.push((name, process));
                }
            }
        }
        let kept = (folder, kept);
        Self { dns: Arc::new(dns), key, log, models, checkpoints, processes, whom, _kept: kept }
    }

    /// Where the HTTP interface is.
    pub fn api(&self) -> SocketAddr {
        self.processes.first().expect("the first serves HTTP").1.listen
    }

    /// The processes, by name.
    pub fn processes(&self) -> &[(String, Process)] {
        &self.processes
    }

    /// What everybody has used of the processors so far.
    pub fn used(&self) -> Used {
        cpu::used(&self.whom)
    }

    /// Waits until the read models tell of the whole log.
    pub async fn in_view(&self) {
        let last = self.log.last_position().await.expect("the end of the log");
        while self.checkpoints.checkpoint("read-models").await.expect("the checkpoint") < last {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Every event of the log.
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

    /// Ends every process.
    pub async fn end(self) {
        for (_, process) in self.processes {
            process.kill().await;
        }
    }
}

/// The stream of the name with this number.
pub fn stream(n: u64) -> StreamId {
    StreamId::ownership(Scope::Apex, &crate::talk::domain(n).parse().expect("a valid name"))
}

/// How many events of this kind there are.
pub fn count(events: &[RecordedEvent], is: impl Fn(&Event) -> bool) -> u64 {
    events.iter().filter(|recorded| is(&recorded.event)).count().try_into().unwrap_or(u64::MAX)
}
