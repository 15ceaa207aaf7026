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
mod tests {
    use hickory_proto::dnssec::Algorithm;
    use hickory_proto::dnssec::rdata::{NSEC, RRSIG, SigInput};
    use hickory_proto::op::{Edns, MessageType, OpCode, ResponseCode};
    use hickory_proto::rr::rdata::{CNAME, NS, NULL, SOA, TXT};

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn response(change: impl FnOnce(&mut Message)) -> Response {
        let mut message = Message::new(1, MessageType::Response, OpCode::Query);
        change(&mut message);
        Response::read(&message.to_vec().unwrap()).unwrap()
    }

    fn txt(owner: &str, parts: Vec<&[u8]>) -> Record {
        Record::from_rdata(name(owner), 60, RData::TXT(TXT::from_bytes(parts)))
    }

    fn cname(owner: &str, target: &str) -> Record {
        Record::from_rdata(name(owner), 60, RData::CNAME(CNAME(name(target))))
    }

    #[test]
    fn strings_of_a_record_are_joined_and_records_are_not() {
        let seen = response(|m| {
            m.add_answer(txt("a.test.", vec![b"one", b"two"]));
            m.add_answer(txt("a.test.", vec![b"", b"\xff\x00", b""]));
            m.add_answer(txt("a.test.", vec![b""]));
            m.add_answer(txt("b.test.", vec![b"elsewhere"]));
        });
        let texts = seen.texts(&name("A.test."), 64, 16_384);
        assert_eq!(texts.values, [b"".to_vec(), b"onetwo".to_vec(), b"\xff\x00".to_vec()]);
        assert!(!texts.oversize);
    }

    #[test]
    fn only_the_answer_section_counts() {
        let seen = response(|m| {
            m.add_authority(txt("a.test.", vec![b"no"]));
            m.add_additional(txt("a.test.", vec![b"no"]));
        });
        assert!(seen.texts(&name("a.test."), 64, 16_384).values.is_empty());
    }

    #[test]
    fn large_sets_are_read_whole_and_marked() {
        let many = response(|m| {
            for i in 0..65u8 {
                m.add_answer(txt("a.test.", vec![&[i]]));
            }
        });
        let read = |records, bytes| {
            let texts = many.texts(&name("a.test."), records, bytes);
            (texts.values.len(), texts.oversize)
        };
        assert_eq!(
            [read(64, 16_384), read(65, 16_384), read(100, 10)],
            [(65, true), (65, false), (65, true)]
        );
    }

    #[test]
    fn several_aliases_at_one_name_lead_the_same_way() {
        for (first, second) in [("b.test.", "c.test."), ("c.test.", "b.test.")] {
            let seen = response(|m| {
                m.add_answer(cname("a.test.", first));
                m.add_answer(cname("a.test.", second));
            });
            assert_eq!(seen.chain(&name("a.test."), 1).targets, [name("b.test.")]);
        }
    }

    #[test]
    fn aliases_are_followed_inside_the_message_until_they_end_or_return() {
        let seen = response(|m| {
            m.add_answer(cname("b.test.", "c.test."));
            m.add_answer(cname("A.test.", "b.test."));
        });
        let chain = seen.chain(&name("a.test."), 9);
        assert_eq!((chain.targets, chain.looped), (vec![name("b.test."), name("c.test.")], false));

        let circle = response(|m| {
            m.add_answer(cname("a.test.", "b.test."));
            m.add_answer(cname("b.test.", "a.test."));
        });
        assert!(circle.chain(&name("a.test."), 9).looped);
        assert_eq!(circle.chain(&name("a.test."), 1).targets.len(), 1);
    }

    #[test]
    fn a_dname_moves_what_is_below_it_with_or_without_the_alias_that_repeats_it() {
        let target = [b"\x05other\x04test\x00".as_slice()].concat();
        let data = RData::Unknown { code: RecordType::DNAME, rdata: NULL::with(target) };
        let dname = Record::from_rdata(name("acme.test."), 60, data);
        let with_alias = response(|m| {
            m.add_answer(dname.clone());
            m.add_answer(cname("_x.acme.test.", "_x.other.test."));
            m.add_answer(txt("_x.other.test.", vec![b"v"]));
        });
        let moved = Some(Moved { owner: name("acme.test."), target: name("other.test.") });
        let chain = with_alias.chain(&name("_x.acme.test."), 9);
        assert_eq!((chain.targets, chain.dname), (vec![name("_x.other.test.")], moved.clone()));
        let alone = response(|m| {
            m.add_answer(dname);
        });
        let chain = alone.chain(&name("_x.ACME.test."), 9);
        assert_eq!((chain.targets, chain.dname), (vec![name("_x.other.test.")], moved));
        assert_eq!(alone.chain(&name("acme.test."), 9), Chain::default(), "its owner stays");
        let long = name(&format!("{0}.{0}.{0}.{1}.acme.test.", "a".repeat(60), "b".repeat(60)));
        assert_eq!(alone.chain(&long, 9).targets.len(), 0, "too long at the new place");
    }

    #[test]
    fn the_soa_of_a_denial_has_to_enclose_the_name() {
        let soa = SOA::new(name("ns.test."), name("h.test."), 7, 1, 1, 1, 300);
        let seen = response(|m| {
            m.add_authority(Record::from_rdata(name("Test."), 900, RData::SOA(soa)));
        });
        let found = seen.soa(&name("test."), &name("a.test.")).unwrap();
        assert_eq!(found, SoaSeen { owner: "test".into(), serial: 7, negative_ttl: 300 });
        assert!(seen.soa(&name("."), &name("a.other.")).is_none(), "around another name");
        assert!(seen.soa(&name("."), &name("a.test.")).is_some());
        assert!(seen.soa(&name("a.test."), &name("a.test.")).is_none(), "above the zone that was asked");
    }

    #[test]
    fn denials_count_in_every_form_that_speaks_for_the_zone() {
        let soa = |owner: &str| {
            let soa = SOA::new(name("ns.test."), name("h.test."), 7, 1, 1, 1, 300);
            Record::from_rdata(name(owner), 900, RData::SOA(soa))
        };
        let ns = |owner: &str| Record::from_rdata(name(owner), 60, RData::NS(NS(name("ns.test."))));
        let denies = |change: &dyn Fn(&mut Message)| {
            response(change).denies(&name("acme.test."), &name("_x.acme.test."))
        };
        assert!(denies(&|_| {}), "without an SOA");
        assert!(denies(&|m| {
            m.add_authority(soa("acme.test."));
        }));
        assert!(
            denies(&|m| {
                m.add_additional(soa("acme.test."));
            }),
            "in the wrong section"
        );
        assert!(
            denies(&|m| {
                m.add_answer(soa("acme.test."));
            }),
            "in the wrong section"
        );
        assert!(
            denies(&|m| {
                m.add_authority(ns("acme.test."));
            }),
            "with the zone's own servers"
        );
        for foreign in ["test.", ".", "sister.test."] {
            assert!(
                !denies(&|m| {
                    m.add_authority(soa(foreign));
                }),
                "{foreign}"
            );
            assert!(
                !denies(&|m| {
                    m.add_authority(ns(foreign));
                }),
                "{foreign}"
            );
        }
    }

    #[test]
    fn a_compact_denial_says_that_the_name_does_not_exist() {
        let with = |types: &[RecordType], owner: &str| {
            let data = NSEC::new(name("0.a.test."), types.iter().copied());
            let record = Record::from_rdata(name(owner), 60, RData::DNSSEC(DNSSECRData::NSEC(data)));
            response(|m| {
                m.add_authority(record.clone());
            })
            .has_nxname(&name("A.test."))
        };
        let compact = [RecordType::RRSIG, RecordType::NSEC, RecordType::Unknown(NXNAME)];
        assert!(with(&compact, "a.test."));
        assert!(!with(&compact[..2], "a.test."), "no data, and nothing said of the name");
        assert!(!with(&compact, "b.test."), "of another name");
    }

    #[test]
    fn one_current_signature_of_each_set_is_enough() {
        let sig = |covered, inception, expiration| {
            let input = SigInput {
                type_covered: covered,
                algorithm: Algorithm::ED25519,
                num_labels: 2,
                original_ttl: 60,
                sig_expiration: SerialNumber::new(expiration),
                sig_inception: SerialNumber::new(inception),
                key_tag: 1,
                signer_name: name("test."),
            };
            let data = RData::DNSSEC(DNSSECRData::RRSIG(RRSIG::from_sig(input, vec![0])));
            Record::from_rdata(name("a.test."), 60, data)
        };
        let at = |records: &[Record]| {
            let seen = response(|m| m.answers.extend(records.iter().cloned()));
            seen.signatures(SerialNumber::new(1_000))
        };
        let (old, current, early) = (
            sig(RecordType::TXT, 1, 999),
            sig(RecordType::TXT, 1, 2_000),
            sig(RecordType::TXT, 1_500, 2_000),
        );
        assert_eq!(at(&[]), Signatures::None);
        assert_eq!(at(std::slice::from_ref(&old)), Signatures::Expired);
        assert_eq!(at(std::slice::from_ref(&early)), Signatures::NotYetValid);
        assert_eq!(at(&[old.clone(), current.clone()]), Signatures::Current);
        assert_eq!(at(&[current, sig(RecordType::CNAME, 1, 999)]), Signatures::Expired, "the worst set");
    }

    #[test]
    fn extended_codes_and_errors_are_read_from_edns() {
        let seen = response(|m| {
            m.metadata.response_code = ResponseCode::BADVERS;
            let mut edns = Edns::new();
            edns.options_mut().insert(EdnsOption::Unknown(15, vec![0, 22, b'x']));
            edns.options_mut().insert(EdnsOption::Unknown(15, vec![0, 23]));
            m.set_edns(edns);
        });
        assert_eq!((seen.rcode(), seen.ede()), (16, Some(22)));
        let short = response(|m| {
            let mut edns = Edns::new();
            edns.options_mut().insert(EdnsOption::Unknown(15, vec![0]));
            m.set_edns(edns);
        });
        assert_eq!(short.ede(), None);
    }

    #[test]
    fn names_are_reported_in_lower_case_and_escaped() {
        assert_eq!(text_of(&name("_X.Example.")), "_x.example");
        assert_eq!(text_of(&Name::root()), ".");
        let odd = Name::from_labels([b"a\n\xff".as_slice(), b"test".as_slice()]).unwrap();
        assert_eq!(text_of(&odd), "a\\010\\255.test");
        let value = Name::from_labels([b"Claim=\"a.b\\\"; <c>".as_slice(), b"acme".as_slice()]).unwrap();
        assert_eq!(text_of(&value), "claim=\"a\\.b\\\\\";\\032<c>.acme");
    }
}
