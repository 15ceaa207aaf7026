//! Short constructors for records, and a small authoritative server that answers from a list of them.
use std::net::IpAddr;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, NS, NULL, SOA, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinEncodable};

pub fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}

fn record(owner: &str, data: RData) -> Record {
    Record::from_rdata(name(owner), 300, data)
}

pub fn ns(owner: &str, server: &str) -> Record {
    record(owner, RData::NS(NS(name(server))))
}

pub fn a(owner: &str, address: &str) -> Record {
    record(
        owner,
        match address.parse::<IpAddr>().unwrap() {
            IpAddr::V4(v4) => RData::A(A(v4)),
            IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
        },
    )
}

pub fn txt(owner: &str, value: &str) -> Record {
    strings(owner, &[value.as_bytes()])
}

/// One TXT record of several character-strings.
pub fn strings(owner: &str, parts: &[&[u8]]) -> Record {
    record(owner, RData::TXT(TXT::from_bytes(parts.to_vec())))
}

pub fn cname(owner: &str, target: &str) -> Record {
    record(owner, RData::CNAME(CNAME(name(target))))
}

/// The library does not know the type; its target is not compressed.
pub fn dname(owner: &str, target: &str) -> Record {
    let rdata = NULL::with(name(target).to_bytes().unwrap());
    record(owner, RData::Unknown { code: RecordType::DNAME, rdata })
}

pub fn mx(owner: &str, server: &str) -> Record {
    record(owner, RData::MX(MX::new(10, name(server))))
}

pub fn soa(owner: &str) -> Record {
    soa_with(owner, 42)
}

pub fn soa_with(owner: &str, serial: u32) -> Record {
    record(owner, RData::SOA(SOA::new(name("ns.invalid"), name("h.invalid"), serial, 1, 1, 1, 60)))
}

/// The zones of one server.
#[derive(Clone, Default)]
pub struct Zones(Vec<(Name, Vec<Record>)>);

impl Zones {
    pub fn with(mut self, apex: &str, records: Vec<Record>) -> Self {
        self.0.push((name(apex), records));
        self
    }

    /// Answers with authority from the deepest zone around the name, with a referral from above a cut, or REFUSED.
    pub fn answer(&self, asked: &Message) -> Message {
        let question = asked.queries[0].clone();
        let mut reply = asked.clone().into_response();
        reply.edns = None;
        let around = self.0.iter().filter(|(apex, _)| apex.zone_of(&question.name));
        let Some((apex, records)) = around.max_by_key(|(apex, _)| apex.iter().len()) else {
            reply.metadata.response_code = ResponseCode::Refused;
            return reply;
        };
        let cut = records
            .iter()
            .find(|r| r.record_type() == RecordType::NS && r.name != *apex && r.name.zone_of(&question.name));
        if let Some(cut) = cut {
            let names = records.iter().filter(|r| r.name == cut.name && r.record_type() == RecordType::NS);
            reply.authorities = names.cloned().collect();
            reply.additionals = addresses(records, &reply.authorities);
            return reply;
        }
        reply.metadata.authoritative = true;
        let mut at = question.name.clone();
        let dname = records.iter().find(|r| {
            r.record_type() == RecordType::DNAME
                && r.name.zone_of(&at)
                && r.name.iter().len() < at.iter().len()
        });
        if let Some(dname) = dname {
            // With the synthesised CNAME, and without the records at its target.
            let RData::Unknown { rdata, .. } = &dname.data else { unreachable!() };
            let target = Name::from_bytes(&rdata.anything).unwrap();
            let kept = at.iter().len() - dname.name.iter().len();
            let moved = Name::from_labels(at.iter().take(kept).chain(target.iter())).unwrap();
            reply.answers = vec![dname.clone(), cname(&at.to_ascii(), &moved.to_ascii())];
            return reply;
        }
        while let Some(alias) = records.iter().find(|r| r.name == at && r.record_type() == RecordType::CNAME)
        {
            if reply.answers.contains(alias) {
                break;
            }
            reply.answers.push(alias.clone());
            let RData::CNAME(target) = &alias.data else { unreachable!() };
            at = target.0.clone();
        }
        let found = records.iter().filter(|r| r.name == at && r.record_type() == question.query_type);
        reply.answers.extend(found.cloned());
        reply.additionals = addresses(records, &reply.answers);
        let exists = at == *apex || records.iter().any(|r| at.zone_of(&r.name));
        if reply.answers.last().is_none_or(|r| r.record_type() == RecordType::CNAME) && apex.zone_of(&at) {
            reply.authorities.push(soa(&apex.to_ascii()));
            if !exists {
                reply.metadata.response_code = ResponseCode::NXDomain;
            }
        }
        reply
    }
}

fn addresses(records: &[Record], names: &[Record]) -> Vec<Record> {
    let targets: Vec<&Name> = names
        .iter()
        .filter_map(|r| match &r.data {
            RData::NS(target) => Some(&target.0),
            _ => None,
        })
        .collect();
    records.iter().filter(|r| targets.contains(&&r.name) && r.data.ip_addr().is_some()).cloned().collect()
}
