//! Whether a wildcard expansion is right: no closer match may exist (RFC 4035 §5.3.4).
use hickory_proto::dnssec::rdata::{DNSSECRData, NSEC};
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// Whether a validated NSEC record proves that neither the name exists, nor any name between it and the wildcard
/// whose signature has so many labels.
///
/// The library asks for a proof that the wildcard does not exist either, which a zone that has the wildcard cannot
/// give.
pub(super) fn nothing_closer(authorities: &[Record], name: &Name, labels: u8) -> bool {
    let next_closer = name.trim_to(usize::from(labels) + 1);
    authorities.iter().filter(|record| record.proof.is_secure()).any(|record| match &record.data {
        RData::DNSSEC(DNSSECRData::NSEC(nsec)) => covers(&record.name, nsec, name, &next_closer),
        _ => false,
    })
}

fn covers(owner: &Name, nsec: &NSEC, name: &Name, next_closer: &Name) -> bool {
    let next = nsec.next_domain_name();
    // The last NSEC record of a zone points back to its apex.
    let between = owner < name && (name < next || next <= owner);
    // Names below the next closer name sort beside the name, so that one of them would be an end of the gap.
    let empty = !next_closer.zone_of(owner) && !next_closer.zone_of(next);
    between && empty && !speaks_from_above(owner, nsec, name)
}

/// Whether the record says nothing about names below its owner: at a delegation or a DNAME (RFC 6840 §4.1).
fn speaks_from_above(owner: &Name, nsec: &NSEC, name: &Name) -> bool {
    let types = nsec.type_set();
    let delegates = types.contains(RecordType::NS) && !types.contains(RecordType::SOA);
    owner.zone_of(name) && (delegates || types.contains(RecordType::DNAME))
}

#[cfg(test)]
mod tests {
    use hickory_proto::dnssec::Proof;

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn nsec(owner: &str, next: &str, types: &[RecordType]) -> Record {
        let data = NSEC::new(name(next), types.iter().copied());
        let mut record = Record::from_rdata(name(owner), 60, RData::DNSSEC(DNSSECRData::NSEC(data)));
        record.proof = Proof::Secure;
        record
    }

    #[test]
    fn requires_nsec_gap_around_name() {
        // `*.acme.test` is expanded to `_deed.acme.test`, or to `_v.www.acme.test`.
        let proves = |record: Record, at: &str| nothing_closer(&[record], &name(at), 2);
        let txt = &[RecordType::TXT];
        assert!(proves(nsec("*.acme.test.", "www.acme.test.", txt), "_deed.acme.test."));
        assert!(proves(nsec("*.acme.test.", "acme.test.", txt), "_deed.acme.test."), "the last one");
        assert!(proves(nsec("a.acme.test.", "x.acme.test.", txt), "_v.www.acme.test."));
        assert!(!proves(nsec("a.acme.test.", "z.acme.test.", txt), "zz.acme.test."), "beside it");
        assert!(!proves(nsec("_deed.acme.test.", "z.acme.test.", txt), "_deed.acme.test."), "it is there");
        assert!(!proves(nsec("www.acme.test.", "x.acme.test.", txt), "_v.www.acme.test."), "www is there");
        assert!(
            !proves(nsec("a.acme.test.", "x.www.acme.test.", txt), "_v.www.acme.test."),
            "something is below www"
        );
        let cut = &[RecordType::NS];
        assert!(!nothing_closer(&[nsec("acme.test.", "z.test.", cut)], &name("_deed.acme.test."), 1));
        let mut forged = nsec("*.acme.test.", "www.acme.test.", txt);
        forged.proof = Proof::Bogus;
        assert!(!proves(forged, "_deed.acme.test."));
    }
}
