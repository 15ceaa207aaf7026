//! Every key of the configuration, with its kind, its default, its bounds and what it is for.
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use deed_claims::name::DomainName;
use deed_claims::{Activation, Agreement, ContestPolicy};
use deed_probe::{DelegationSource, Ipv6, Network, ValidationMode, Vantage};

use super::setting::{Bounds, LogFormat, Ratio, Role, Secret, Setting, Text};
use super::source::Sources;

/// One key as it stands.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    /// The section, such as `dns.budgets`.
    pub(crate) section: &'static str,
    /// What the section is for.
    pub(crate) about: &'static [&'static str],
    /// The key within it.
    pub(crate) key: &'static str,
    /// What the key is for.
    pub(crate) doc: &'static [&'static str],
    /// Its value; none when it is not set.
    pub(crate) value: Option<toml::Value>,
    /// What it has to be.
    pub(crate) expected: String,
}

impl Shown {
    /// `section.key`
    pub(crate) fn path(&self) -> String {
        format!("{}.{}", self.section, self.key)
    }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn hours(hours: u64) -> Duration {
    secs(hours * 3600)
}

fn days(days: u64) -> Duration {
    hours(days * 24)
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
            pub(crate) struct $name { $( $(#[doc = $doc])+ pub(crate) $key: $ty, )* }

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

                fn show(&self) -> Vec<Shown> {
                    vec![$( Shown {
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
        pub(crate) struct Config { $( $(#[doc = $about])+ pub(crate) $field: $name, )* }

        impl Config {
            /// The paths of all sections.
            pub(crate) const SECTIONS: &'static [&'static str] = &[$($path),*];

            /// Takes over whatever the sources say of known keys.
            pub(crate) fn read(&mut self, sources: &mut Sources) {
                $( self.$field.read(sources); )*
            }

            /// Every key as it stands, secrets redacted.
            pub(crate) fn show(&self) -> Vec<Shown> {
                let mut keys = vec![];
                $( keys.extend(self.$field.show()); )*
                keys
            }
        }
    };
}

/// Tells the compiler of which type a range's numbers are.
fn within<'a, T, B: Bounds<T> + 'a>(bounds: &'a B) -> &'a dyn Bounds<T> {
    bounds
}

/// What a key has to be, its bounds included.
fn expected<T: Setting>(bounds: Option<&dyn Bounds<T>>) -> String {
    match bounds {
        Some(bounds) => format!("{}, {}", T::expected(), bounds.words()),
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
    /// Where the service listens and what runs in this process.
    server: Server = "server" {
        /// The address of the HTTP interface.
        listen: SocketAddr = local(8080);
        /// The address of the operations port: /livez, /readyz, /metrics, /v1/tls/ask. Not for the public.
        ops_listen: SocketAddr = local(8081);
        /// What runs in this process. Fewer than all three need `store.url` and `bus.url`, by which they meet the others.
        roles: BTreeSet<Role> = Role::ALL.into();
        /// Threads that serve HTTP. Default: one for each processor.
        workers: Option<NonZeroUsize> = None;
        /// How long requests are still taken after a signal to stop, while `/readyz` says 503 already: longer than a load
        /// balancer that asks it takes to notice. Only processes with the role `api` wait.
        shutdown_delay: Duration = secs(0), secs(0)..=secs(300);
        /// How long work in hand may take after that.
        shutdown_deadline: Duration = secs(30), secs(1)..=hours(1);
    }

    /// Where the log and everything derived from it is kept: a SQLite file, or a PostgreSQL server.
    store: Store = "store" {
        /// The folder of the service's files.
        data_dir: PathBuf = ".".into();
        /// The SQLite file, within `data_dir` unless it is absolute.
        path: PathBuf = "deed.db".into();
        /// The address of a PostgreSQL server, `postgres://user:password@host:5432/database`, used instead of the file.
        url: Option<Secret> = None;
        /// Connections to PostgreSQL at most.
        max_connections: u32 = 8, 4..=100;
        /// How long a free connection to PostgreSQL is waited for.
        acquire_timeout: Duration = secs(5), Duration::from_millis(100)..=secs(60);
        /// How long PostgreSQL may take for a statement.
        statement_timeout: Duration = secs(10), Duration::from_millis(100)..=secs(300);
    }

    /// How work travels between the roles.
    bus: Bus = "bus" {
        /// How many messages a queue holds before publishers have to wait.
        capacity: usize = 10_000, 1..=10_000_000;
        /// How long publishing waits for room.
        publish_deadline: Duration = secs(5), Duration::from_millis(100)..=secs(60);
        /// How often a message is delivered before it becomes a dead letter.
        max_deliveries: u32 = 20, 1..=1000;
        /// How many unsettled messages the verifier holds at most.
        prefetch: usize = 64, 1..=10_000;
        /// The `source` of the CloudEvents on the bus, a URI reference.
        source: Text = "/deed".into();
        /// The address of a RabbitMQ broker, `amqp://user:password@host:5672/vhost`. Default: a queue within the process.
        url: Option<Secret> = None;
        /// How often a broker and we tell each other that we are there; a connection silent for twice as long is dead.
        heartbeat: Duration = secs(10), secs(1)..=secs(60);
    }

    /// How the DNS is asked.
    dns: Dns = "dns" {
        /// Our name in the evidence of checks.
        vantage: Text = "default".into();
        /// The port at which name servers are asked; anything but 53 is for private zones and tests.
        port: u16 = 53, 1..=65_535;
        /// Networks that may be asked although they are not public.
        allow_networks: Vec<Network> = vec![];
        /// Networks that may not be asked although they are public; stronger than `allow_networks`.
        refuse_networks: Vec<Network> = vec![];
        /// A file of root hints in the form of `named.root`. Default: the thirteen public root servers.
        roots: Option<PathBuf> = None;
        /// Trusted recursive resolvers that validate by DNSSEC. They find the addresses of name servers that come without
        /// glue, and say whether a record is signed; reach them over loopback or a network of your own.
        resolvers: Vec<SocketAddr> = vec![];
        /// Who validates before a record counts: the resolvers where there are any and Deed itself otherwise ("auto"),
        /// always the resolvers, always Deed itself, or nobody, so that every zone counts as unsigned.
        validation: ValidationMode = ValidationMode::Auto;
        /// A file with DS or DNSKEY records of the root zone, with which Deed's own validation begins. Default: IANA's keys
        /// with the public root servers; with other roots nothing can be validated, and every zone counts as unsigned.
        trust_anchor: Option<PathBuf> = None;
        /// Resolvers elsewhere in the network, asked whether they see a record that is not signed: at most 8.
        vantages: Vec<Vantage> = vec![];
        /// How many of the vantages have to see it.
        vantage_quorum: usize = 0, 0..=8;
        /// A name that has to exist. Asked for when no server answers: while it fails the trouble is ours, and nothing is
        /// held against a claim. Default: the root zone.
        canary: Option<DomainName> = None;
        /// Who tells which servers a zone has: the parent zones, or (in networks without a way to them) the resolvers.
        delegation: DelegationSource = DelegationSource::FromParent;
        /// Whether name servers are asked over IPv6; "auto": where the host has a route.
        ipv6: Ipv6 = Ipv6::Auto;
        /// How long a datagram is waited for.
        udp_timeout: Duration = Duration::from_millis(1500), Duration::from_millis(10)..=secs(10);
        /// How often a question is sent as a datagram before a connection is tried.
        udp_tries: u8 = 2, 1..=3;
        /// How long a connection, its question and its answer may take together.
        tcp_timeout: Duration = secs(3), Duration::from_millis(10)..=secs(30);
        /// Sockets open at a time. Default: a quarter of the process's limit on descriptors, less a reserve.
        in_flight: Option<NonZeroUsize> = None;
        /// Questions a second that one address is asked by all checks together; root servers and resolvers are asked
        /// without a limit. 0 spares nobody, neither the busy nor those that stay silent: for private zones and tests.
        server_rate: u32 = 10, 0..=100_000;
        /// Questions to one address that may come at once after a pause.
        server_burst: u32 = 20, 1..=100_000;
        /// How long a delegation is remembered; "0s" remembers nothing.
        delegation_cache_ttl: Duration = secs(60), secs(0)..=secs(60);
    }

    /// What one check may spend.
    budgets: Budgets = "dns.budgets" {
        /// Questions sent, repetitions and confirmation included.
        queries: u32 = 60, 1..=1000;
        /// Time, confirmation included.
        time: Duration = secs(20), secs(1)..=secs(300);
        /// Referrals followed.
        referrals: u8 = 12, 1..=64;
        /// Aliases followed.
        aliases: usize = 8, 0..=32;
        /// Name server names read from one delegation.
        ns_read: usize = 13, 1..=64;
        /// Of those without glue, how many are resolved.
        ns_resolved: usize = 4, 0..=64;
        /// Servers of one zone asked.
        servers: usize = 8, 1..=32;
        /// TXT records at one name from which on the set counts as unusually large; all of them are compared.
        txt_records: usize = 64, 1..=1000;
        /// Bytes of TXT values at one name from which on the set counts as unusually large; all of them are compared.
        txt_bytes: usize = 16_384, 255..=65_535;
    }

    /// Which names can be claimed, and how their records are called.
    names: Names = "names" {
        /// The word that validation records are named after: `_{brand}.acme.com`.
        brand: Text = "deed".into();
        /// Whether private and special zones (`.test`, `.internal`, `example.com`) and unlisted top-level domains can
        /// be claimed; for tests and the sandbox.
        allow_special_use: bool = false;
        /// Whether a suffix such as `github.io` can be claimed as a whole.
        allow_private_suffix: bool = false;
        /// Whether domains of providers of public mailboxes, such as `gmail.com`, can be claimed.
        allow_consumer_mail: bool = false;
        /// More domains that are refused like those of mail providers.
        consumer_mail: Vec<DomainName> = vec![];
    }

    /// Other names and values for validation records than the brand gives; `{token}` stands for the random part.
    templates: Templates = "names.templates" {
        /// The label of a registrable domain's record. Default: `_{brand}`.
        apex_label: Option<Text> = None;
        /// The value of a registrable domain's record. Default: `{brand}-domain-claim={token}`.
        apex_value: Option<Text> = None;
        /// The label of a hostname's record. Default: `_{brand}-verify`.
        host_label: Option<Text> = None;
        /// The value of a hostname's record. Default: `{brand}-site-verification={token}`.
        host_value: Option<Text> = None;
    }

    /// Deadlines, intervals and what a contest does.
    policy: Policy = "policy" {
        /// What happens when a claim is proven while another has the name. "evidence": once the holder's record is gone
        /// or the holder accepts, the name moves; while the record stands, never. "grace": the same, but not before the
        /// grace period is over. "immediate": the name moves at once. "review": an operator decides.
        contest: ContestPolicy = ContestPolicy::Evidence;
        /// How long a contest runs. At its end it is refused while the holder's record stands; where that record cannot be
        /// seen, it runs as long once more.
        contest_grace: Duration = hours(72), secs(1)..;
        /// The longest pause between two checks of a contest.
        contest_interval: Duration = secs(600), secs(1)..;
        /// How long the claim of a registrable domain waits, and is then watched.
        apex_deadline: Duration = days(7), secs(1)..;
        /// How long the claim of a hostname waits, and is then watched.
        host_deadline: Duration = hours(72), secs(1)..;
        /// The first pause between two checks of a watched claim.
        watch_first: Duration = secs(30), Duration::from_millis(100)..;
        /// The longest pause between two checks of a watched claim.
        watch_longest: Duration = hours(4), Duration::from_millis(100)..;
        /// The pause between two checks of a held name.
        held_interval: Duration = days(7), secs(1)..;
        /// How long proof may be missing before a holding lapses.
        drift_grace: Duration = hours(72), secs(1)..;
        /// How long servers may be unreachable before a holding is at risk.
        unreachable_after: Duration = days(14), secs(1)..;
        /// The least pause between two checks of a claim that a client asks for.
        manual_gap: Duration = secs(10);
        /// Checks of a claim that clients may ask for within an hour.
        manual_per_hour: usize = 10, 1..=100;
        /// Open claims of one workspace on one name, over all its apps, the one that holds it not counted: more are refused.
        open_claims_per_claimant: usize = 3, 1..;
        /// Open claims on one name, over all workspaces, whose record was not seen at any server. One more is let in, and
        /// another one ends: first one whose verification was never requested, then the oldest.
        open_claims_per_name: usize = 50, 1..;
    }

    /// What one client may take.
    limits: Limits = "limits" {
        /// Requests a second of one key, in the long run.
        rate: u32 = 50, 1..;
        /// Requests of one key at once.
        burst: u32 = 200, 1..;
        /// Claims of one workspace, those of its apps included, that are open and not held.
        open_claims_per_workspace: u64 = 1000, 1..;
        /// How long a key that was looked up is remembered: a revoked key is refused after so long at the latest.
        key_memory: Duration = secs(5), secs(0)..=secs(300);
    }

    /// Domains of workspaces.
    domains: Domains = "domains" {
        /// The region that a domain shows which was added without one: at most 64 printable ASCII characters.
        default_region: Text = "default".into();
    }

    /// Hostnames of apps.
    apps: Apps = "apps" {
        /// The domain below which every app has its CNAME target, `{slug}.{cname_base}`: one of your own.
        cname_base: DomainName = localhost();
        /// When a proven hostname goes into service: at once, or when the TLS side says so.
        activation: Activation = Activation::Immediate;
        /// Networks of proxies: a hostname that leads there counts as proxied, since nobody sees what is behind. Default: those
        /// that Cloudflare publishes.
        proxy_networks: Vec<Network> = deed_probe::proxy_networks();
    }

    /// The role that checks.
    verifier: Verifier = "verifier" {
        /// How many of the zone's servers that answer have to show a record: more than half, or all ("strict").
        agreement: Agreement = Agreement::Majority;
        /// Whether an alias that comes from a wildcard (`*.acme.com CNAME ...`) may prove a registrable domain: whoever is at
        /// its end proves every domain that has such an alias.
        accept_wildcard: bool = false;
        /// Checks that run at a time.
        in_flight: usize = 64, 1..=10_000;
        /// How much earlier than due a check may be made, for clocks that differ.
        early: Duration = secs(2), secs(0)..=secs(60);
        /// The first pause before work that the store had no answer for is given back; it doubles each time.
        pause: Duration = secs(1), Duration::from_millis(10)..=secs(60);
    }

    /// How the log is followed, by the projector (lists, due work) and the relay (log to bus), and how the right to be
    /// the only one is kept.
    subscriptions: Subscriptions = "subscriptions" {
        /// Events taken at a time.
        batch: usize = 500, 1..=10_000;
        /// How often the log is read when nothing announces an event.
        poll: Duration = Duration::from_millis(500), Duration::from_millis(10)..=secs(60);
        /// How long a process that died keeps its standbys waiting.
        lease_ttl: Duration = secs(4), secs(1)..=secs(300);
        /// The longest pause after something went wrong.
        backoff_max: Duration = secs(5), Duration::from_millis(50)..=secs(300);
    }

    /// The part that sends due work to the verifier.
    dispatcher: Dispatcher = "dispatcher" {
        /// How long work that was sent stays hidden; what is not done by then is sent again.
        visibility: Duration = secs(30), secs(1)..=hours(1);
        /// How often due work is looked for when nothing announces it.
        poll: Duration = Duration::from_millis(500), Duration::from_millis(10)..=secs(60);
        /// Pieces of work sent at a time.
        batch: usize = 500, 1..=10_000;
        /// Pieces of work sent a second at most, so that what piled up during an outage is not sent all at once.
        rate: u32 = 500, 1..=1_000_000;
        /// Messages that may wait for the verifier; while there are as many, no due work is sent.
        window: usize = 2000, 1..=1_000_000;
    }

    /// What is written to standard error while the service runs.
    log: Log = "log" {
        /// One JSON object a line, or lines for people.
        format: LogFormat = LogFormat::Json;
        /// Which lines: a level, or `target=level` pairs.
        filter: Text = "info,actix_server=warn,actix_http=off,lapin=off,hickory_net=off,hickory_proto=off".into();
    }

    /// Traces: what happened to a request in all processes together, sent to a receiver of OpenTelemetry (OTLP over HTTP).
    telemetry: Telemetry = "telemetry" {
        /// The address of a receiver, `http://host:4318`; `/v1/traces` is put behind it. Default: nothing is traced.
        endpoint: Option<Text> = None;
        /// The share of traces begun here that are kept. Where a caller has decided already, the decision stands.
        sample_ratio: Ratio = Ratio::ALL;
        /// Headers for the receiver, `name=value` with commas between, such as a key.
        headers: Option<Secret> = None;
        /// How long the receiver may take for a batch of spans.
        timeout: Duration = secs(5), Duration::from_millis(100)..=secs(60);
        /// Finished spans that may wait to be sent; those beyond are dropped and counted.
        queue: usize = 4096, 1..=1_000_000;
    }
}
