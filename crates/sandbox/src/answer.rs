//! The authoritative answer to one question, without transports, faults or wire format.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, Record, RecordType};

use crate::namespace::Namespace;
use crate::zone::{Found, Node, RecordSet, Zone, cname_target, ns_target};

/// CNAMEs followed within the server's own zones before the rest is left to the asker.
const MAX_CHAIN: usize = 16;

#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) code: ResponseCode,
    pub(crate) authoritative: bool,
    pub(crate) answers: Vec<Record>,
    pub(crate) authorities: Vec<Record>,
    pub(crate) additionals: Vec<Record>,
    /// The additional section is glue without which the answer is no use (RFC 9471).
    pub(crate) needs_additionals: bool,
}

/// Answers `kind` at `name` from the deepest zone that holds it; refused where there is none.
pub(crate) fn answer(namespace: &Namespace, name: &Name, kind: RecordType) -> Answer {
    let mut answer = Answer::default();
    let mut owner = name.clone();
    let mut seen = vec![owner.clone()];
    loop {
        let Some(next) = step(namespace, &owner, kind, &mut answer) else {
            return answer;
        };
        if seen.contains(&next) || seen.len() > MAX_CHAIN {
            return answer;
        }
        seen.push(next.clone());
        owner = next;
    }
}

/// What a name that does not exist would be answered; faults use it for names that do.
pub(crate) fn denial(namespace: &Namespace, name: &Name) -> Answer {
    let mut answer = Answer { code: ResponseCode::NXDomain, ..Answer::default() };
    if let Some(zone) = namespace.zone_for(name) {
        answer.authoritative = true;
        answer.authorities.push(zone.negative_soa());
    }
    answer
}

/// Adds what is known of `owner`; returns the target when a CNAME has to be followed.
fn step(namespace: &Namespace, owner: &Name, kind: RecordType, answer: &mut Answer) -> Option<Name> {
    let chained = !answer.answers.is_empty();
    let Some(zone) = namespace.zone_for(owner) else {
        if !chained {
            answer.code = ResponseCode::Refused;
        }
        return None;
    };
    // RFC 4035 §3.1.4.1: the DS question at a zone's own name is for the parent, and nothing here is signed.
    if kind == RecordType::DS && zone.origin() == owner && !owner.is_root() {
        let parent = namespace.zone_for(&owner.base_name());
        no_data(&parent.unwrap_or(zone), answer);
        return None;
    }
    if let Some((cut, servers)) = zone.delegation(owner)
        && !(kind == RecordType::DS && cut == owner)
    {
        refer(namespace, cut, servers, answer);
        return None;
    }
    answer.authoritative = true;
    match zone.find(owner, |name| namespace.is_above_zone(name)) {
        Found::Records(node) => return from_node(namespace, &zone, node, owner, kind, answer),
        Found::EmptyNonTerminal => no_data(&zone, answer),
        Found::Nothing => {
            // RFC 6604: after a CNAME the code is that of the last name.
            answer.code = ResponseCode::NXDomain;
            answer.authorities.push(zone.negative_soa());
        }
    }
    None
}

fn from_node(
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
        no_data(zone, answer);
    }
    None
}

fn no_data(zone: &Zone, answer: &mut Answer) {
    answer.authoritative = true;
    answer.authorities.push(zone.negative_soa());
}

fn refer(namespace: &Namespace, cut: &Name, servers: &RecordSet, answer: &mut Answer) {
    answer.authorities.extend(servers.records(cut));
    add_addresses(namespace, servers, answer);
    answer.needs_additionals = true;
}

fn add_addresses(namespace: &Namespace, set: &RecordSet, answer: &mut Answer) {
    for server in set.data.iter().filter_map(ns_target) {
        answer.additionals.extend(namespace.addresses(server));
    }
}
