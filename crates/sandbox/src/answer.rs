//! The authoritative answer to one query, without transports, faults or wire format.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, Record, RecordType};

use crate::namespace::Namespace;
use crate::zone::{Node, RecordSet, Zone, ZoneLookup, cname_target, ns_target};

/// CNAMEs followed inside the server's own zones before the rest is left to the client.
const MAX_CHAIN: usize = 16;

#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) code: ResponseCode,
    pub(crate) authoritative: bool,
    pub(crate) answers: Vec<Record>,
    pub(crate) authorities: Vec<Record>,
    pub(crate) additionals: Vec<Record>,
    /// The additional section is glue that the client cannot do without (RFC 9471).
    pub(crate) needs_additionals: bool,
}

/// Answers a query for `kind` at `name` from the deepest zone that holds it; REFUSED where there is none.
pub(crate) fn answer(namespace: &Namespace, name: &Name, kind: RecordType) -> Answer {
    let mut answer = Answer::default();
    let mut owner = name.clone();
    let mut seen = vec![owner.clone()];
    loop {
        let Some(next) = add_data(namespace, &owner, kind, &mut answer) else {
            return answer;
        };
        if seen.contains(&next) || seen.len() > MAX_CHAIN {
            return answer;
        }
        seen.push(next.clone());
        owner = next;
    }
}

/// The answer for a nonexistent name; faults use it for existing ones.
pub(crate) fn denial(namespace: &Namespace, name: &Name) -> Answer {
    let mut answer = Answer { code: ResponseCode::NXDomain, ..Answer::default() };
    if let Some(zone) = namespace.zone_for(name) {
        answer.authoritative = true;
        answer.authorities.push(zone.negative_soa());
    }
    answer
}

/// Adds the data of `owner`; returns the target when a CNAME has to be followed.
fn add_data(namespace: &Namespace, owner: &Name, kind: RecordType, answer: &mut Answer) -> Option<Name> {
    let chained = !answer.answers.is_empty();
    let Some(zone) = namespace.zone_for(owner) else {
        if !chained {
            answer.code = ResponseCode::Refused;
        }
        return None;
    };
    // RFC 4035 §3.1.4.1: a DS query at a zone's apex is for the parent, and nothing here is signed.
    if kind == RecordType::DS && zone.origin() == owner && !owner.is_root() {
        let parent = namespace.zone_for(&owner.base_name());
        add_no_data(&parent.unwrap_or(zone), answer);
        return None;
    }
    if let Some((cut, servers)) = zone.delegation(owner)
        && !(kind == RecordType::DS && cut == owner)
    {
        add_referral(namespace, cut, servers, answer);
        return None;
    }
    answer.authoritative = true;
    match zone.look_up(owner, |name| namespace.is_above_zone(name)) {
        ZoneLookup::Records(node) => return add_node(namespace, &zone, node, owner, kind, answer),
        ZoneLookup::EmptyNonTerminal => add_no_data(&zone, answer),
        ZoneLookup::NxDomain => {
            // RFC 6604: after a CNAME the response code is that of the last name.
            answer.code = ResponseCode::NXDomain;
            answer.authorities.push(zone.negative_soa());
        }
    }
    None
}

fn add_node(
    namespace: &Namespace,
    zone: &Zone,
    node: &Node,
    owner: &Name,
    kind: RecordType,
    answer: &mut Answer,
) -> Option<Name> {
    let before = answer.answers.len();
    let soa = (zone.origin() == owner).then(|| zone.soa_set());
    if let (RecordType::SOA | RecordType::ANY, Some(soa)) = (kind, &soa) {
        answer.answers.extend(soa.records(owner));
    }
    if kind == RecordType::ANY {
        answer.answers.extend(node.values().flat_map(|set| set.records(owner)));
    } else if let Some(set) = node.get(&kind) {
        answer.answers.extend(set.records(owner));
        add_addresses(namespace, set, answer);
    } else if let Some(set) = node.get(&RecordType::CNAME) {
        answer.answers.extend(set.records(owner));
        return cname_target(set).cloned();
    }
    if answer.answers.len() == before {
        add_no_data(zone, answer);
    }
    None
}

fn add_no_data(zone: &Zone, answer: &mut Answer) {
    answer.authoritative = true;
    answer.authorities.push(zone.negative_soa());
}

fn add_referral(namespace: &Namespace, cut: &Name, servers: &RecordSet, answer: &mut Answer) {
    answer.authorities.extend(servers.records(cut));
    add_addresses(namespace, servers, answer);
    answer.needs_additionals = true;
}

fn add_addresses(namespace: &Namespace, set: &RecordSet, answer: &mut Answer) {
    for server in set.data.iter().filter_map(ns_target) {
        answer.additionals.extend(namespace.addresses(server));
    }
}
