//! The internet of a test: what is served where, and how it is looked at.
use std::any::Any;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use deed_claims::name::DomainName;
use deed_claims::{
    Challenge, ChallengeTemplates, Context, Observation, Outcome, Reply, Scope, ServerAnswer, Token,
    judge_within,
};
use deed_probe::{ProbeConfig, Prober, Question, RootHint, TrustAnchor};
use deed_testkit::{Bind, Denial, Knot, Nsd, PowerDns, SignedZone, Validity, ZoneText, free_port};

/// A server that a zone is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Nsd,
    Bind,
    Knot,
    PowerDns,
}

impl By {
    const ALL: [Self; 4] = [Self::Nsd, Self::Bind, Self::Knot, Self::PowerDns];

    /// Its name within each zone.
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
            // It has an address of its own.
            Self::Bind => 1,
            Self::Knot => 13,
            Self::PowerDns => 14,
        }
    }
}

/// An internet before it is there.
pub struct Plan {
    block: u8,
    zones: Vec<(By, ZoneText)>,
    broken: Vec<String>,
    com: String,
}

/// Servers that serve until this is dropped.
pub struct Internet {
    pub block: u8,
    pub port: u16,
    /// The key of the root.
    pub anchor: String,
    pub knot: Option<Knot>,
    /// Only kept alive.
    servers: Vec<Box<dyn Any>>,
}

impl Plan {
    /// Each test has a block of addresses to itself: 127.53.`block`.0/24.
    pub fn in_block(block: u8) -> Self {
        Self { block, zones: vec![], broken: vec![], com: String::new() }
    }

    fn address(&self, by: By) -> Ipv4Addr {
        if by == By::Bind { Bind::ADDRESS } else { at(self.block, by.last_octet()) }
    }

    /// A domain below `com`, on these servers alike and delegated to them.
    pub fn domain(self, name: &str, by: &[By], lines: &str) -> Self {
        let mut plan = self;
        for server in by {
            let zone = plan.zone(name, by, 7, lines);
            plan.zones.push((*server, zone));
        }
        plan.delegated_to(name, by)
    }

    /// The same, and signed by its server.
    pub fn signed_domain(self, name: &str, by: By, lines: &str) -> Self {
        let mut plan = self;
        let zone = plan.zone(name, &[by], 7, lines).signed();
        plan.zones.push((by, zone));
        plan.delegated_to(name, &[by])
    }

    /// A domain of which each server has a state of its own: its serial and its lines.
    pub fn split_domain(self, name: &str, states: &[(By, u32, &str)]) -> Self {
        let by: Vec<By> = states.iter().map(|(by, ..)| *by).collect();
        let mut plan = self;
        for (server, serial, lines) in states {
            let zone = plan.zone(name, &by, *serial, lines);
            plan.zones.push((*server, zone));
        }
        plan.delegated_to(name, &by)
    }

    /// A domain whose server has its name in another one.
    pub fn guest_domain(self, name: &str, host: &str, by: By, lines: &str) -> Self {
        let mut plan = self;
        let server = format!("{}.{host}", by.label());
        let text = format!("@ NS {server}.\n{lines}");
        plan.zones.push((by, ZoneText::with_soa(name, &server, 7, 3600, &text)));
        plan.com(&format!("{name}. NS {server}."))
    }

    /// A domain that BIND cannot load.
    pub fn broken_domain(self, name: &str) -> Self {
        let mut plan = self;
        plan.broken.push(name.to_owned());
        let zone = ZoneText { origin: name.to_owned(), text: "no record (".to_owned(), signed: false };
        plan.zones.push((By::Bind, zone));
        plan.delegated_to(name, &[By::Bind])
    }

    /// Copies of a zone made elsewhere, one on each of these servers, with its DS records.
    pub fn made_copies(self, copies: Vec<(By, ZoneText)>, ds: &str) -> Self {
        let mut plan = self;
        let by: Vec<By> = copies.iter().map(|(by, _)| *by).collect();
        let name = copies[0].1.origin.clone();
        plan.zones.extend(copies);
        plan.delegated_to(&name, &by).com(ds)
    }

    /// One more zone on a server, to which the zone around it has to refer by itself.
    pub fn zone_on(self, by: By, zone: ZoneText) -> Self {
        let mut plan = self;
        plan.zones.push((by, zone));
        plan
    }

    /// A zone made elsewhere, with its DS records.
    pub fn made_domain(self, by: By, zone: ZoneText, ds: &str) -> Self {
        let mut plan = self;
        let name = zone.origin.clone();
        plan.zones.push((by, zone));
        plan.delegated_to(&name, &[by]).com(ds)
    }

    /// The text of a zone as `domain` would serve it.
    pub fn zone(&self, name: &str, by: &[By], serial: u32, lines: &str) -> ZoneText {
        let mut all = String::new();
        for server in by {
            let label = server.label();
            let _ = writeln!(all, "@ NS {label}\n{label} A {}", self.address(*server));
        }
        all.push_str(lines);
        ZoneText::with_soa(name, &format!("{}.{name}", by[0].label()), serial, 3600, &all)
    }

    /// Only the delegation.
    pub fn delegated_to(self, name: &str, by: &[By]) -> Self {
        let mut plan = self;
        for server in by {
            let (label, address) = (server.label(), plan.address(*server));
            let _ = writeln!(plan.com, "{name}. NS {label}.{name}.\n{label}.{name}. A {address}");
        }
        plan
    }

    /// Lines of the zone `com`.
    pub fn com(mut self, lines: &str) -> Self {
        self.com.push_str(lines);
        self.com.push('\n');
        self
    }

    /// Starts everything; scripted servers take their place at the same port.
    pub fn start(self) -> Internet {
        let block = self.block;
        let all: Vec<Ipv4Addr> = (1..=99).map(|last| at(block, last)).chain([Bind::ADDRESS]).collect();
        self.start_at(free_port(&all))
    }

    /// The same at the port where resolvers ask, for which a test needs a network of its own.
    pub fn start_at(self, port: u16) -> Internet {
        let block = self.block;
        let mut internet = Internet { block, port, anchor: String::new(), knot: None, servers: vec![] };
        let mut com = self.com.clone();
        for by in By::ALL {
            let zones = || self.zones.iter().filter(move |(on, _)| *on == by).map(|(_, zone)| zone.clone());
            let zones: Vec<ZoneText> = zones().collect();
            let signed: Vec<String> = zones.iter().filter(|z| z.signed).map(|z| z.origin.clone()).collect();
            let address = self.address(by);
            let server: Box<dyn Any> = match by {
                _ if zones.is_empty() => continue,
                By::Nsd => Box::new(Nsd::start(address, port, &zones)),
                By::Bind => {
                    let broken: Vec<&str> = self.broken.iter().map(String::as_str).collect();
                    Box::new(Bind::start(port, &zones, &broken))
                }
                By::Knot => {
                    let knot = Knot::start(address, port, &zones);
                    com.extend(signed.iter().map(|zone| knot.ds(zone) + "\n"));
                    internet.knot = Some(knot);
                    continue;
                }
                By::PowerDns => {
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
    /// The root, and `com` as the real one is: hashed denials, and none for delegations without keys.
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

    /// The root is known, its key is not, and the addresses of this internet may be asked.
    pub fn config(&self) -> ProbeConfig {
        let networks = [format!("127.53.{}.0/24", self.block), format!("{}/32", Bind::ADDRESS)];
        ProbeConfig {
            vantage: "test".into(),
            port: self.port,
            allow_networks: networks.iter().map(|network| network.parse().unwrap()).collect(),
            roots: vec![RootHint { name: "ns.root".into(), addr: IpAddr::V4(at(self.block, 1)) }],
            // Long, so that a busy machine is not taken for a silent server.
            udp_timeout: Duration::from_secs(6),
            tcp_timeout: Duration::from_secs(6),
            // One server stands for many here.
            server_rate: 0,
            ..ProbeConfig::default()
        }
    }

    pub fn prober(&self) -> Prober {
        self.prober_with(|_| {})
    }

    /// The key of the root, for whoever validates.
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

/// One check: what was seen and what it was taken for.
#[derive(Debug)]
pub struct Checked {
    pub seen: Observation,
    pub outcome: Outcome,
}

/// Every claim of a test has the same token.
pub fn challenge(domain: &str) -> Challenge {
    challenge_with(domain, [7; 20])
}

pub fn challenge_with(domain: &str, token: [u8; 20]) -> Challenge {
    let name = DomainName::parse(domain).unwrap();
    ChallengeTemplates::default().challenge(Scope::Apex, &name, Token::from_bytes(token))
}

/// The value of every claim.
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

/// A check of a name that nobody holds, by somebody who claims it for the first time.
pub async fn check(prober: &Prober, domain: &str) -> Checked {
    check_within(prober, domain, &Context::default()).await
}

/// A check as it is made where more is known. What can cost somebody a name has to be confirmed.
pub async fn check_within(prober: &Prober, domain: &str, context: &Context) -> Checked {
    let question = Question { confirm_absence: context.at_stake, ..question(domain) };
    let seen = prober.probe(question).await;
    let outcome = judge_within(&challenge(domain), context, &seen);
    Checked { seen, outcome }
}

impl Checked {
    /// The code, or `proven`.
    pub fn verdict(&self) -> &'static str {
        self.outcome.code().map_or("proven", deed_claims::Code::as_str)
    }

    #[track_caller]
    pub fn assert_proven(&self) {
        assert_eq!(self.outcome, Outcome::Proven, "{:#?}", self.seen);
    }
}

/// The values that one server showed.
pub fn values(answer: &ServerAnswer) -> Vec<Vec<u8>> {
    match &answer.reply {
        Reply::Message { values, .. } => values.clone(),
        other => panic!("no message: {other:?}"),
    }
}
