//! Cuts an answer down to what is to be validated: each foreign record would be one more way to ask for keys.
use hickory_proto::dnssec::rdata::DNSSECRData;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::response::{Moved, Response};
use crate::wire::Wanted;

/// Records of one set, signatures of one set, and denials that are looked at.
const RECORDS: usize = 64;
const SIGNATURES: usize = 8;
const DENIALS: usize = 8;

/// What counts in an answer of a zone's server: the records asked for, or the alias that stands in their place, or the
/// denial; with their signatures.
pub(super) fn excerpt(response: &Response, zone: &Name, wanted: &Wanted) -> Message {
    let mut message = Message::new(0, MessageType::Response, OpCode::Query);
    message.add_query(Query::query(wanted.name.clone(), wanted.rtype));
    message.metadata.response_code = ResponseCode::NoError;
    let answer = positive(response, wanted);
    let expanded = answer.iter().any(|record| expanded_from(record).is_some());
    let denied = answer.is_empty();
    message.answers = answer;
    if denied {
        message.metadata.response_code = response.message().metadata.response_code;
    }
    if denied || expanded {
        message.authorities = denials(response, zone, wanted, denied);
    }
    message
}

/// The first set of records that answers or leads on.
fn positive(response: &Response, wanted: &Wanted) -> Vec<Record> {
    if !matches!(wanted.rtype, RecordType::DS | RecordType::DNSKEY) {
        // The alias that comes with a DNAME is not signed; it follows from it (RFC 6672 §5.3.1).
        if let Some(moved) = response.moved(&wanted.name) {
            return set(response.answers(), &moved.owner, RecordType::DNAME);
        }
        let alias = set(response.answers(), &wanted.name, RecordType::CNAME);
        if !alias.is_empty() {
            return alias;
        }
    }
    set(response.answers(), &wanted.name, wanted.rtype)
}

/// A set of records with its signatures; empty without records.
fn set<'r>(section: impl Iterator<Item = &'r Record>, name: &Name, rtype: RecordType) -> Vec<Record> {
    let (mut records, mut signatures) = (vec![], vec![]);
    for record in section.filter(|r| r.name == *name) {
        if covers(record, rtype) {
            signatures.push(record.clone());
        } else if record.record_type() == rtype {
            records.push(record.clone());
        }
    }
    // A set that is cut would not fit its signature; one so long is not read either.
    if records.is_empty() || records.len() > RECORDS {
        return vec![];
    }
    signatures.truncate(SIGNATURES);
    records.extend(signatures);
    records
}

fn covers(record: &Record, rtype: RecordType) -> bool {
    match &record.data {
        RData::DNSSEC(DNSSECRData::RRSIG(rrsig)) => rrsig.input().type_covered == rtype,
        _ => false,
    }
}

/// The labels of the wildcard that a signature was made for, where it was (RFC 4035 §5.3.4).
pub(super) fn expanded_from(record: &Record) -> Option<u8> {
    match &record.data {
        RData::DNSSEC(DNSSECRData::RRSIG(rrsig)) => {
            let labels = rrsig.input().num_labels;
            (labels < record.name.num_labels()).then_some(labels)
        }
        _ => None,
    }
}

/// The proof that a name, its records or those before a wildcard are not there. The SOA has to enclose the name, or a
/// zone of somebody else could say that nothing here is signed; for a DS record it has to be the parent's.
fn denials(response: &Response, zone: &Name, wanted: &Wanted, denied: bool) -> Vec<Record> {
    let name = &wanted.name;
    let soa = response.authorities().find(|r| {
        matches!(r.data, RData::SOA(_))
            && zone.zone_of(&r.name)
            && r.name.zone_of(name)
            && (wanted.rtype != RecordType::DS || r.name != *name)
    });
    let around = match soa {
        Some(soa) => &soa.name,
        // Whoever denies says in whose name.
        None if denied => return vec![],
        None => zone,
    };
    let mut kept = match soa {
        Some(soa) if denied => set(response.authorities(), &soa.name, RecordType::SOA),
        _ => vec![],
    };
    let mut owners: Vec<(&Name, RecordType)> = vec![];
    for record in response.authorities() {
        let key = (&record.name, record.record_type());
        let proves = matches!(key.1, RecordType::NSEC | RecordType::NSEC3);
        if proves && around.zone_of(key.0) && owners.len() < DENIALS && !owners.contains(&key) {
            owners.push(key);
        }
    }
    for (owner, rtype) in owners {
        kept.extend(set(response.authorities(), owner, rtype));
    }
    kept
}

/// The DNAME among the records of an excerpt.
pub(super) fn moved(records: &[Record], name: &Name) -> Option<Moved> {
    records.iter().filter_map(Moved::of).find(|moved| moved.moves(name))
}
