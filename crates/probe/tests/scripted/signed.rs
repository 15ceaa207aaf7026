//! A signed zone: signs its answers when they are asked for, and proves its denials.
use std::collections::BTreeMap;

use data_encoding::{BASE32HEX_NOPAD, HEXUPPER};
use hickory_proto::dnssec::crypto::Ed25519SigningKey;
use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData, DS, NSEC, NSEC3, RRSIG, SigInput};
use hickory_proto::dnssec::{Algorithm, DigestType, Nsec3HashAlgorithm, SigningKey, TBS};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType, SerialNumber};

use crate::records::{Zones, name, soa};

/// How a zone proves that something is not there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    Nsec,
    Nsec3,
    /// Unsigned delegations are left out of the chain (RFC 5155 §6).
    OptOut,
}

/// When signatures are valid, in seconds from now.
#[derive(Clone, Copy)]
pub struct Validity(pub i64, pub i64);

pub const VALID: Validity = Validity(-3_600, 86_400);
pub const PAST: Validity = Validity(-86_400, -3_600);
pub const TO_COME: Validity = Validity(3_600, 86_400);

pub struct Signed {
    apex: Name,
    records: Vec<Record>,
    key: Ed25519SigningKey,
    denial: Denial,
    validity: Validity,
}

impl Signed {
    pub fn new(apex: &str, records: Vec<Record>) -> Self {
        let key = Ed25519SigningKey::from_pkcs8(&Ed25519SigningKey::generate_pkcs8().unwrap()).unwrap();
        Self { apex: name(apex), records, key, denial: Denial::Nsec, validity: VALID }
    }

    pub fn denying(self, denial: Denial) -> Self {
        Self { denial, ..self }
    }

    pub fn valid(self, validity: Validity) -> Self {
        Self { validity, ..self }
    }

    pub fn with(mut self, record: Record) -> Self {
        self.records.push(record);
        self
    }

    /// The DS record for a zone below.
    pub fn ds_of(&self, below: &str) -> Record {
        let is = |r: &&Record| r.name == name(below) && r.record_type() == RecordType::DS;
        self.records.iter().find(is).unwrap().clone()
    }

    pub fn without(mut self, record: &Record) -> Self {
        self.records.retain(|r| r != record);
        self
    }

    fn dnskey(&self) -> DNSKEY {
        DNSKEY::from_key(&self.key.to_public_key().unwrap())
    }

    fn digest(&self) -> DS {
        let key = self.dnskey();
        let digest = key.to_digest(&self.apex, DigestType::SHA256).unwrap();
        DS::new(
            key.calculate_key_tag().unwrap(),
            Algorithm::ED25519,
            DigestType::SHA256,
            digest.as_ref().to_vec(),
        )
    }

    /// The DS record for the parent.
    pub fn ds(&self) -> Record {
        Record::from_rdata(self.apex.clone(), 300, RData::DNSSEC(DNSSECRData::DS(self.digest())))
    }

    /// The same as a trust anchor.
    pub fn anchor(&self) -> String {
        let ds = self.digest();
        format!(". IN DS {} 15 2 {}", ds.key_tag(), HEXUPPER.encode(ds.digest()))
    }

    pub fn answer(&self, asked: &Message) -> Message {
        let question = &asked.queries[0];
        let (at, rtype) = (&question.name, question.query_type);
        let mut records = self.records.clone();
        records.push(Record::from_rdata(
            self.apex.clone(),
            300,
            RData::DNSSEC(DNSSECRData::DNSKEY(self.dnskey())),
        ));
        if rtype == RecordType::DS && *at != self.apex {
            // The parent answers the DS query although it refers all others.
            records.retain(|r| !(r.name == *at && r.record_type() == RecordType::NS));
        }
        let (expanded, wildcard) = self.expand(at, &records);
        records.extend(expanded);
        let mut reply = Zones::default().with(&self.apex.to_ascii(), records).answer(asked);
        if !reply.metadata.authoritative {
            return reply;
        }
        if rtype == RecordType::DS && self.exists(at) {
            reply.metadata.response_code = ResponseCode::NoError;
        }
        if reply.answers.is_empty() {
            let proof = self.deny(at, reply.metadata.response_code);
            reply.authorities = vec![soa(&self.apex.to_ascii())];
            reply.authorities.extend(proof);
        } else if wildcard.is_some() {
            let mut proof = self.deny(at, ResponseCode::NXDomain);
            proof.truncate(if self.denial == Denial::Nsec { 1 } else { 2 });
            reply.authorities = proof;
        } else {
            reply.authorities.clear();
        }
        reply.additionals.clear();
        let alias = reply.answers.first().is_some_and(|r| r.record_type() == RecordType::DNAME);
        // The synthesised CNAME of a DNAME has no signature.
        let repeated = if alias { reply.answers.split_off(1) } else { vec![] };
        self.sign(&mut reply.answers, wildcard.as_ref());
        reply.answers.extend(repeated);
        self.sign(&mut reply.authorities, None);
        reply
    }

    /// The records that a wildcard expands to at a name that does not exist, and the wildcard.
    fn expand(&self, at: &Name, records: &[Record]) -> (Vec<Record>, Option<Name>) {
        if self.exists(at) {
            return (vec![], None);
        }
        let wildcard = self.encloser(at).prepend_label("*").unwrap();
        let found: Vec<Record> = records
            .iter()
            .filter(|r| r.name == wildcard)
            .map(|r| Record::from_rdata(at.clone(), r.ttl, r.data.clone()))
            .collect();
        let any = !found.is_empty();
        (found, any.then_some(wildcard))
    }

    /// Adds a signature for each set of records.
    fn sign(&self, section: &mut Vec<Record>, wildcard: Option<&Name>) {
        let mut sets: BTreeMap<(Name, u16), Vec<Record>> = BTreeMap::new();
        for record in section.iter() {
            sets.entry((record.name.clone(), record.record_type().into())).or_default().push(record.clone());
        }
        for ((owner, _), set) in sets {
            section.push(self.signature(&owner, &set, wildcard.filter(|_| self.exists(&owner).eq(&false))));
        }
    }

    fn signature(&self, owner: &Name, set: &[Record], wildcard: Option<&Name>) -> Record {
        let signed = wildcard.unwrap_or(owner);
        let at = |offset: i64| SerialNumber::new(u32::try_from(now() + offset).unwrap());
        let input = SigInput {
            type_covered: set[0].record_type(),
            algorithm: Algorithm::ED25519,
            num_labels: signed.num_labels(),
            original_ttl: set[0].ttl,
            sig_expiration: at(self.validity.1),
            sig_inception: at(self.validity.0),
            key_tag: self.dnskey().calculate_key_tag().unwrap(),
            signer_name: self.apex.clone(),
        };
        let set: Vec<Record> =
            set.iter().map(|r| Record::from_rdata(signed.clone(), r.ttl, r.data.clone())).collect();
        let tbs = TBS::from_input(signed, DNSClass::IN, &input, set.iter()).unwrap();
        let rrsig = RRSIG::from_sig(input, self.key.sign(&tbs).unwrap());
        Record::from_rdata(owner.clone(), set[0].ttl, RData::DNSSEC(DNSSECRData::RRSIG(rrsig)))
    }

    /// Every name of the zone with its types; names below a cut are left out.
    fn names(&self) -> BTreeMap<Name, Vec<RecordType>> {
        let cut = |r: &&Record| r.record_type() == RecordType::NS && r.name != self.apex;
        let cuts: Vec<&Name> = self.records.iter().filter(cut).map(|r| &r.name).collect();
        let mut names: BTreeMap<Name, Vec<RecordType>> = BTreeMap::new();
        names.insert(self.apex.clone(), vec![RecordType::SOA, RecordType::DNSKEY, RecordType::NS]);
        for record in &self.records {
            if cuts.iter().any(|cut| cut.zone_of(&record.name) && **cut != record.name) {
                continue;
            }
            let types = names.entry(record.name.clone()).or_default();
            if !(cuts.contains(&&record.name) && record.data.ip_addr().is_some()) {
                types.push(record.record_type());
            }
        }
        names
    }

    fn exists(&self, at: &Name) -> bool {
        self.names().keys().any(|known| at.zone_of(known))
    }

    /// The closest encloser: the deepest existing name above.
    fn encloser(&self, at: &Name) -> Name {
        let mut above = at.base_name();
        while !self.exists(&above) {
            above = above.base_name();
        }
        above
    }

    fn deny(&self, at: &Name, code: ResponseCode) -> Vec<Record> {
        match self.denial {
            Denial::Nsec => self.nsec(at, code),
            Denial::Nsec3 | Denial::OptOut => self.nsec3(at),
        }
    }

    fn nsec(&self, at: &Name, code: ResponseCode) -> Vec<Record> {
        let names: Vec<(Name, Vec<RecordType>)> = self.names().into_iter().collect();
        let covering = |at: &Name| {
            let index = names.iter().rposition(|(owner, _)| owner <= at).unwrap();
            let next = names.get(index + 1).map_or(&self.apex, |(next, _)| next);
            let nsec = NSEC::new_cover_self(next.clone(), names[index].1.clone());
            Record::from_rdata(names[index].0.clone(), 300, RData::DNSSEC(DNSSECRData::NSEC(nsec)))
        };
        let mut proof = vec![covering(at)];
        if code == ResponseCode::NXDomain {
            let wildcard = covering(&self.encloser(at).prepend_label("*").unwrap());
            if !proof.contains(&wildcard) {
                proof.push(wildcard);
            }
        }
        proof
    }

    /// The NSEC3 set of a denial: the closest encloser's, the next closer name's, the wildcard's (RFC 5155 §7.2).
    fn nsec3(&self, at: &Name) -> Vec<Record> {
        let hash = |at: &Name| Nsec3HashAlgorithm::SHA1.hash(&[], at, 0).unwrap().as_ref().to_vec();
        let opt_out = self.denial == Denial::OptOut;
        let mut chain: BTreeMap<Vec<u8>, Vec<RecordType>> = BTreeMap::new();
        for (owner, mut types) in self.names() {
            let unsigned = types.contains(&RecordType::NS) && !types.contains(&RecordType::DS);
            if opt_out && unsigned && owner != self.apex {
                continue;
            }
            if !unsigned || owner == self.apex {
                types.push(RecordType::RRSIG);
            }
            chain.insert(hash(&owner), types);
            let mut above = owner.base_name();
            while self.apex.zone_of(&above) && above != self.apex {
                chain.entry(hash(&above)).or_default();
                above = above.base_name();
            }
        }
        let chain: Vec<(Vec<u8>, Vec<RecordType>)> = chain.into_iter().collect();
        let around = |at: &Name| {
            let wanted = hash(at);
            let last = chain.len() - 1;
            let index = chain.iter().rposition(|(owner, _)| *owner <= wanted).unwrap_or(last);
            let next = chain[(index + 1) % chain.len()].0.clone();
            let nsec3 =
                NSEC3::new(Nsec3HashAlgorithm::SHA1, opt_out, 0, vec![], next, chain[index].1.clone());
            let owner =
                self.apex.prepend_label(BASE32HEX_NOPAD.encode(&chain[index].0).to_lowercase()).unwrap();
            (
                chain[index].0 == wanted,
                Record::from_rdata(owner, 300, RData::DNSSEC(DNSSECRData::NSEC3(nsec3))),
            )
        };
        let (matches, record) = around(at);
        if matches {
            return vec![record];
        }
        let mut encloser = at.base_name();
        let mut next_closer = at.clone();
        while !around(&encloser).0 {
            next_closer = encloser.clone();
            encloser = encloser.base_name();
        }
        let mut proof = vec![around(&encloser).1];
        for at in [next_closer, encloser.prepend_label("*").unwrap()] {
            let (_, record) = around(&at);
            if !proof.contains(&record) {
                proof.push(record);
            }
        }
        proof
    }
}

/// The time that signature periods are checked against.
#[expect(clippy::disallowed_methods, reason = "signatures are valid by the real clock")]
fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}
