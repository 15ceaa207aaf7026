//! Scrubs an answer down to the records that are to be validated: each foreign record could make the library fetch
//! more keys.
use hickory_proto::dnssec::rdata::{DNSSECRData, RRSIG};
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::response::{DnameRedirect, Response};
use crate::wire::DnsQuery;

/// Signatures kept per set, and denials kept; a set itself is limited by the message size.
const SIGNATURES: usize = 4;
const DENIALS: usize = 8;

/// The parts of an answer that count: the records asked for, the alias in their place, or the denial; with their
/// signatures.
///
/// Only signatures of the zone that holds the records are kept. A signature by another zone proves nothing, but would
/// make the library fetch that zone's keys, and so on: an attacker's zones could keep a validation busy. This way it
/// only climbs towards the root.
pub(super) fn scrub(response: &Response, zone: &Name, query: &DnsQuery) -> Message {
    let mut message = Message::new(0, MessageType::Response, OpCode::Query);
    message.add_query(Query::query(query.name.clone(), query.rtype));
    message.metadata.response_code = ResponseCode::NoError;
    let answer = positive(response, zone, query);
    if answer.is_empty() {
        message.metadata.response_code = response.message().metadata.response_code;
        message.authorities = denial(response, zone, query);
    } else if answer.iter().any(|record| expanded_from(record).is_some())
        && let Some(signer) = answer.iter().find_map(signer_of)
    {
        message.authorities = proofs(response, signer);
    }
    message.answers = answer;
    message
}

/// The first set of records that answers the query or leads on.
fn positive(response: &Response, zone: &Name, query: &DnsQuery) -> Vec<Record> {
    let name = &query.name;
    match query.rtype {
        RecordType::DNSKEY => return set(response.answers(), name, query.rtype, |signer| signer == name),
        // Signed by the parent, whose servers were queried.
        RecordType::DS => return set(response.answers(), name, query.rtype, |signer| signer == zone),
        _ => {}
    }
    // A zone below may be on the same server; the deepest zone holds the records.
    let of_zone = |owner: &Name, rtype| {
        let may = |signer: &Name| zone.zone_of(signer) && signer.zone_of(owner);
        let signers =
            response.answers().filter(|r| r.name == *owner && covers(r, rtype)).filter_map(signer_of);
        let deepest = signers.filter(|signer| may(signer)).max_by_key(|signer| signer.iter().len());
        set(response.answers(), owner, rtype, |signer| Some(signer) == deepest)
    };
    // The CNAME that comes with a DNAME is not signed; it follows from the DNAME (RFC 6672 §5.3.1).
    if let Some(redirect) = response.dname_for(name) {
        return of_zone(&redirect.owner, RecordType::DNAME);
    }
    let alias = of_zone(name, RecordType::CNAME);
    if alias.is_empty() { of_zone(name, query.rtype) } else { alias }
}

/// A set of records with its signatures; empty without records.
fn set<'r>(
    section: impl Iterator<Item = &'r Record>,
    name: &Name,
    rtype: RecordType,
    may_sign: impl Fn(&Name) -> bool,
) -> Vec<Record> {
    let (mut records, mut signatures) = (vec![], vec![]);
    for record in section.filter(|r| r.name == *name) {
        if covers(record, rtype) {
            if signer_of(record).is_some_and(&may_sign) && signatures.len() < SIGNATURES {
                signatures.push(record.clone());
            }
        } else if record.record_type() == rtype {
            records.push(record.clone());
        }
    }
    if !records.is_empty() {
        records.extend(signatures);
    }
    records
}

fn rrsig(record: &Record) -> Option<&RRSIG> {
    match &record.data {
        RData::DNSSEC(DNSSECRData::RRSIG(rrsig)) => Some(rrsig),
        _ => None,
    }
}

fn covers(record: &Record, rtype: RecordType) -> bool {
    rrsig(record).is_some_and(|rrsig| rrsig.input().type_covered == rtype)
}

fn signer_of(record: &Record) -> Option<&Name> {
    rrsig(record).map(|rrsig| &rrsig.input().signer_name)
}

/// The label count of the wildcard from which a record was expanded, by its signature (RFC 4035 §5.3.4).
pub(super) fn expanded_from(record: &Record) -> Option<u8> {
    let labels = rrsig(record)?.input().num_labels;
    (labels < record.name.num_labels()).then_some(labels)
}

/// The proof that a name or its records do not exist. The SOA has to enclose the name, or another zone could claim
/// that nothing here is signed; for a DS record it has to be the parent's.
fn denial(response: &Response, zone: &Name, query: &DnsQuery) -> Vec<Record> {
    let name = &query.name;
    // It belongs in the authority section; some servers put it elsewhere.
    let sections = || response.authorities().chain(response.answers()).chain(response.additionals());
    let soa = sections().find(|r| {
        matches!(r.data, RData::SOA(_))
            && zone.zone_of(&r.name)
            && r.name.zone_of(name)
            && (query.rtype != RecordType::DS || r.name != *name)
    });
    let Some(soa) = soa else {
        // Without an SOA, the signature of the proof says for which zone it speaks.
        let signer =
            response.authorities().filter(|r| covers(r, RecordType::NSEC) || covers(r, RecordType::NSEC3));
        let of_zone = |signer: &&Name| zone.zone_of(signer) && signer.zone_of(name);
        let parents = |signer: &&Name| query.rtype != RecordType::DS || *signer != name;
        let signer =
            signer.filter_map(signer_of).filter(|s| of_zone(s) && parents(s)).max_by_key(|s| s.iter().len());
        return signer.map_or_else(Vec::new, |signer| proofs(response, signer));
    };
    let mut kept = set(sections(), &soa.name, RecordType::SOA, |signer| *signer == soa.name);
    kept.extend(proofs(response, &soa.name));
    kept
}

/// The NSEC and NSEC3 records signed by the zone; others prove nothing.
fn proofs(response: &Response, zone: &Name) -> Vec<Record> {
    let mut owners: Vec<(&Name, RecordType)> = vec![];
    for record in response.authorities() {
        let key = (&record.name, record.record_type());
        let proves = matches!(key.1, RecordType::NSEC | RecordType::NSEC3);
        if proves && zone.zone_of(key.0) && owners.len() < DENIALS && !owners.contains(&key) {
            owners.push(key);
        }
    }
    let sets =
        owners.into_iter().map(|(owner, rtype)| set(response.authorities(), owner, rtype, |s| s == zone));
    sets.filter(|set| set.iter().any(|record| rrsig(record).is_some())).flatten().collect()
}

/// The DNAME among the records of a scrubbed answer.
pub(super) fn dname_for(records: &[Record], name: &Name) -> Option<DnameRedirect> {
    records.iter().filter_map(DnameRedirect::of).find(|redirect| redirect.covers(name))
}

#[cfg(test)]
mod tests {
    use hickory_proto::dnssec::Algorithm;
    use hickory_proto::dnssec::rdata::{NSEC, SigInput};
    use hickory_proto::rr::SerialNumber;
    use hickory_proto::rr::rdata::{CNAME, SOA, TXT};

    use super::*;
    use crate::wire::Recursion;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn txt(owner: &str) -> Record {
        Record::from_rdata(name(owner), 60, RData::TXT(TXT::from_bytes(vec![b"v"])))
    }

    fn soa(owner: &str) -> Record {
        Record::from_rdata(name(owner), 60, RData::SOA(SOA::new(name("ns."), name("h."), 1, 1, 1, 1, 1)))
    }

    fn nsec(owner: &str) -> Record {
        let nsec = NSEC::new(name("z.acme.test."), [RecordType::A]);
        Record::from_rdata(name(owner), 60, RData::DNSSEC(DNSSECRData::NSEC(nsec)))
    }

    fn sig(owner: &str, type_covered: RecordType, signer: &str) -> Record {
        let input = SigInput {
            type_covered,
            algorithm: Algorithm::ED25519,
            num_labels: name(owner).num_labels(),
            original_ttl: 60,
            sig_expiration: SerialNumber::new(2),
            sig_inception: SerialNumber::new(1),
            key_tag: 1,
            signer_name: name(signer),
        };
        let rrsig = RRSIG::from_sig(input, vec![0]);
        Record::from_rdata(name(owner), 60, RData::DNSSEC(DNSSECRData::RRSIG(rrsig)))
    }

    /// Owners, types and signers of what is left of an answer from `acme.test`.
    fn left(rtype: RecordType, answers: Vec<Record>, authorities: Vec<Record>) -> [Vec<String>; 2] {
        let mut message = Message::new(1, MessageType::Response, OpCode::Query);
        message.metadata.authoritative = true;
        message.answers = answers;
        message.authorities = authorities;
        let response = Response::read(&message.to_vec().unwrap()).unwrap();
        let query = DnsQuery { name: name("_deed.acme.test."), rtype, recursion: Recursion::No };
        let scrubbed = scrub(&response, &name("acme.test."), &query);
        let shown = |record: &Record| match signer_of(record) {
            Some(signer) => format!("{} by {signer}", record.name),
            None => format!("{} {}", record.name, record.record_type()),
        };
        [scrubbed.answers.iter().map(shown).collect(), scrubbed.authorities.iter().map(shown).collect()]
    }

    const AT: &str = "_deed.acme.test.";

    #[test]
    fn drops_signatures_of_other_zones() {
        let signers = ["acme.test.", "test.", "x.test.", "x.acme.test.", "."];
        let answers = || {
            let sigs = signers.iter().map(|signer| sig(AT, RecordType::TXT, signer));
            [txt(AT), txt("x.acme.test.")].into_iter().chain(sigs).collect::<Vec<_>>()
        };
        let kept = ["_deed.acme.test. TXT", "_deed.acme.test. by acme.test."];
        assert_eq!(left(RecordType::TXT, answers(), vec![]), [kept.map(str::to_owned).to_vec(), vec![]]);
        let mut below = answers();
        below.push(sig(AT, RecordType::TXT, AT));
        let [below, _] = left(RecordType::TXT, below, vec![]);
        assert_eq!(below[1..], ["_deed.acme.test. by _deed.acme.test."], "a zone below on the same server");
        let many = (0..9).map(|_| sig(AT, RecordType::TXT, "acme.test.")).chain([txt(AT)]).collect();
        assert_eq!(left(RecordType::TXT, many, vec![])[0].len(), 1 + SIGNATURES);
    }

    #[test]
    fn keeps_alias_instead_of_target() {
        let alias = Record::from_rdata(name(AT), 60, RData::CNAME(CNAME(name("x.acme.test."))));
        let [answers, authorities] =
            left(RecordType::TXT, vec![alias, txt("x.acme.test.")], vec![soa("acme.test.")]);
        assert_eq!((answers, authorities.len()), (vec!["_deed.acme.test. CNAME".to_owned()], 0));
    }

    #[test]
    fn keeps_only_enclosing_zones_denial_proofs() {
        let denied = |authorities| left(RecordType::TXT, vec![], authorities)[1].clone();
        let all = denied(vec![
            soa("lab.acme.test."),
            soa("acme.test."),
            sig("acme.test.", RecordType::SOA, "acme.test."),
            nsec("acme.test."),
            sig("acme.test.", RecordType::NSEC, "acme.test."),
            nsec("a.acme.test."),
            nsec("b.acme.test."),
            sig("b.acme.test.", RecordType::NSEC, "b.acme.test."),
            nsec("x.test."),
            sig("x.test.", RecordType::NSEC, "acme.test."),
            txt("acme.test."),
        ]);
        let kept =
            ["acme.test. SOA", "acme.test. by acme.test.", "acme.test. NSEC", "acme.test. by acme.test."];
        assert_eq!(all, kept);
        assert!(denied(vec![soa("lab.acme.test."), soa("test.")]).is_empty());
        let ds = left(RecordType::DS, vec![], vec![soa(AT), soa("acme.test.")]);
        assert_eq!(ds[1], ["acme.test. SOA"], "the parent's, not the zone's own");
    }
}
