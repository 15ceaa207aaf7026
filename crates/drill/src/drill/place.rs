//! What the service stands on: a private PostgreSQL, RabbitMQ and DNS, the proxies before them, and the configuration.
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

/// Kinds of processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Api,
    Projector,
    Verifier,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Api, Self::Projector, Self::Verifier];

    pub const fn word(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Projector => "projector",
            Self::Verifier => "verifier",
        }
    }

    /// Processes of this kind.
    pub const fn replicas(self) -> usize {
        match self {
            Self::Api | Self::Projector => 2,
            Self::Verifier => 4,
        }
    }
}

/// How long announced work is hidden; the checker has to know.
pub const VISIBILITY: Duration = Duration::from_secs(5);
/// How long a process that is gone keeps its standbys waiting.
pub const LEASE: Duration = Duration::from_secs(3);
/// The queue that listens to all events.
pub const SPY: &str = "drill.spy";
const EXCHANGE: &str = "deed.events";
/// The tenants.
pub const WORKSPACES: [&str; 4] = ["ws_north", "ws_east", "ws_south", "ws_west"];

/// The proxies of one kind of process.
pub struct Gates {
    pub role: Role,
    pub postgres: Proxy,
    pub rabbit: Proxy,
}

pub struct Place {
    pub folder: PathBuf,
    pub deed: Executable,
    /// Locked while it is down.
    pub postgres: Mutex<Arc<Postgres>>,
    /// The database past all proxies.
    pub database: String,
    /// Locked while it is down.
    pub rabbit: Mutex<RabbitMq>,
    pub vhost: VHost,
    pub management: String,
    pub gates: Vec<Gates>,
    pub dns: DnsServer,
    /// API keys of the tenants, in the order of `WORKSPACES`.
    pub keys: Vec<String>,
    environment: Vec<(String, String)>,
}

/// An address with another host and port.
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

async fn gates(database: &str, vhost: &VHost) -> anyhow::Result<Vec<Gates>> {
    let mut gates = vec![];
    for role in Role::ALL {
        let postgres = Proxy::start(target(database)?).await;
        let rabbit = Proxy::start(target(vhost.url())?).await;
        gates.push(Gates { role, postgres, rabbit });
    }
    Ok(gates)
}

/// Which broker a restored service has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broker {
    /// The one it had, with what waits there.
    Same,
    /// An empty one.
    Fresh,
}

impl Place {
    /// Starts everything but the service, and prepares the database.
    pub async fn start(deed: Executable, folder: &Path) -> anyhow::Result<Self> {
        let postgres = Arc::new(tokio::task::spawn_blocking(Postgres::start_durable).await?);
        let database = postgres.database().await.url().to_owned();
        let rabbit = RabbitMq::start().await;
        let vhost = rabbit.vhost().await;
        let gates = gates(&database, &vhost).await?;
        let records = Records::new(&folder.join("dns.jsonl"))?;
        let dns = DnsServer::start(Ipv4Addr::LOCALHOST, free_port(&[Ipv4Addr::LOCALHOST]), records).await?;
        let environment = environment(folder, &dns)?;
        let management = rabbit.management_url();
        let rabbit = Mutex::new(rabbit);
        let (folder, postgres) = (folder.to_owned(), Mutex::new(postgres));
        let mut place = Self {
            folder,
            deed,
            postgres,
            database,
            rabbit,
            vhost,
            management,
            gates,
            dns,
            keys: vec![],
            environment,
        };
        place.command(&place.deed, &["migrate"])?;
        for workspace in WORKSPACES {
            let made = place
                .command(&place.deed, &["keys", "create", "--name", "drill", "--workspace", workspace])?;
            place.keys.push(made["secret"].as_str().context("a key has a secret")?.to_owned());
        }
        Ok(place)
    }

    /// Another database in the place of the one that was lost, and its broker or a fresh one. The servers that are not used
    /// any more are given back.
    pub async fn restored(
        self,
        postgres: Postgres,
        database: String,
        broker: Broker,
    ) -> anyhow::Result<(Self, Arc<Postgres>)> {
        let Self { folder, deed, postgres: lost, rabbit, vhost, dns, keys, environment, .. } = self;
        let (rabbit, vhost) = match broker {
            Broker::Same => (rabbit.into_inner(), vhost),
            Broker::Fresh => {
                drop((vhost, rabbit));
                let rabbit = RabbitMq::start().await;
                let vhost = rabbit.vhost().await;
                (rabbit, vhost)
            }
        };
        let (gates, management) = (gates(&database, &vhost).await?, rabbit.management_url());
        let (postgres, rabbit) = (Mutex::new(Arc::new(postgres)), Mutex::new(rabbit));
        let place = Self {
            folder,
            deed,
            postgres,
            database,
            rabbit,
            vhost,
            management,
            gates,
            dns,
            keys,
            environment,
        };
        Ok((place, lost.into_inner()))
    }

    /// Sets a key for every process from now on.
    pub fn set(&mut self, variable: &str, value: &str) {
        self.environment.push((variable.to_owned(), value.to_owned()));
    }

    /// Makes the exchange that events go to before the service does, so that somebody can listen from the first event on.
    pub async fn make_exchange(&self) -> anyhow::Result<()> {
        let path = format!("exchanges/{}/{EXCHANGE}", self.vhost.name());
        let body = json!({ "type": "topic", "durable": true });
        let (status, answer) = self.vhost.ask(Method::PUT, &path, Some(body)).await;
        ensure!(status.is_success(), "the exchange is not made: {status} {answer}");
        Ok(())
    }

    /// Listens to all events from now on, as an integrator would, for the checker to see what was published.
    pub async fn listen(&self) -> anyhow::Result<()> {
        self.vhost.declare_queue(SPY, json!({ "x-queue-type": "classic" })).await;
        let path = format!("bindings/{}/e/{EXCHANGE}/q/{SPY}", self.vhost.name());
        let body = json!({ "routing_key": "#" });
        // The service makes the exchange once it is connected.
        let bound = async {
            while !self.vhost.ask(Method::POST, &path, Some(body.clone())).await.0.is_success() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), bound).await.context("the exchange is not made")
    }

    /// The settings of a process of this kind, which reaches everything through its kind's proxies.
    pub fn environment(&self, role: Role) -> anyhow::Result<Vec<(String, String)>> {
        let gates =
            self.gates.iter().find(|gates| gates.role == role).context("every role has its proxies")?;
        let mut environment = self.environment.clone();
        environment.push(("DEED__STORE__URL".to_owned(), through(&self.database, gates.postgres.address())?));
        environment.push(("DEED__BUS__URL".to_owned(), through(self.vhost.url(), gates.rabbit.address())?));
        Ok(environment)
    }

    /// The settings of commands that go past all proxies.
    pub fn direct(&self) -> Vec<(String, String)> {
        let mut environment = self.environment.clone();
        environment.push(("DEED__STORE__URL".to_owned(), self.database.clone()));
        environment.push(("DEED__BUS__URL".to_owned(), self.vhost.url().to_owned()));
        environment
    }

    /// Runs a command of an executable to its end, past all proxies, and reads its JSON.
    pub fn command(&self, deed: &Executable, words: &[&str]) -> anyhow::Result<Value> {
        let mut command = deed.command(self.direct());
        let output = command.args(words).arg("--json").current_dir(&self.folder).output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            bail!("deed {words:?} failed: {said} {}", String::from_utf8_lossy(&output.stderr));
        }
        serde_json::from_str(&said).with_context(|| format!("deed {words:?} said {said:?}"))
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
        // One server stands for all of the world.
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
