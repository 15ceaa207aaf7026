//! Reads the parts of an answer that count: the answer section, along its own aliases, within limits.
use std::fmt::Write as _;
use std::net::IpAddr;

use deed_diagnosis::{ExtendedError, Signatures, SoaSeen};
use hickory_proto::dnssec::rdata::DNSSECRData;
use hickory_proto::op::Message;
use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType, SerialNumber};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, DecodeError};

use crate::config::Budgets;
use crate::rcode::{NOERROR, NXDOMAIN};

/// The code of the Extended DNS Errors option (RFC 8914 §2).
const EXTENDED_ERROR: u16 = 15;
/// Bytes of its text that are kept.
const EXTENDED_TEXT: usize = 200;
/// The type in an NSEC record that marks a nonexistent name (RFC 9824 §3.4).
const NXNAME: u16 = 128;

/// A message that was recognised as the answer to our query.
#[derive(Debug)]
pub(crate) struct Response {
    message: Message,
}

/// The chain of aliases inside one message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct AliasChain {
    /// The target of each CNAME in turn.
    pub(crate) targets: Vec<Name>,
    /// The last target occurs earlier in the chain.
    pub(crate) looped: bool,
    /// The first DNAME in the chain.
    pub(crate) dname: Option<DnameRedirect>,
}

impl AliasChain {
    /// The name at the end of the chain that begins at `name`.
    pub(crate) fn end<'a>(&'a self, name: &'a Name) -> &'a Name {
        self.targets.last().unwrap_or(name)
    }
}

/// A DNAME record: redirects every name below its owner to below its target (RFC 6672).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DnameRedirect {
    pub(crate) owner: Name,
    pub(crate) target: Name,
}

impl DnameRedirect {
    /// Reads the DNAME from a record; its target is not compressed (RFC 6672 §2.5).
    pub(crate) fn of(record: &Record) -> Option<Self> {
        let RData::Unknown { code: RecordType::DNAME, rdata } = &record.data else { return None };
        let mut target = Name::read(&mut BinDecoder::new(&rdata.anything)).ok()?;
        target.set_fqdn(true);
        Some(Self { owner: record.name.clone(), target })
    }

    /// Whether it redirects a name: only names below its owner, not the owner itself.
    pub(crate) fn covers(&self, name: &Name) -> bool {
        self.owner.zone_of(name) && self.owner.iter().len() < name.iter().len()
    }

    /// The name after substitution; none where that would be too long (RFC 6672 §2.2).
    pub(crate) fn substitute(&self, name: &Name) -> Option<Name> {
        let kept = name.iter().len() - self.owner.iter().len();
        Name::from_labels(name.iter().take(kept).chain(self.target.iter())).ok()
    }
}

/// The TXT values of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TxtValues {
    pub(crate) values: Vec<Vec<u8>>,
    /// The set has more records or bytes than are kept as evidence.
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

    /// Whether the response code settles the query: NOERROR or NXDOMAIN.
    pub(crate) fn is_conclusive(&self) -> bool {
        matches!(self.rcode(), NOERROR | NXDOMAIN)
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

    /// Whether a resolver calls the answer authentic: the AD bit (RFC 4035 §3.2.3).
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
    pub(crate) fn chain(&self, name: &Name, longest: usize) -> AliasChain {
        let mut chain = AliasChain::default();
        let mut at = name.clone();
        while chain.targets.len() < longest && !chain.looped {
            // The CNAME that comes with a DNAME only repeats it (RFC 6672 §3.1).
            let redirect = self.dname_for(&at);
            let next = match &redirect {
                Some(redirect) => redirect.substitute(&at),
                None => self.alias_of(&at),
            };
            let Some(target) = next else { break };
            chain.looped = target == *name || chain.targets.contains(&target);
            chain.targets.push(target.clone());
            chain.dname = chain.dname.or(redirect);
            at = target;
        }
        chain
    }

    /// The DNAME in the answer that redirects a name; the first in canonical order where there are several.
    pub(crate) fn dname_for(&self, name: &Name) -> Option<DnameRedirect> {
        let moving = self.answers().filter_map(DnameRedirect::of).filter(|redirect| redirect.covers(name));
        moving.min_by(|a, b| (&a.owner, &a.target).cmp(&(&b.owner, &b.target)))
    }

    /// The target of the CNAME at a name; the first in canonical order where there are several, which RFC 2181 §10.1
    /// forbids.
    fn alias_of(&self, name: &Name) -> Option<Name> {
        let targets =
            self.answers().filter(|record| record.name == *name).filter_map(|record| match &record.data {
                RData::CNAME(target) => Some(&target.0),
                _ => None,
            });
        targets.min().cloned()
    }

    /// The TXT values at a name in canonical order, the strings of each record joined without a separator (as RFC
    /// 7208 §3.3 says for SPF, and as every domain validation does). The order of records has no meaning (RFC 2181
    /// §5), and all of them count; above the limits of the budget the set is marked as oversize.
    pub(crate) fn txt_values(&self, owner: &Name, budgets: &Budgets) -> TxtValues {
        let texts =
            self.answers().filter(|record| record.name == *owner).filter_map(|record| match &record.data {
                RData::TXT(text) => Some(text.txt_data.concat()),
                _ => None,
            });
        let mut values: Vec<Vec<u8>> = texts.collect();
        values.sort_unstable();
        let size: usize = values.iter().map(Vec::len).sum();
        TxtValues { oversize: values.len() > budgets.txt_records || size > budgets.txt_bytes, values }
    }

    /// The SOA of a negative answer for a name: one that encloses the name, at or below the zone that was queried. It
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

    /// Whether the answer denies a name, or its TXT records, on behalf of the zone that was queried, with or without
    /// an SOA. An SOA of another zone, or NS records of a zone above, show that the server does not serve this zone.
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

    /// The validity period of the signatures at `now`: the worst of all signed sets.
    pub(crate) fn signatures(&self, now: SerialNumber) -> Signatures {
        let mut sets: Vec<((&Name, RecordType), Signatures)> = vec![];
        for record in self.answers().chain(self.authorities()) {
            let RData::DNSSEC(DNSSECRData::RRSIG(rrsig)) = &record.data else { continue };
            let input = rrsig.input();
            let validity = match () {
                () if input.sig_expiration < now => Signatures::Expired,
                () if input.sig_inception > now => Signatures::NotYetValid,
                () => Signatures::Current,
            };
            let key = (&record.name, input.type_covered);
            match sets.iter_mut().find(|(of, _)| *of == key) {
                Some((_, known)) if validity == Signatures::Current => *known = validity,
                Some(_) => {}
                None => sets.push((key, validity)),
            }
        }
        let of = |wanted: Signatures| sets.iter().any(|(_, validity)| *validity == wanted).then_some(wanted);
        let worst = of(Signatures::Expired).or_else(|| of(Signatures::NotYetValid));
        worst.or_else(|| of(Signatures::Current)).unwrap_or_default()
    }

    /// The addresses at a name or at the end of its aliases.
    pub(crate) fn addresses(&self, name: &Name, longest: usize) -> Vec<IpAddr> {
        let chain = self.chain(name, longest);
        let end = chain.end(name);
        self.answers().filter(|r| r.name == *end).filter_map(|r| r.data.ip_addr()).collect()
    }
}

/// A name as it is reported: lower case, without the trailing dot, in the presentation format of RFC 1035 §5.1. Only
/// ambiguous or unprintable bytes are escaped; this is the only place that escapes them.
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
