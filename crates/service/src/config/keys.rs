//! All keys of the configuration: type, default, bounds and description.
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use deed_claims::name::DomainName;
use deed_claims::{Activation, ContestPolicy};
use deed_diagnosis::Agreement;
use deed_probe::{DelegationSource, Ipv6, Network, ValidationMode, Vantage};

use super::defaults;
use super::log::LogFormat;
use super::setting::{Bounds, Ratio, Role, Secret, Setting, Text};
use super::source::Sources;

/// A key with its present value.
#[derive(Debug, Clone)]
pub struct KeyView {
    /// The section, such as `dns.budgets`.
    pub section: &'static str,
    /// The description of the section.
    pub about: &'static [&'static str],
    /// The name of the key within its section.
    pub key: &'static str,
    /// The description of the key.
    pub doc: &'static [&'static str],
    /// Its value; none when it is not set.
    pub value: Option<toml::Value>,
    /// The expected type and bounds.
    pub expected: String,
}

impl KeyView {
    /// `section.key`
    pub fn path(&self) -> String {
        format!("{}.{}", self.section, self.key)
    }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn hours(hours: u64) -> Duration {
    secs(hours * 3600)
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

#[expect(clippy::expect_used, reason = "a literal, parsed by every test of the defaults")]
fn localhost() -> DomainName {
    "apps.localhost".parse().expect("a valid name")
}

macro_rules! sections {
    ($(
        $(#[doc = $about:literal])+
        $field:ident: $name:ident = $path:literal {
            $( $(#[doc = $doc:literal])+ $key:ident: $ty:ty = $default:expr $(, $range:expr)?; )*
        }
    )*) => {
        $(
            $(#[doc = $about])+
            #[derive(Debug, Clone, PartialEq)]
            pub struct $name { $( $(#[doc = $doc])+ pub $key: $ty, )* }

            impl Default for $name {
                fn default() -> Self {
                    Self { $( $key: $default, )* }
                }
            }

            impl $name {
                const ABOUT: &'static [&'static str] = &[$($about),+];

                fn read(&mut self, sources: &mut Sources) {
                    $( sources.take(
                        concat!($path, ".", stringify!($key)),
                        &mut self.$key,
                        bounds!($ty $(, $range)?),
                    ); )*
                }

                fn show(&self) -> Vec<KeyView> {
                    vec![$( KeyView {
                        section: $path,
                        about: Self::ABOUT,
                        key: stringify!($key),
                        doc: &[$($doc),+],
                        value: self.$key.show(),
                        expected: expected::<$ty>(bounds!($ty $(, $range)?)),
                    }, )*]
                }
            }
        )*

        /// Every section.
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct Config { $( $(#[doc = $about])+ pub $field: $name, )* }

        impl Config {
            /// The paths of all sections.
            pub const SECTIONS: &'static [&'static str] = &[$($path),*];

            /// Reads all keys from the sources.
            pub fn read(&mut self, sources: &mut Sources) {
                $( self.$field.read(sources); )*
            }

            /// All keys with their present values; secrets are redacted.
            pub fn show(&self) -> Vec<KeyView> {
                let mut keys = vec![];
                $( keys.extend(self.$field.show()); )*
                keys
            }
        }
    };
}

/// Helps type inference: names the type of the bounds.
fn within<'a, T, B: Bounds<T> + 'a>(bounds: &'a B) -> &'a dyn Bounds<T> {
    bounds
}

/// The expected type of a key, with its bounds.
fn expected<T: Setting>(bounds: Option<&dyn Bounds<T>>) -> String {
    match bounds {
        Some(bounds) => format!("{}, {}", T::expected(), bounds.describe()),
        None => T::expected(),
    }
}

macro_rules! bounds {
    ($ty:ty) => {
        None
    };
    ($ty:ty, $range:expr) => {
        Some(within::<$ty, _>(&$range))
    };
}

sections! {
    /// Addresses, roles and shutdown of this process.
    server: Server = "server" {
        /// The address of the HTTP interface.
        listen: SocketAddr = local(8080);
        /// The address of the operations port: /livez, /readyz, /metrics, /v1/tls/ask. Keep it off the public
        /// network.
        ops_listen: SocketAddr = local(8081);
        /// The roles of this process. Fewer than all three need `store.url` and `bus.url`, which they share
        /// with the others.
        roles: BTreeSet<Role> = Role::ALL.into();
        /// Threads that serve HTTP. Default: one per processor.
        workers: Option<NonZeroUsize> = None;
        /// How long requests are still accepted after a stop signal, while `/readyz` already answers 503. Set
        /// it longer than a load balancer that polls `/readyz` needs to notice. Only the role `api` waits.
        shutdown_delay: Duration = secs(0), secs(0)..=secs(300);
        /// How long requests and checks in progress may take to finish after that.
        shutdown_deadline: Duration = secs(30), secs(1)..=hours(1);
    }

    /// The store of the log and of everything derived from it: a SQLite file or a PostgreSQL server.
    store: Store = "store" {
        /// The folder for the files of the service.
        data_dir: PathBuf = ".".into();
        /// The SQLite file, relative to `data_dir` unless it is absolute.
        path: PathBuf = "deed.db".into();
        /// The URL of a PostgreSQL server, `postgres://user:password@host:5432/database`, used instead of the
        /// file.
        url: Option<Secret> = None;
        /// The maximum number of connections to PostgreSQL.
        max_connections: u32 = defaults::postgres().max_connections, 4..=100;
        /// How long a call waits for a free connection to PostgreSQL.
        acquire_timeout: Duration = defaults::postgres().acquire_timeout, Duration::from_millis(100)..=secs(60);
        /// The statement timeout of PostgreSQL.
        statement_timeout: Duration = defaults::postgres().statement_timeout, Duration::from_millis(100)..=secs(300);
    }

    /// The bus that carries messages between the roles.
    bus: Bus = "bus" {
        /// Messages that a queue holds before publishers have to wait.
        capacity: usize = defaults::bus().capacity, 1..=10_000_000;
        /// How long a publisher waits for space in the queue.
        publish_deadline: Duration = defaults::bus().publish_deadline, Duration::from_millis(100)..=secs(60);
        /// Deliveries of a message before it becomes a dead letter.
        max_deliveries: u32 = defaults::bus().max_deliveries, 1..=1000;
        /// The maximum number of unsettled messages of a verifier (prefetch count).
        prefetch: usize = defaults::bus().prefetch, 1..=10_000;
        /// The `source` of the CloudEvents on the bus, a URI reference.
        source: Text = (&*defaults::dispatcher().source).into();
        /// The URL of a RabbitMQ broker, `amqp://user:password@host:5672/vhost`. Default: a queue in the
        /// process.
        url: Option<Secret> = None;
        /// The AMQP heartbeat interval; a connection that is silent for twice as long is closed.
        heartbeat: Duration = secs(10), secs(1)..=secs(60);
    }

    /// DNS queries.
    dns: Dns = "dns" {
        /// The name of this vantage point in the evidence of checks.
        vantage: Text = (&*defaults::probe().vantage).into();
        /// The port of name servers; values other than 53 are for private zones and tests.
        port: u16 = defaults::probe().port, 1..=65_535;
        /// Networks that may be queried although they are not public.
        allow_networks: Vec<Network> = defaults::probe().allow_networks;
        /// Networks that may not be queried although they are public; overrides `allow_networks`.
        refuse_networks: Vec<Network> = defaults::probe().refuse_networks;
        /// A file of root hints in the format of `named.root`. Default: the thirteen public root servers.
        roots: Option<PathBuf> = None;
        /// Trusted recursive resolvers that validate by DNSSEC. They look up name servers without glue and
        /// report whether a record is signed; reach them over loopback or a private network.
        resolvers: Vec<SocketAddr> = defaults::probe().resolvers;
        /// Where DNSSEC validation happens: in the resolvers if any are set and otherwise in Deed ("auto"),
        /// always in the resolvers ("resolver"), always in Deed ("self"), or not at all ("off"), so that
        /// every zone counts as unsigned.
        validation: ValidationMode = defaults::probe().validation;
        /// A file with DS or DNSKEY records of the root zone, the trust anchor of Deed's own validation.
        /// Default: IANA's keys with the public root servers; with other roots nothing can be validated, and
        /// every zone counts as unsigned.
        trust_anchor: Option<PathBuf> = None;
        /// Vantage points: resolvers in other networks that confirm a record in an unsigned zone; at most 8.
        vantages: Vec<Vantage> = defaults::probe().vantages;
        /// How many of the vantage points have to see it.
        vantage_quorum: usize = defaults::probe().vantage_quorum, 0..=8;
        /// A name that has to exist. It is looked up when no server answers: while that fails, the fault is
        /// Deed's and no claim changes. Default: the root zone.
        canary: Option<DomainName> = None;
        /// Where delegations come from: the parent zones, or the resolvers in networks without access to the
        /// parents.
        delegation: DelegationSource = defaults::probe().delegation;
        /// Whether name servers are queried over IPv6; "auto": if the host has a route.
        ipv6: Ipv6 = defaults::probe().ipv6;
        /// The timeout of a UDP query.
        udp_timeout: Duration = defaults::probe().udp_timeout, Duration::from_millis(10)..=secs(10);
        /// UDP attempts of a query before TCP.
        udp_tries: u8 = defaults::probe().udp_tries, 1..=3;
        /// The timeout of a TCP query, connecting included.
        tcp_timeout: Duration = defaults::probe().tcp_timeout, Duration::from_millis(10)..=secs(30);
        /// The maximum number of open sockets. Default: a quarter of the limit on open files, less a reserve.
        in_flight: Option<NonZeroUsize> = None;
        /// Queries per second to one address by all checks together; root servers and resolvers are not
        /// limited. 0 turns off this limit and the circuit breaker for silent servers: for private zones and
        /// tests.
        server_rate: u32 = defaults::probe().server_rate, 0..=100_000;
        /// The burst of queries to one address after a pause.
        server_burst: u32 = defaults::probe().server_burst, 1..=100_000;
        /// How long a delegation is cached; "0s" turns the cache off.
        delegation_cache_ttl: Duration = defaults::probe().delegation_cache_ttl, secs(0)..=secs(60);
    }

    /// The limits of one check.
    budgets: Budgets = "dns.budgets" {
        /// Queries, retries and confirmation included.
        queries: u32 = defaults::probe().budgets.queries, 1..=1000;
        /// Time, confirmation included.
        time: Duration = defaults::probe().budgets.time, secs(1)..=secs(300);
        /// Referrals that are followed.
        referrals: u8 = defaults::probe().budgets.referrals, 1..=64;
        /// Aliases that are followed.
        aliases: usize = defaults::probe().budgets.aliases, 0..=32;
        /// Name servers that are read from one delegation.
        ns_read: usize = defaults::probe().budgets.ns_read, 1..=64;
        /// Name servers without glue that are resolved.
        ns_resolved: usize = defaults::probe().budgets.ns_resolved, 0..=64;
        /// Addresses that are queried in one zone.
        servers: usize = defaults::probe().budgets.servers, 1..=32;
        /// TXT records at one name beyond which the set is reported as unusually large; all of them are
        /// compared.
        txt_records: usize = defaults::probe().budgets.txt_records, 1..=1000;
        /// Bytes of TXT values at one name beyond which the set is reported as unusually large; all of them
        /// are compared.
        txt_bytes: usize = defaults::probe().budgets.txt_bytes, 255..=65_535;
    }

    /// Names that can be claimed, and the names of their validation records.
    names: Names = "names" {
        /// The word in the names of validation records: `_{brand}.acme.com`.
        brand: Text = "deed".into();
        /// Whether private and special-use zones (`.test`, `.internal`, `example.com`) and unlisted top-level
        /// domains can be claimed; for tests and the sandbox.
        allow_special_use: bool = false;
        /// Whether a suffix such as `github.io` can be claimed as a whole.
        allow_private_suffix: bool = false;
        /// Whether domains of public mailbox providers, such as `gmail.com`, can be claimed.
        allow_consumer_mail: bool = false;
        /// Further domains that are rejected like those of mail providers.
        consumer_mail: Vec<DomainName> = vec![];
    }

    /// Templates of validation records that override the brand; `{token}` stands for the random part.
    templates: Templates = "names.templates" {
        /// The label of the record of a registrable domain. Default: `_{brand}`.
        apex_label: Option<Text> = None;
        /// The value of the record of a registrable domain. Default: `{brand}-domain-claim={token}`.
        apex_value: Option<Text> = None;
        /// The label of the record of a hostname. Default: `_{brand}-verify`.
        host_label: Option<Text> = None;
        /// The value of the record of a hostname. Default: `{brand}-site-verification={token}`.
        host_value: Option<Text> = None;
    }

    /// Deadlines, intervals, limits and contests of claims.
    policy: Policy = "policy" {
        /// How a contest is decided, when a claim is proven while another holder has the name. "evidence":
        /// the name moves once the record of the holder is absent or the holder accepts, and never while the
        /// record stands. "grace": the same, but only after the grace period. "immediate": the name moves at
        /// once. "review": an operator decides.
        contest: ContestPolicy = defaults::policy().contest;
        /// The grace period of a contest. At its end the contest is refused while the record of the holder
        /// stands; when that record cannot be checked, the period is extended once.
        contest_grace: Duration = defaults::duration(defaults::policy().contest_grace), secs(1)..;
        /// The longest interval between two checks of a contest.
        contest_interval: Duration = defaults::duration(defaults::policy().contest_interval), secs(1)..;
        /// The deadline of a claim on a registrable domain, before and again after verification is requested.
        apex_deadline: Duration = defaults::duration(defaults::policy().apex_deadline), secs(1)..;
        /// The deadline of a claim on a hostname, before and again after verification is requested.
        host_deadline: Duration = defaults::duration(defaults::policy().host_deadline), secs(1)..;
        /// The first interval between two checks of an unproven claim; it grows.
        watch_first: Duration = defaults::duration(defaults::policy().watch_first), Duration::from_millis(100)..;
        /// The longest interval between two checks of an unproven claim.
        watch_longest: Duration = defaults::duration(defaults::policy().watch_longest), Duration::from_millis(100)..;
        /// The interval between two checks of a holding.
        held_interval: Duration = defaults::duration(defaults::policy().held_interval), secs(1)..;
        /// The grace period of drift: how long the record may be absent before the holding lapses.
        drift_grace: Duration = defaults::duration(defaults::policy().drift_grace), secs(1)..;
        /// How long name servers may be unreachable before the holding is at risk.
        unreachable_after: Duration = defaults::duration(defaults::policy().unreachable_after), secs(1)..;
        /// The shortest interval between two checks of a claim that clients request.
        manual_gap: Duration = defaults::duration(defaults::policy().manual_gap);
        /// Checks of a claim that clients may request per hour.
        manual_per_hour: usize = defaults::policy().manual_per_hour, 1..=100;
        /// Open claims of one workspace on one name, over all its apps and without the holding; more are
        /// refused.
        open_claims_per_claimant: usize = defaults::policy().open_claims_per_claimant, 1..;
        /// Open claims on one name, over all workspaces, whose record no server has shown. A new claim beyond
        /// that is accepted and another one gives way: first one without a verification request, then the
        /// oldest.
        open_claims_per_name: usize = defaults::policy().open_claims_per_name, 1..;
    }

    /// Limits of API keys and workspaces.
    limits: Limits = "limits" {
        /// Requests per second of one key, sustained.
        rate: u32 = defaults::per_second(defaults::api().rate.per_second), 1..;
        /// The burst of requests of one key.
        burst: u32 = defaults::api().rate.burst, 1..;
        /// Open claims of one workspace, including those of its apps, without holdings.
        open_claims_per_workspace: u64 = defaults::api().open_claims_per_workspace, 1..;
        /// How long a key is cached; a revoked key is refused after this time at the latest.
        key_memory: Duration = defaults::duration(defaults::api().key_memory), secs(0)..=secs(300);
    }

    /// Workspace claims.
    domains: Domains = "domains" {
        /// The region of a domain that was added without one: at most 64 printable ASCII characters.
        default_region: Text = "default".into();
    }

    /// App domains.
    apps: Apps = "apps" {
        /// The parent domain of CNAME targets, `{slug}.{cname_base}`: one of your own.
        cname_base: DomainName = localhost();
        /// When a proven hostname is activated: at once ("immediate"), or when the TLS side reports that it
        /// is ready ("external").
        activation: Activation = defaults::policy().activation;
        /// Networks of proxies: a hostname that resolves into one is reported as proxied, because its target
        /// is hidden. Default: the networks that Cloudflare publishes.
        proxy_networks: Vec<Network> = defaults::probe().proxy_networks;
    }

    /// The role `verifier`.
    verifier: Verifier = "verifier" {
        /// How many of the name servers that answer have to show a record: more than half ("majority"), or
        /// all ("strict").
        agreement: Agreement = defaults::verifier().agreement;
        /// Whether an alias from a wildcard (`*.acme.com CNAME ...`) may prove a registrable domain: the
        /// owner of the target could then prove every domain that has such an alias.
        accept_wildcard: bool = defaults::verifier().accept_wildcard;
        /// Checks that run at the same time.
        in_flight: usize = defaults::verifier().in_flight, 1..=10_000;
        /// How much earlier than due a check may run, to allow for clock differences.
        early: Duration = defaults::verifier().early, secs(0)..=secs(60);
        /// The first backoff before a message is requeued because the store did not answer; it doubles each
        /// time.
        pause: Duration = defaults::verifier().pause, Duration::from_millis(10)..=secs(60);
    }

    /// Subscriptions to the log, of the projector (lists, due work) and the relay (log to bus), and their
    /// leases.
    subscriptions: Subscriptions = "subscriptions" {
        /// Events per batch.
        batch: usize = 500, 1..=10_000;
        /// The interval at which the log is polled when no notification arrives.
        poll: Duration = Duration::from_millis(500), Duration::from_millis(10)..=secs(60);
        /// How long a lease lasts: standbys wait that long after its process has died.
        lease_ttl: Duration = defaults::dispatcher().lease_ttl, secs(1)..=secs(300);
        /// The longest backoff after an error.
        backoff_max: Duration = defaults::dispatcher().backoff_max, Duration::from_millis(50)..=secs(300);
    }

    /// The dispatcher, which publishes due work for the verifiers.
    dispatcher: Dispatcher = "dispatcher" {
        /// The visibility time-out: published due work that is not done by then is published again.
        visibility: Duration = defaults::dispatcher().visibility, secs(1)..=hours(1);
        /// The interval at which due work is polled when no notification arrives.
        poll: Duration = defaults::dispatcher().poll, Duration::from_millis(10)..=secs(60);
        /// Rows of due work per batch.
        batch: usize = defaults::dispatcher().limit, 1..=10_000;
        /// The maximum rate of published due work per second, so that a backlog after an outage is not
        /// published all at once.
        rate: u32 = defaults::dispatcher().rate, 1..=1_000_000;
        /// The queue length at which the dispatcher pauses.
        window: usize = defaults::dispatcher().window, 1..=1_000_000;
    }

    /// Log lines on standard error.
    log: Log = "log" {
        /// The format: one JSON object per line, or human-readable lines.
        format: LogFormat = LogFormat::Json;
        /// The filter: a level, or `target=level` pairs.
        filter: Text = "info,actix_server=warn,actix_http=off,lapin=off,hickory_net=off,hickory_proto=off".into();
    }

    /// Traces of requests over all processes, sent to an OpenTelemetry receiver (OTLP over HTTP).
    telemetry: Telemetry = "telemetry" {
        /// The URL of the receiver, `http://host:4318`; `/v1/traces` is appended. Default: tracing is off.
        endpoint: Option<Text> = None;
        /// The fraction of traces started here that is kept. The sampling decision of a caller takes
        /// precedence.
        sample_ratio: Ratio = Ratio::ALL;
        /// Headers for the receiver, as comma-separated `name=value` pairs; an API key, for example.
        headers: Option<Secret> = None;
        /// The timeout of a request with a batch of spans.
        timeout: Duration = secs(5), Duration::from_millis(100)..=secs(60);
        /// The capacity of the queue of finished spans; further ones are dropped and counted.
        queue: usize = 4096, 1..=1_000_000;
    }
}
