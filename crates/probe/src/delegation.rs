//! Reads the answer of a parent's server about a child name: a zone cut with its name servers, no cut, or nothing
//! usable.
use std::collections::BTreeSet;
use std::net::IpAddr;

use deed_diagnosis::{NetworkFault, ServerAnswer};
use hickory_proto::rr::{Name, RData, Record};
use tokio::time::Instant;

use crate::config::ConfigError;
use crate::most_frequent::most_frequent;
use crate::rcode::{NOERROR, NXDOMAIN};
use crate::response::Response;
use crate::roots::RootHint;

/// A zone and the servers its parent names for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delegation {
    pub(crate) zone: Name,
    pub(crate) servers: Vec<NameServer>,
    pub(crate) source: Source,
    /// Answers of servers of zones above (below the registries) that contradict this delegation.
    pub(crate) dissent: Vec<ServerAnswer>,
    /// Whether names without glue have been resolved; that happens once.
    pub(crate) resolved: bool,
    pub(crate) learned: Instant,
}

/// The origin of the servers' addresses, which decides whether they have to be public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The configuration: the root servers.
    Configured,
    /// The DNS.
    Dns,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NameServer {
    pub(crate) name: Name,
    pub(crate) addresses: Addresses,
}

/// What is known of a name server's addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Addresses {
    /// No glue came, and it has not been resolved.
    Unknown,
    /// At least one.
    Known(Vec<IpAddr>),
    /// Resolved: there is no address.
    None,
    /// Resolving it got no answer.
    Failed(NetworkFault),
}

/// Addresses kept per name server.
const ADDRESSES: usize = 4;

impl Addresses {
    /// The addresses to keep, independent of their order: half of each family, and more where the other one has less.
    pub(crate) fn of(mut found: Vec<IpAddr>) -> Self {
        found.sort_unstable();
        found.dedup();
        let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = found.into_iter().partition(IpAddr::is_ipv4);
        let longest = v4.len().max(v6.len());
        let each: Vec<IpAddr> =
            (0..longest).flat_map(|i| [v4.get(i), v6.get(i)]).flatten().copied().take(ADDRESSES).collect();
        if each.is_empty() { Self::None } else { Self::Known(each) }
    }
}

impl Delegation {
    pub(crate) fn new(zone: Name, servers: Vec<NameServer>, source: Source) -> Self {
        Self { zone, servers, source, dissent: vec![], resolved: false, learned: Instant::now() }
    }

    /// The root zone with the configured servers.
    pub(crate) fn root(hints: &[RootHint]) -> Result<Self, ConfigError> {
        let mut servers: Vec<NameServer> = vec![];
        for hint in hints {
            let mut name =
                Name::from_ascii(&hint.name).map_err(|_| ConfigError::RootName(hint.name.clone()))?;
            name.set_fqdn(true);
            match servers.iter_mut().find(|s| s.name == name) {
                Some(NameServer { addresses: Addresses::Known(known), .. }) => known.push(hint.addr),
                _ => servers.push(NameServer { name, addresses: Addresses::Known(vec![hint.addr]) }),
            }
        }
        Ok(Self::new(Name::root(), servers, Source::Configured))
    }

    /// Whether another delegation is to the same zone on the same name servers.
    pub(crate) fn has_servers_of(&self, other: &Self) -> bool {
        let names = |of: &Self| of.servers.iter().map(|server| server.name.clone()).collect::<Vec<_>>();
        self.zone == other.zone && names(self) == names(other)
    }

    /// Whether at least one server can be queried without resolving its name first.
    pub(crate) fn has_addresses(&self) -> bool {
        self.servers.iter().any(|s| matches!(s.addresses, Addresses::Known(_)))
    }
}

/// The meaning of an answer for a walk that is at `zone` and asks for the name servers of `child`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A zone below, from a referral.
    Referred(Delegation),
    /// The child is a zone on the same server: its NS records come with authority, addresses perhaps not.
    Shared(Delegation),
    /// The child is a name inside the zone.
    NoCut,
    /// The child does not exist, and neither does any name below it (RFC 8020).
    Denied,
    /// The child is an alias: nothing lies below it.
    Alias,
}

/// The kind of a step, independent of the name servers of a zone below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StepKind {
    Cut,
    NoCut,
    Denied,
    Alias,
}

impl Step {
    pub(crate) fn kind(&self) -> StepKind {
        match self {
            Self::Referred(_) | Self::Shared(_) => StepKind::Cut,
            Self::NoCut => StepKind::NoCut,
            Self::Denied => StepKind::Denied,
            Self::Alias => StepKind::Alias,
        }
    }

    /// The word for the log.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Referred(_) => "referred",
            Self::Shared(_) => "shared",
            Self::NoCut => "no cut",
            Self::Denied => "denied",
            Self::Alias => "alias",
        }
    }

    /// The zone below, where there is one.
    pub(crate) fn delegation(&self) -> Option<&Delegation> {
        match self {
            Self::Referred(below) | Self::Shared(below) => Some(below),
            Self::NoCut | Self::Denied | Self::Alias => None,
        }
    }
}

/// Reads a step; none when the answer is unusable, for instance from a lame server.
pub(crate) fn step(response: &Response, zone: &Name, child: &Name, most: usize) -> Option<Step> {
    let authoritative = response.authoritative() && !response.truncated();
    match response.rcode() {
        NOERROR => {}
        NXDOMAIN if authoritative => return Some(Step::Denied),
        _ => return None,
    }
    if authoritative {
        let shared = servers(response, response.answers(), zone, child, most);
        if !shared.is_empty() {
            return Some(Step::Shared(Delegation::new(child.to_lowercase(), shared, Source::Dns)));
        }
        if response.answers().any(|r| r.name == *child && matches!(r.data, RData::CNAME(_))) {
            return Some(Step::Alias);
        }
    }
    match referral(response, zone, child, most) {
        Some(below) => Some(Step::Referred(below)),
        None => authoritative.then_some(Step::NoCut),
    }
}

/// A referral to a zone that encloses `name` and lies strictly below `zone`; upward and sideways referrals are
/// ignored.
///
/// The AA bit is ignored: some servers set it on referrals, and NS records below the zone without an SOA have no
/// other meaning.
pub(crate) fn referral(response: &Response, zone: &Name, name: &Name, most: usize) -> Option<Delegation> {
    let mut owner = None;
    for record in response.authorities() {
        match &record.data {
            RData::SOA(_) => return None,
            RData::NS(_) if owner.is_none() && below(zone, &record.name) && record.name.zone_of(name) => {
                owner = Some(&record.name);
            }
            _ => {}
        }
    }
    let owner = owner?;
    let servers = servers(response, response.authorities(), zone, owner, most);
    Some(Delegation::new(owner.to_lowercase(), servers, Source::Dns))
}

/// The delegation that most of these agree on, each from another name server of the zone above: the most frequent
/// zone and set of servers, and for each server the addresses that more than half of the delegations with glue for it
/// give.
pub(crate) fn majority_of(delegations: &[&Delegation]) -> Option<Delegation> {
    let zone = most_frequent(delegations.iter().map(|delegation| &delegation.zone))?;
    let of_zone: Vec<&Delegation> = delegations.iter().filter(|d| d.zone == *zone).copied().collect();
    let servers =
        most_frequent(of_zone.iter().map(|d| d.servers.iter().map(|s| &s.name).collect::<Vec<_>>()))?;
    let servers = servers.into_iter().map(|name| {
        let glue = of_zone.iter().flat_map(|d| &d.servers).filter(|server| server.name == *name);
        let given: Vec<&Vec<IpAddr>> = glue
            .filter_map(|server| match &server.addresses {
                Addresses::Known(addresses) => Some(addresses),
                _ => None,
            })
            .collect();
        let most =
            |address: &IpAddr| given.iter().filter(|all| all.contains(address)).count() * 2 > given.len();
        let found: Vec<IpAddr> = given.iter().copied().flatten().copied().filter(|a| most(a)).collect();
        let addresses = match Addresses::of(found) {
            Addresses::None => Addresses::Unknown,
            known => known,
        };
        NameServer { name: name.clone(), addresses }
    });
    Some(Delegation::new(zone.clone(), servers.collect(), Source::Dns))
}

fn below(zone: &Name, name: &Name) -> bool {
    zone.zone_of(name) && name.iter().len() > zone.iter().len()
}

/// The name servers of a zone according to a trusted resolver.
pub(crate) fn from_resolver(response: &Response, zone: &Name, most: usize) -> Option<Delegation> {
    // Glue from a resolver may come from its cache: the addresses are resolved instead.
    let names = servers(response, response.answers(), zone, zone, most).into_iter();
    let servers: Vec<_> = names.map(|s| NameServer { addresses: Addresses::Unknown, ..s }).collect();
    (!servers.is_empty()).then(|| Delegation::new(zone.to_lowercase(), servers, Source::Dns))
}

/// The name servers of one owner in canonical order, without duplicates, with the glue that the answering zone may
/// give.
fn servers<'r>(
    response: &Response,
    section: impl Iterator<Item = &'r Record>,
    zone: &Name,
    owner: &Name,
    most: usize,
) -> Vec<NameServer> {
    let names = section.filter(|r| r.name == *owner).filter_map(|record| match &record.data {
        RData::NS(target) => Some(target.0.to_lowercase()),
        _ => None,
    });
    // Servers rotate their records: which names are read must not depend on that.
    let names: BTreeSet<Name> = names.collect();
    let glued = |name: Name| NameServer { addresses: glue(response, zone, &name), name };
    names.into_iter().take(most).map(glued).collect()
}

/// Glue counts only inside the zone whose server answers (in-bailiwick).
fn glue(response: &Response, zone: &Name, server: &Name) -> Addresses {
    if !zone.zone_of(server) {
        return Addresses::Unknown;
    }
    let found: Vec<IpAddr> =
        response.additionals().filter(|r| r.name == *server).filter_map(|r| r.data.ip_addr()).collect();
    match Addresses::of(found) {
        Addresses::None => Addresses::Unknown,
        known => known,
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
    use hickory_proto::rr::rdata::{A, CNAME, NS, SOA};

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn ns(owner: &str, server: &str) -> Record {
        Record::from_rdata(name(owner), 60, RData::NS(NS(name(server))))
    }

    fn a(owner: &str, last: u8) -> Record {
        Record::from_rdata(name(owner), 60, RData::A(A::new(192, 0, 2, last)))
    }

    fn soa(owner: &str) -> Record {
        let soa = SOA::new(name("ns."), name("h."), 1, 1, 1, 1, 1);
        Record::from_rdata(name(owner), 60, RData::SOA(soa))
    }

    fn read(authoritative: bool, code: ResponseCode, change: impl FnOnce(&mut Message)) -> Option<Step> {
        let mut message = Message::new(1, MessageType::Response, OpCode::Query);
        message.metadata.authoritative = authoritative;
        message.metadata.response_code = code;
        change(&mut message);
        let response = Response::read(&message.to_vec().unwrap()).unwrap();
        step(&response, &name("test."), &name("acme.test."), 13)
    }

    fn known(last: u8) -> Addresses {
        Addresses::Known(vec![IpAddr::from([192, 0, 2, last])])
    }

    const OK: ResponseCode = ResponseCode::NoError;

    #[test]
    fn referral_gives_names_and_in_bailiwick_glue() {
        let step = read(false, OK, |m| {
            m.add_authority(ns("Acme.test.", "NS1.acme.test."));
            m.add_authority(ns("acme.test.", "ns1.ACME.test."));
            m.add_authority(ns("acme.test.", "ns.sister.test."));
            m.add_authority(ns("acme.test.", "ns.elsewhere."));
            m.add_authority(ns("acme.test.", "ns2.acme.test."));
            for (owner, last) in [("ns1.acme.test.", 1), ("ns.sister.test.", 2), ("ns.elsewhere.", 3)] {
                m.add_additional(a(owner, last));
            }
        });
        let Some(Step::Referred(cut)) = step else { panic!("{step:?}") };
        assert_eq!(cut.zone, name("acme.test."));
        let servers: Vec<_> = cut.servers.iter().map(|s| (s.name.to_ascii(), s.addresses.clone())).collect();
        assert_eq!(
            servers,
            [
                ("ns.elsewhere.".to_owned(), Addresses::Unknown),
                ("ns1.acme.test.".to_owned(), known(1)),
                ("ns2.acme.test.".to_owned(), Addresses::Unknown),
                ("ns.sister.test.".to_owned(), known(2)),
            ]
        );
    }

    #[test]
    fn ignores_referrals_not_down_to_child() {
        for owner in ["test.", ".", "other.test.", "x.acme.test.", "acme.example."] {
            let step = read(false, OK, |m| {
                m.add_authority(ns(owner, "ns.test."));
                m.add_additional(a("ns.test.", 1));
            });
            assert_eq!(step, None, "{owner}");
        }
    }

    #[test]
    fn reads_authoritative_cut_on_shared_server() {
        let step = read(true, OK, |m| {
            m.add_answer(ns("acme.test.", "ns.test."));
            m.add_additional(a("ns.test.", 1));
        });
        let Some(Step::Shared(cut)) = step else { panic!("{step:?}") };
        assert_eq!((cut.zone, cut.servers[0].addresses.clone()), (name("acme.test."), known(1)));
        assert_eq!(
            read(false, OK, |m| {
                m.add_answer(ns("acme.test.", "ns.test."));
            }),
            None
        );
    }

    #[test]
    fn tells_denials_from_aliases() {
        assert_eq!(
            read(true, OK, |m| {
                m.add_authority(soa("test."));
            }),
            Some(Step::NoCut)
        );
        assert_eq!(
            read(true, ResponseCode::NXDomain, |m| {
                m.add_authority(soa("test."));
            }),
            Some(Step::Denied)
        );
        let alias = Record::from_rdata(name("acme.test."), 1, RData::CNAME(CNAME(name("x.test."))));
        assert_eq!(
            read(true, OK, |m| {
                m.add_answer(alias);
            }),
            Some(Step::Alias)
        );
    }

    #[test]
    fn ignores_lame_and_failing_servers() {
        assert_eq!(read(false, OK, |_| {}), None);
        assert_eq!(read(false, ResponseCode::NXDomain, |_| {}), None);
        assert_eq!(read(true, ResponseCode::ServFail, |_| {}), None);
        assert_eq!(read(true, ResponseCode::Refused, |_| {}), None);
    }

    #[test]
    fn limits_names_read() {
        let step = read(false, OK, |m| {
            for i in 0..40 {
                m.add_authority(ns("acme.test.", &format!("ns{i}.elsewhere.")));
            }
        });
        let Some(Step::Referred(cut)) = step else { panic!("{step:?}") };
        assert_eq!(cut.servers.len(), 13);
    }
}
