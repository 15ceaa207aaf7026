//! The private internet of a test: zones, the servers they are on, and checks against them.
use std::any::Any;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use deed_claims::name::DomainName;
use deed_claims::{Challenge, ChallengeTemplates, Scope, Token};
use deed_diagnosis::{Context, Observation, Outcome, Reply, ServerAnswer, judge_within};
use deed_probe::{ProbeConfig, Prober, Question, RootHint, TrustAnchor};
use deed_testkit::{Bind, Denial, Knot, Nsd, PowerDns, SignedZone, Validity, ZoneText, free_port};

/// A DNS daemon that serves zones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Daemon {
    Nsd,
    Bind,
    Knot,
    PowerDns,
}

impl Daemon {
    const ALL: [Self; 4] = [Self::Nsd, Self::Bind, Self::Knot, Self::PowerDns];

    /// The name server's label within each zone.
    pub fn label(self) -> &'static str {
        match self {
            Self::Nsd => "nsd",
            Self::Bind => "bind",
            Self::Knot => "knot",
            Self::PowerDns => "pdns",
        }
    }

    fn last_octet(self) -> u8 {
        match self {
            Self::Nsd => 11,
            // Not used: BIND has a fixed address.
            Self::Bind => 1,
            Self::Knot => 13,
            Self::PowerDns => 14,
        }
    }
}

/// The zones of an internet that is not started yet.
pub struct InternetPlan {
    block: u8,
    zones: Vec<(Daemon, ZoneText)>,
    broken: Vec<String>,
    com: String,
}

/// Running servers, which end when this is dropped.
pub struct Internet {
    pub block: u8,
    pub port: u16,
    /// The DS record of the root's key.
    pub anchor: String,
    pub knot: Option<Knot>,
    /// Kept running.
    servers: Vec<Box<dyn Any>>,
}

impl InternetPlan {
    /// Each test has its own block of addresses: 127.53.`block`.0/24.
    pub fn in_block(block: u8) -> Self {
        Self { block, zones: vec![], broken: vec![], com: String::new() }
    }

    fn address(&self, daemon: Daemon) -> Ipv4Addr {
        if daemon == Daemon::Bind { Bind::ADDRESS } else { at(self.block, daemon.last_octet()) }
    }

    /// A domain below `com`, served equally by these daemons and delegated to them.
    pub fn domain(self, name: &str, daemons: &[Daemon], lines: &str) -> Self {
        let mut plan = self;
        for daemon in daemons {
            let zone = plan.zone(name, daemons, 7, lines);
            plan.zones.push((*daemon, zone));
        }
        plan.delegated_to(name, daemons)
    }

    /// A domain signed by its daemon.
    pub fn signed_domain(self, name: &str, daemon: Daemon, lines: &str) -> Self {
        let mut plan = self;
        let zone = plan.zone(name, &[daemon], 7, lines).signed();
        plan.zones.push((daemon, zone));
        plan.delegated_to(name, &[daemon])
    }

    /// A domain of which each daemon serves another version: its serial and its lines.
    pub fn diverging_domain(self, name: &str, states: &[(Daemon, u32, &str)]) -> Self {
        let daemons: Vec<Daemon> = states.iter().map(|(daemon, ..)| *daemon).collect();
        let mut plan = self;
        for (daemon, serial, lines) in states {
            let zone = plan.zone(name, &daemons, *serial, lines);
            plan.zones.push((*daemon, zone));
        }
        plan.delegated_to(name, &daemons)
    }

    /// A domain whose name server is named in another domain.
    pub fn hosted_domain(self, name: &str, host: &str, daemon: Daemon, lines: &str) -> Self {
        let mut plan = self;
        let server = format!("{}.{host}", daemon.label());
        let text = format!("@ NS {server}.\n{lines}");
        plan.zones.push((daemon, ZoneText::with_soa(name, &server, 7, 3600, &text)));
        plan.com(&format!("{name}. NS {server}."))
    }

    /// A domain that BIND cannot load.
    pub fn broken_domain(self, name: &str) -> Self {
        let mut plan = self;
        plan.broken.push(name.to_owned());
        let zone = ZoneText { origin: name.to_owned(), text: "no record (".to_owned(), signed: false };
        plan.zones.push((Daemon::Bind, zone));
        plan.delegated_to(name, &[Daemon::Bind])
    }

    /// Prebuilt copies of a zone, one for each daemon, with its DS records.
    pub fn prebuilt_copies(self, copies: Vec<(Daemon, ZoneText)>, ds: &str) -> Self {
        let mut plan = self;
        let daemons: Vec<Daemon> = copies.iter().map(|(daemon, _)| *daemon).collect();
        let name = copies[0].1.origin.clone();
        plan.zones.extend(copies);
        plan.delegated_to(&name, &daemons).com(ds)
    }

    /// One more zone on a daemon; the parent zone has to delegate to it by its own lines.
    pub fn zone_on(self, daemon: Daemon, zone: ZoneText) -> Self {
        let mut plan = self;
        plan.zones.push((daemon, zone));
        plan
    }

    /// A prebuilt zone with its DS records.
    pub fn prebuilt_domain(self, daemon: Daemon, zone: ZoneText, ds: &str) -> Self {
        let mut plan = self;
        let name = zone.origin.clone();
        plan.zones.push((daemon, zone));
        plan.delegated_to(&name, &[daemon]).com(ds)
    }

    /// The text of a zone as `domain` would serve it.
    pub fn zone(&self, name: &str, daemons: &[Daemon], serial: u32, lines: &str) -> ZoneText {
        let mut all = String::new();
        for daemon in daemons {
            let label = daemon.label();
            let _ = writeln!(all, "@ NS {label}\n{label} A {}", self.address(*daemon));
        }
        all.push_str(lines);
        ZoneText::with_soa(name, &format!("{}.{name}", daemons[0].label()), serial, 3600, &all)
    }

    /// A delegation without a zone.
    pub fn delegated_to(self, name: &str, daemons: &[Daemon]) -> Self {
        let mut plan = self;
        for daemon in daemons {
            let (label, address) = (daemon.label(), plan.address(*daemon));
            let _ = writeln!(plan.com, "{name}. NS {label}.{name}.\n{label}.{name}. A {address}");
        }
        plan
    }

    /// Adds lines to the zone `com`.
    pub fn com(mut self, lines: &str) -> Self {
        self.com.push_str(lines);
        self.com.push('\n');
        self
    }

    /// Starts all daemons; scripted servers may use free addresses at the same port.
    pub fn start(self) -> Internet {
        let block = self.block;
        let all: Vec<Ipv4Addr> = (1..=99).map(|last| at(block, last)).chain([Bind::ADDRESS]).collect();
        self.start_at(free_port(&all))
    }

    /// Starts all daemons at this port; port 53, for resolvers, needs a network namespace.
    pub fn start_at(self, port: u16) -> Internet {
        let block = self.block;
        let mut internet = Internet { block, port, anchor: String::new(), knot: None, servers: vec![] };
        let mut com = self.com.clone();
        for daemon in Daemon::ALL {
            let zones =
                || self.zones.iter().filter(move |(on, _)| *on == daemon).map(|(_, zone)| zone.clone());
            let zones: Vec<ZoneText> = zones().collect();
            let signed: Vec<String> = zones.iter().filter(|z| z.signed).map(|z| z.origin.clone()).collect();
            let address = self.address(daemon);
            let server: Box<dyn Any> = match daemon {
                _ if zones.is_empty() => continue,
                Daemon::Nsd => Box::new(Nsd::start(address, port, &zones)),
                Daemon::Bind => {
                    let broken: Vec<&str> = self.broken.iter().map(String::as_str).collect();
                    Box::new(Bind::start(port, &zones, &broken))
                }
                Daemon::Knot => {
                    let knot = Knot::start(address, port, &zones);
                    com.extend(signed.iter().map(|zone| knot.ds(zone) + "\n"));
                    internet.knot = Some(knot);
                    continue;
                }
                Daemon::PowerDns => {
                    let server = PowerDns::start(address, port, &zones);
                    com.extend(signed.iter().map(|zone| server.ds(zone) + "\n"));
                    Box::new(server)
                }
            };
            internet.servers.push(server);
        }
        internet.start_parents(&com);
        internet
    }
}

impl Internet {
    /// Starts the root, and `com` as it is in reality: NSEC3 with opt-out.
    fn start_parents(&mut self, lines: &str) {
        let (root_at, com_at) = (at(self.block, 1), at(self.block, 2));
        let com = ZoneText::with_soa("com", "ns.com", 3, 900, &format!("@ NS ns\nns A {com_at}\n{lines}"));
        let com = SignedZone::sign(&com, Denial::OptOut, Validity::Now);
        let root =
            format!("@ NS ns.root.\nns.root. A {root_at}\ncom. NS ns.com.\nns.com. A {com_at}\n{}", com.ds);
        let root = ZoneText::with_soa("", "ns.root", 5, 900, &root);
        let root = SignedZone::sign(&root, Denial::Nsec, Validity::Now);
        self.servers.push(Box::new(Nsd::start(com_at, self.port, &[com.zone])));
        self.servers.push(Box::new(Nsd::start(root_at, self.port, &[root.zone])));
        self.anchor = root.ds;
    }

    pub fn at(&self, last: u8) -> SocketAddr {
        (at(self.block, last), self.port).into()
    }

    /// A configuration with the root's address and without its key, which allows the addresses of this internet.
    pub fn config(&self) -> ProbeConfig {
        let networks = [format!("127.53.{}.0/24", self.block), format!("{}/32", Bind::ADDRESS)];
        ProbeConfig {
            vantage: "test".into(),
            port: self.port,
            allow_networks: networks.iter().map(|network| network.parse().unwrap()).collect(),
            roots: vec![RootHint { name: "ns.root".into(), addr: IpAddr::V4(at(self.block, 1)) }],
            // Long enough for a busy machine.
            udp_timeout: Duration::from_secs(6),
            tcp_timeout: Duration::from_secs(6),
            // Unlimited, since one server serves many zones here.
            server_rate: 0,
            ..ProbeConfig::default()
        }
    }

    pub fn prober(&self) -> Prober {
        self.prober_with(|_| {})
    }

    /// The trust anchor of the root.
    pub fn key(&self) -> TrustAnchor {
        self.anchor.parse().unwrap()
    }

    pub fn prober_with(&self, change: impl FnOnce(&mut ProbeConfig)) -> Prober {
        let mut config = self.config();
        change(&mut config);
        Prober::new(config).unwrap()
    }
}

pub fn at(block: u8, last: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 53, block, last)
}

/// One check: the observation and its outcome.
#[derive(Debug)]
pub struct CheckedZone {
    pub seen: Observation,
    pub outcome: Outcome,
}

/// The challenge for a domain; every claim of a test has the same token.
pub fn challenge(domain: &str) -> Challenge {
    challenge_with(domain, [7; 20])
}

pub fn challenge_with(domain: &str, token: [u8; 20]) -> Challenge {
    let name = DomainName::parse(domain).unwrap();
    ChallengeTemplates::default().challenge(Scope::Apex, &name, Token::from_bytes(token))
}

/// The record value of every claim.
pub fn value() -> String {
    challenge("acme.com").record_value.to_string()
}

pub fn token() -> String {
    challenge("acme.com").token.as_str().to_owned()
}

pub fn question(domain: &str) -> Question {
    let challenge = challenge(domain);
    Question {
        name: challenge.record_name.to_string(),
        looking_for: vec![challenge.record_value.as_bytes().to_vec()],
        confirm_absence: false,
        apex: Some(domain.to_owned()),
        route: None,
    }
}

/// A check of a name without a holder and without earlier claims.
pub async fn check(prober: &Prober, domain: &str) -> CheckedZone {
    check_in_context(prober, domain, &Context::default()).await
}

/// A check in a context. When a name is at stake, an absence has to be confirmed.
pub async fn check_in_context(prober: &Prober, domain: &str, context: &Context) -> CheckedZone {
    let question = Question { confirm_absence: context.at_stake, ..question(domain) };
    let seen = prober.probe(question).await;
    let outcome = judge_within(&challenge(domain), context, &seen);
    CheckedZone { seen, outcome }
}

impl CheckedZone {
    /// The code, or `proven`.
    pub fn code(&self) -> &'static str {
        self.outcome.code().map_or("proven", deed_diagnosis::Code::as_str)
    }

    #[track_caller]
    pub fn assert_proven(&self) {
        assert_eq!(self.outcome, Outcome::Proven, "{:#?}", self.seen);
    }
}

/// The values in one server's answer.
pub fn values(answer: &ServerAnswer) -> Vec<Vec<u8>> {
    match &answer.reply {
        Reply::Message { values, .. } => values.clone(),
        other => panic!("no message: {other:?}"),
    }
}
