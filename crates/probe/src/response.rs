//! Reads from an answer what counts: its answer section, along its own aliases, within limits.
use std::fmt::Write as _;
use std::net::IpAddr;

use deed_claims::{ExtendedError, Signatures, SoaSeen};
use hickory_proto::dnssec::rdata::DNSSECRData;
use hickory_proto::op::Message;
use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType, SerialNumber};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, DecodeError};

/// The code of the Extended DNS Errors option (RFC 8914 §2).
const EXTENDED_ERROR: u16 = 15;
/// Bytes of its text that are kept.
const EXTENDED_TEXT: usize = 200;
/// The type that says of a name that it does not exist (RFC 9824 §3.4).
const NXNAME: u16 = 128;

/// A message recognised as the answer to our question.
#[derive(Debug)]
pub(crate) struct Response {
    message: Message,
}

/// The aliases one message leads along.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Chain {
    /// The target of each CNAME in turn.
    pub(crate) targets: Vec<Name>,
    /// The last target has been passed before.
    pub(crate) looped: bool,
    /// The first DNAME among them.
    pub(crate) dname: Option<Moved>,
}

/// A DNAME: everything below its owner lives below its target (RFC 6672).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) owner: Name,
    pub(crate) target: Name,
}

impl Moved {
    /// The DNAME in a record; the wire format has no compression there (RFC 6672 §2.5).
    pub(crate) fn of(record: &Record) -> Option<Self> {
        let RData::Unknown { code: RecordType::DNAME, rdata } = &record.data else { return None };
        let mut target = Name::read(&mut BinDecoder::new(&rdata.anything)).ok()?;
        target.set_fqdn(true);
        Some(Self { owner: record.name.clone(), target })
    }

    /// Whether it moves a name: those below it only, not its owner.
    pub(crate) fn moves(&self, name: &Name) -> bool {
        self.owner.zone_of(name) && self.owner.iter().len() < name.iter().len()
    }

    /// Where a name lives; none where that would be too long (RFC 6672 §2.2).
    pub(crate) fn new_name_of(&self, name: &Name) -> Option<Name> {
        let kept = name.iter().len() - self.owner.iter().len();
        Name::from_labels(name.iter().take(kept).chain(self.target.iter())).ok()
    }
}

/// The values of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Texts {
    pub(crate) values: Vec<Vec<u8>>,
    /// More records or bytes came than are kept as evidence.
    pub(crate) oversize: bool,
}

impl Response {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self { message: Message::from_vec(bytes)? })
    }

    /// The response code with the upper bits from EDNS (RFC 6891 §6.1.3).
    pub(crate) fn rcode(&self) -> u16 {
        self.message.metadata.response_code.into()
    }

    pub(crate) fn authoritative(&self) -> bool {
        self.message.metadata.authoritative
    }

    pub(crate) fn truncated(&self) -> bool {
        self.message.metadata.truncation
    }

    pub(crate) fn has_edns(&self) -> bool {
        self.message.edns.is_some()
    }

    /// Whether a resolver vouches for the answer (RFC 4035 §3.2.3).
    pub(crate) fn authentic(&self) -> bool {
        self.message.metadata.authentic_data
    }

    /// The first Extended DNS Error.
    pub(crate) fn ede(&self) -> Option<u16> {
        self.extended_error().map(|error| error.code)
    }

    /// The first Extended DNS Error with its text.
    pub(crate) fn extended_error(&self) -> Option<ExtendedError> {
        match self.message.edns.as_ref()?.option(EdnsCode::Unknown(EXTENDED_ERROR))? {
            EdnsOption::Unknown(_, bytes) => {
                let (code, text) = bytes.split_first_chunk()?;
                let text = text.iter().copied().take(EXTENDED_TEXT).collect();
                Some(ExtendedError { code: u16::from_be_bytes(*code), text })
            }
            _ => None,
        }
    }

    pub(crate) fn message(&self) -> &Message {
        &self.message
    }

    pub(crate) fn answers(&self) -> impl Iterator<Item = &Record> {
        self.message.answers.iter().filter(|r| r.dns_class == DNSClass::IN)
    }

    pub(crate) fn authorities(&self) -> impl Iterator<Item = &Record> {
        self.message.authorities.iter().filter(|r| r.dns_class == DNSClass::IN)
    }

    pub(crate) fn additionals(&self) -> impl Iterator<Item = &Record> {
        self.message.additionals.iter().filter(|r| r.dns_class == DNSClass::IN)
    }

    /// The aliases from the name on, at most `longest` of them.
    pub(crate) fn chain(&self, name: &Name, longest: usize) -> Chain {
        let mut chain = Chain::default();
        let mut at = name.clone();
        while chain.targets.len() < longest && !chain.looped {
            // The CNAME that comes with a DNAME only repeats it (RFC 6672 §3.1).
            let moved = self.moved(&at);
            let next = match &moved {
                Some(moved) => moved.new_name_of(&at),
                None => self.alias_of(&at),
            };
            let Some(target) = next else { break };
            chain.looped = target == *name || chain.targets.contains(&target);
            chain.targets.push(target.clone());
            chain.dname = chain.dname.or(moved);
            at = target;
        }
        chain
    }

    /// The DNAME in the answer that moves a name; the first in canonical order where there are several.
    pub(crate) fn moved(&self, name: &Name) -> Option<Moved> {
        let moving = self.answers().filter_map(Moved::of).filter(|moved| moved.moves(name));
        moving.min_by(|a, b| (&a.owner, &a.target).cmp(&(&b.owner, &b.target)))
    }

    /// The target of the CNAME at a name; of several, which are against the rules, the first in canonical order.
    fn alias_of(&self, name: &Name) -> Option<Name> {
        let targets =
            self.answers().filter(|record| record.name == *name).filter_map(|record| match &record.data {
                RData::CNAME(target) => Some(&target.0),
                _ => None,
            });
        targets.min().cloned()
    }

    /// The TXT values at a name in canonical order, the strings of each record joined without a separator (RFC 7208 §3.3
    /// reads them so, and every domain validation does). The order of records says nothing (RFC 2181 §5), and all of
    /// them count; `records` and `bytes` only say from where on a set is unusually large.
    pub(crate) fn texts(&self, owner: &Name, records: usize, bytes: usize) -> Texts {
        let texts =
            self.answers().filter(|record| record.name == *owner).filter_map(|record| match &record.data {
                RData::TXT(text) => Some(text.txt_data.concat()),
                _ => None,
            });
        let mut values: Vec<Vec<u8>> = texts.collect();
        values.sort_unstable();
        let size: usize = values.iter().map(Vec::len).sum();
        Texts { oversize: values.len() > records || size > bytes, values }
    }

    /// The SOA that comes with a negative answer for a name: one around it, at or below the zone that was asked. It
    /// belongs in the authority section (RFC 2308 §3); some servers put it elsewhere.
    pub(crate) fn soa(&self, zone: &Name, name: &Name) -> Option<SoaSeen> {
        self.soas().find_map(|(owner, ttl, soa)| {
            (zone.zone_of(owner) && owner.zone_of(name)).then(|| SoaSeen {
                owner: text_of(owner),
                serial: soa.serial,
                negative_ttl: ttl.min(soa.minimum),
            })
        })
    }

    fn soas(&self) -> impl Iterator<Item = (&Name, u32, &SOA)> {
        let records = self.authorities().chain(self.answers()).chain(self.additionals());
        records.filter_map(|record| match &record.data {
            RData::SOA(soa) => Some((&record.name, record.ttl, soa)),
            _ => None,
        })
    }

    /// Whether the answer denies a name, or its TXT records, for the zone that was asked: in every form that servers use,
    /// with an SOA or without. One in the name of another zone, or with name servers of a zone above, comes from a server
    /// that does not serve this one.
    pub(crate) fn denies(&self, zone: &Name, name: &Name) -> bool {
        let foreign = self
            .authorities()
            .any(|record| matches!(record.data, RData::NS(_)) && !zone.zone_of(&record.name));
        let mut soas = self.soas().peekable();
        !foreign && (soas.peek().is_none() || self.soa(zone, name).is_some())
    }

    /// Whether a compact denial says that the name does not exist: an NSEC record at the name itself with the type NXNAME
    /// (RFC 9824 §3.1).
    pub(crate) fn has_nxname(&self, name: &Name) -> bool {
        self.authorities().any(|record| match &record.data {
            RData::DNSSEC(DNSSECRData::NSEC(nsec)) if record.name == *name => {
                nsec.type_set().contains(RecordType::Unknown(NXNAME))
            }
            _ => false,
        })
    }

    /// The time-frame of the signatures at `now`: the worst of all signed sets.
    pub(crate) fn signatures(&self, now: SerialNumber) -> Signatures {
        let mut sets: Vec<((&Name, RecordType), Signatures)> = vec![];
        for record in self.answers().chain(self.authorities()) {
            let RData::DNSSEC(DNSSECRData::RRSIG(rrsig)) = &record.data else { continue };
            let input = rrsig.input();
            let standing = match () {
                () if input.sig_expiration < now => Signatures::Expired,
                () if input.sig_inception > now => Signatures::NotYetValid,
                () => Signatures::Current,
            };
            let key = (&record.name, input.type_covered);
            match sets.iter_mut().find(|(of, _)| *of == key) {
                Some((_, known)) if standing == Signatures::Current => *known = standing,
                Some(_) => {}
                None => sets.push((key, standing)),
            }
        }
        let of = |wanted: Signatures| sets.iter().any(|(_, standing)| *standing == wanted).then_some(wanted);
        let worst = of(Signatures::Expired).or_else(|| of(Signatures::NotYetValid));
        worst.or_else(|| of(Signatures::Current)).unwrap_or_default()
    }

    /// The addresses at a name or at the end of its aliases.
    pub(crate) fn addresses(&self, name: &Name, longest: usize) -> Vec<IpAddr> {
        let chain = self.chain(name, longest);
        let end = chain.targets.last().unwrap_or(name);
        self.answers().filter(|r| r.name == *end).filter_map(|r| r.data.ip_addr()).collect()
    }
}

/// A name as it is reported: lower case, without the trailing dot, in the presentation format of RFC 1035 §5.1. Only what
/// would be ambiguous or not printable is escaped, once and for all; nobody escapes it again.
pub(crate) fn text_of(name: &Name) -> String {
    if name.is_root() {
        return ".".to_owned();
    }
    let mut text = String::new();
    for label in name {
        if !text.is_empty() {
            text.push('.');
        }
        for byte in label {
            match byte {
                b'.' | b'\\' => text.extend(['\\', char::from(*byte)]),
                b'!'..=b'~' => text.push(char::from(byte.to_ascii_lowercase())),
                // Writing to a string cannot fail.
                other => _ = write!(text, "\\{other:03}"),
            }
        }
    }
    text
}

#[cfg(test)]
mod tests;
