//! The infrastructure of a drill: private PostgreSQL, RabbitMQ and DNS, proxies, and settings.
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use deed_testkit::{Postgres, Proxy, RabbitMq, VHost, free_port};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::executable::Executable;
use crate::dns::{DnsServer, Records};

/// The roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Api,
    Projector,
    Verifier,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Api, Self::Projector, Self::Verifier];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Projector => "projector",
            Self::Verifier => "verifier",
        }
    }

    /// The number of processes.
    pub const fn replicas(self) -> usize {
        match self {
            Self::Api | Self::Projector => 2,
            Self::Verifier => 4,
        }
    }
}

/// The visibility time-out, which the checker needs to know.
pub const VISIBILITY: Duration = Duration::from_secs(5);
/// The lease duration.
pub const LEASE: Duration = Duration::from_secs(3);
/// The queue bound to all events.
pub const SPY: &str = "drill.spy";
const EXCHANGE: &str = "deed.events";
/// The tenants.
pub const WORKSPACES: [&str; 4] = ["ws_north", "ws_east", "ws_south", "ws_west"];

/// The proxies of one role.
pub struct RoleProxies {
    pub role: Role,
    pub postgres: Proxy,
    pub rabbit: Proxy,
}

pub struct Infrastructure {
    pub folder: PathBuf,
    pub deed: Executable,
    /// Locked while it is stopped.
    pub postgres: Mutex<Arc<Postgres>>,
    /// The database URL that bypasses the proxies.
    pub database: String,
    /// Locked while it is stopped.
    pub rabbit: Mutex<RabbitMq>,
    pub vhost: VHost,
    pub management: String,
    pub proxies: Vec<RoleProxies>,
    pub dns: DnsServer,
    /// The API keys of the tenants, in the order of `WORKSPACES`.
    pub keys: Vec<String>,
    environment: Vec<(String, String)>,
}

/// The URL with the host and port of a proxy.
pub(super) fn through(url: &str, gate: SocketAddr) -> anyhow::Result<String> {
    let mut url: reqwest::Url = url.parse()?;
    ensure!(
        url.set_ip_host(gate.ip()).is_ok() && url.set_port(Some(gate.port())).is_ok(),
        "{url} has no host"
    );
    Ok(url.to_string())
}

fn target(url: &str) -> anyhow::Result<SocketAddr> {
    let url: reqwest::Url = url.parse()?;
    Ok((Ipv4Addr::LOCALHOST, url.port().context("an address has a port")?).into())
}

async fn proxies(database: &str, vhost: &VHost) -> anyhow::Result<Vec<RoleProxies>> {
    let mut proxies = vec![];
    for role in Role::ALL {
        let postgres = Proxy::start(target(database)?).await;
        let rabbit = Proxy::start(target(vhost.url())?).await;
        proxies.push(RoleProxies { role, postgres, rabbit });
    }
    Ok(proxies)
}

/// The broker of a restored service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broker {
    /// The old one, with its messages.
    Same,
    /// A new one.
    Fresh,
}

impl Infrastructure {
    /// Starts everything except the service, and prepares the database.
    pub async fn start(deed: Executable, folder: &Path) -> anyhow::Result<Self> {
        let postgres = Arc::new(tokio::task::spawn_blocking(Postgres::start_durable).await?);
        let database = postgres.database().await.url().to_owned();
        let rabbit = RabbitMq::start().await;
        let vhost = rabbit.vhost().await;
        let proxies = proxies(&database, &vhost).await?;
        let records = Records::new(&folder.join("dns.jsonl"))?;
        let dns = DnsServer::start(Ipv4Addr::LOCALHOST, free_port(&[Ipv4Addr::LOCALHOST]), records).await?;
        let environment = environment(folder, &dns)?;
        let management = rabbit.management_url();
        let rabbit = Mutex::new(rabbit);
        let (folder, postgres) = (folder.to_owned(), Mutex::new(postgres));
        let mut infra = Self {
            folder,
            deed,
            postgres,
            database,
            rabbit,
            vhost,
            management,
            proxies,
            dns,
            keys: vec![],
            environment,
        };
        infra.command(&infra.deed, &["migrate"])?;
        for workspace in WORKSPACES {
            let made = infra
                .command(&infra.deed, &["keys", "create", "--name", "drill", "--workspace", workspace])?;
            infra.keys.push(made["secret"].as_str().context("a key has a secret")?.to_owned());
        }
        Ok(infra)
    }

    /// Replaces the lost database, and the broker on request; returns the old server.
    pub async fn restored(
        self,
        postgres: Postgres,
        database: String,
        broker: Broker,
    ) -> anyhow::Result<(Self, Arc<Postgres>)> {
        let Self { folder, deed, postgres: old, rabbit, vhost, dns, keys, environment, .. } = self;
        let (rabbit, vhost) = match broker {
            Broker::Same => (rabbit.into_inner(), vhost),
            Broker::Fresh => {
                drop((vhost, rabbit));
                let rabbit = RabbitMq::start().await;
                let vhost = rabbit.vhost().await;
                (rabbit, vhost)
            }
        };
        let (proxies, management) = (proxies(&database, &vhost).await?, rabbit.management_url());
        let (postgres, rabbit) = (Mutex::new(Arc::new(postgres)), Mutex::new(rabbit));
        let infra = Self {
            folder,
            deed,
            postgres,
            database,
            rabbit,
            vhost,
            management,
            proxies,
            dns,
            keys,
            environment,
        };
        Ok((infra, old.into_inner()))
    }

    /// Sets a variable for all later processes.
    pub fn set(&mut self, variable: &str, value: &str) {
        self.environment.push((variable.to_owned(), value.to_owned()));
    }

    /// Creates the exchange before the service does, so that a queue can be bound before the first event.
    pub async fn make_exchange(&self) -> anyhow::Result<()> {
        let path = format!("exchanges/{}/{EXCHANGE}", self.vhost.name());
        let body = json!({ "type": "topic", "durable": true });
        let (status, answer) = self.vhost.ask(Method::PUT, &path, Some(body)).await;
        ensure!(status.is_success(), "the exchange is not made: {status} {answer}");
        Ok(())
    }

    /// Binds a queue to all events, for the checker.
    pub async fn listen(&self) -> anyhow::Result<()> {
        self.vhost.declare_queue(SPY, json!({ "x-queue-type": "classic" })).await;
        let path = format!("bindings/{}/e/{EXCHANGE}/q/{SPY}", self.vhost.name());
        let body = json!({ "routing_key": "#" });
        // The service creates the exchange once it is connected.
        let bound = async {
            while !self.vhost.ask(Method::POST, &path, Some(body.clone())).await.0.is_success() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), bound).await.context("the exchange is not made")
    }

    /// The settings of a process, whose connections go through the proxies of its role.
    pub fn environment(&self, role: Role) -> anyhow::Result<Vec<(String, String)>> {
        let proxies =
            self.proxies.iter().find(|proxies| proxies.role == role).context("every role has its proxies")?;
        let mut environment = self.environment.clone();
        environment
            .push(("DEED__STORE__URL".to_owned(), through(&self.database, proxies.postgres.address())?));
        environment.push(("DEED__BUS__URL".to_owned(), through(self.vhost.url(), proxies.rabbit.address())?));
        Ok(environment)
    }

    /// The settings of commands, which bypass the proxies.
    pub fn direct(&self) -> Vec<(String, String)> {
        let mut environment = self.environment.clone();
        environment.push(("DEED__STORE__URL".to_owned(), self.database.clone()));
        environment.push(("DEED__BUS__URL".to_owned(), self.vhost.url().to_owned()));
        environment
    }

    /// Runs a command, bypassing the proxies, and parses its JSON.
    pub fn command(&self, deed: &Executable, arguments: &[&str]) -> anyhow::Result<Value> {
        let mut command = deed.command(self.direct());
        let output = command.args(arguments).arg("--json").current_dir(&self.folder).output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            bail!("deed {arguments:?} failed: {said} {}", String::from_utf8_lossy(&output.stderr));
        }
        serde_json::from_str(&said).with_context(|| format!("deed {arguments:?} said {said:?}"))
    }
}

pub(super) fn environment(folder: &Path, dns: &DnsServer) -> anyhow::Result<Vec<(String, String)>> {
    let hints = folder.join("root.hints");
    std::fs::write(&hints, format!("root-server.test. 3600 A {}\n", dns.address().ip()))?;
    let seconds = |duration: Duration| format!("{}s", duration.as_secs());
    let settings = [
        ("STORE__DATA_DIR", folder.display().to_string()),
        ("SERVER__WORKERS", "1".to_owned()),
        ("DNS__PORT", dns.address().port().to_string()),
        // One server answers for all zones.
        ("DNS__SERVER_RATE", "0".to_owned()),
        ("DNS__ROOTS", hints.display().to_string()),
        ("DNS__ALLOW_NETWORKS", "127.0.0.0/8".to_owned()),
        ("POLICY__WATCH_FIRST", "2s".to_owned()),
        ("POLICY__WATCH_LONGEST", "5s".to_owned()),
        ("POLICY__CONTEST_INTERVAL", "2s".to_owned()),
        ("DISPATCHER__VISIBILITY", seconds(VISIBILITY)),
        ("SUBSCRIPTIONS__LEASE_TTL", seconds(LEASE)),
        ("LIMITS__RATE", "100000".to_owned()),
        ("LIMITS__BURST", "100000".to_owned()),
        ("LIMITS__OPEN_CLAIMS_PER_WORKSPACE", "1000000".to_owned()),
    ];
    Ok(settings.map(|(key, value)| (format!("DEED__{key}"), value)).into())
}
