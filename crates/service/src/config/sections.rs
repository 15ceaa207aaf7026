//! The sections of the configuration. Where a role has a configuration of its own, that is the section.
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use deed_api::Caps;
use deed_bus::Limits;
use deed_claims::Policy;
use deed_claims::name::{DomainName, NamePolicy};
use deed_probe::ProbeConfig;
use deed_projector::DispatcherConfig;
use deed_store::SubscriptionConfig;
use deed_store_postgres::PostgresConfig;
use deed_verifier::VerifierConfig;

use super::log::LogFormat;
use super::setting::{Ratio, Role, Secret};

/// Every section. What the roles learn only at start, such as the owner of a lease, is not set here.
#[derive(Debug, Clone)]
pub struct Config {
    /// Addresses, roles and shutdown of this process.
    pub server: ServerSection,
    /// The store of the log and of everything derived from it.
    pub store: StoreSection,
    /// The bus that carries messages between the roles.
    pub bus: BusSection,
    /// DNS queries.
    pub dns: DnsSection,
    /// Names that can be claimed.
    pub names: NamePolicy,
    /// The names and values of validation records.
    pub records: RecordSection,
    /// Deadlines, intervals, limits and contests of claims.
    pub policy: Policy,
    /// Limits of API keys and workspaces.
    pub limits: Caps,
    /// The region of a domain that was added without one.
    pub default_region: String,
    /// The parent domain of CNAME targets.
    pub cname_base: DomainName,
    /// The role `verifier`.
    pub verifier: VerifierConfig,
    /// Subscriptions to the log, and their leases.
    pub subscriptions: SubscriptionConfig,
    /// The dispatcher.
    pub dispatcher: DispatcherConfig,
    /// Log lines.
    pub log: LogSection,
    /// Traces.
    pub telemetry: TelemetrySection,
}

impl Default for Config {
    #[expect(clippy::expect_used, reason = "a literal, parsed by every test of the defaults")]
    fn default() -> Self {
        let dispatcher = DispatcherConfig::default();
        Self {
            server: ServerSection::default(),
            store: StoreSection::default(),
            bus: BusSection::default(),
            dns: DnsSection::default(),
            names: NamePolicy::default(),
            records: RecordSection::default(),
            policy: Policy::default(),
            limits: Caps::default(),
            default_region: "default".to_owned(),
            cname_base: "apps.localhost".parse().expect("a valid name"),
            verifier: VerifierConfig::default(),
            subscriptions: SubscriptionConfig {
                owner: String::new(),
                batch: 500,
                poll: Duration::from_millis(500),
                lease_ttl: dispatcher.lease_ttl,
                backoff_max: dispatcher.backoff_max,
            },
            dispatcher,
            log: LogSection::default(),
            telemetry: TelemetrySection::default(),
        }
    }
}

/// Addresses, roles and shutdown of this process.
#[derive(Debug, Clone)]
pub struct ServerSection {
    /// The address of the HTTP interface.
    pub listen: SocketAddr,
    /// The address of the operations port.
    pub ops_listen: SocketAddr,
    /// The roles of this process.
    pub roles: BTreeSet<Role>,
    /// Threads that serve HTTP; none means one per processor.
    pub workers: Option<NonZeroUsize>,
    /// How long requests are still accepted after a stop signal.
    pub shutdown_delay: Duration,
    /// How long requests and checks in progress may take to finish after that.
    pub shutdown_deadline: Duration,
}

impl Default for ServerSection {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 8080).into(),
            ops_listen: (Ipv4Addr::LOCALHOST, 8081).into(),
            roles: Role::ALL.into(),
            workers: None,
            shutdown_delay: Duration::ZERO,
            shutdown_deadline: Duration::from_secs(30),
        }
    }
}

/// A SQLite file or a PostgreSQL server.
#[derive(Debug, Clone)]
pub struct StoreSection {
    /// The folder for the files of the service.
    pub data_dir: PathBuf,
    /// The SQLite file, relative to `data_dir` unless it is absolute.
    pub path: PathBuf,
    /// The URL of a PostgreSQL server, used instead of the file.
    pub url: Option<Secret>,
    /// Connections to PostgreSQL, without their URL.
    pub postgres: PostgresConfig,
}

impl Default for StoreSection {
    fn default() -> Self {
        Self { data_dir: ".".into(), path: "deed.db".into(), url: None, postgres: PostgresConfig::new("") }
    }
}

/// A queue in the process or a RabbitMQ broker.
#[derive(Debug, Clone)]
pub struct BusSection {
    /// The limits of queues and consumers.
    pub limits: Limits,
    /// The URL of a RabbitMQ broker.
    pub url: Option<Secret>,
    /// The AMQP heartbeat interval.
    pub heartbeat: Duration,
}

impl Default for BusSection {
    fn default() -> Self {
        Self { limits: Limits::default(), url: None, heartbeat: Duration::from_secs(10) }
    }
}

/// DNS queries.
#[derive(Debug, Clone, Default)]
pub struct DnsSection {
    /// The configuration of the prober, without what is read from files.
    pub probe: ProbeConfig,
    /// A file of root hints.
    pub roots: Option<PathBuf>,
    /// A file with the trust anchor.
    pub trust_anchor: Option<PathBuf>,
}

/// Templates of validation records.
#[derive(Debug, Clone)]
pub struct RecordSection {
    /// The word in the names of validation records.
    pub brand: String,
    /// The label of the record of a registrable domain.
    pub apex_label: Option<String>,
    /// The value of the record of a registrable domain.
    pub apex_value: Option<String>,
    /// The label of the record of a hostname.
    pub host_label: Option<String>,
    /// The value of the record of a hostname.
    pub host_value: Option<String>,
}

impl Default for RecordSection {
    fn default() -> Self {
        let brand = "deed".to_owned();
        Self { brand, apex_label: None, apex_value: None, host_label: None, host_value: None }
    }
}

/// Log lines on standard error.
#[derive(Debug, Clone)]
pub struct LogSection {
    /// The format.
    pub format: LogFormat,
    /// A level, or `target=level` pairs.
    pub filter: String,
}

impl Default for LogSection {
    fn default() -> Self {
        let filter = "info,actix_server=warn,actix_http=off,lapin=off,hickory_net=off,hickory_proto=off";
        Self { format: LogFormat::Json, filter: filter.to_owned() }
    }
}

/// Traces, sent to an OpenTelemetry receiver.
#[derive(Debug, Clone)]
pub struct TelemetrySection {
    /// The URL of the receiver; tracing is off without.
    pub endpoint: Option<String>,
    /// The fraction of traces started here that is kept.
    pub sample_ratio: Ratio,
    /// Headers for the receiver.
    pub headers: Option<Secret>,
    /// The timeout of a request with a batch of spans.
    pub timeout: Duration,
    /// The capacity of the queue of finished spans.
    pub queue: usize,
}

impl Default for TelemetrySection {
    fn default() -> Self {
        Self {
            endpoint: None,
            sample_ratio: Ratio::ALL,
            headers: None,
            timeout: Duration::from_secs(5),
            queue: 4096,
        }
    }
}
