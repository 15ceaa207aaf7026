//! Tests of reading responses.
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
fn joins_strings_of_record_only() {
    let seen = response(|m| {
        m.add_answer(txt("a.test.", vec![b"one", b"two"]));
        m.add_answer(txt("a.test.", vec![b"", b"\xff\x00", b""]));
        m.add_answer(txt("a.test.", vec![b""]));
        m.add_answer(txt("b.test.", vec![b"elsewhere"]));
    });
    let texts = seen.txt_values(&name("A.test."), &Budgets::default());
    assert_eq!(texts.values, [b"".to_vec(), b"onetwo".to_vec(), b"\xff\x00".to_vec()]);
    assert!(!texts.oversize);
}

#[test]
fn reads_answer_section_only() {
    let seen = response(|m| {
        m.add_authority(txt("a.test.", vec![b"no"]));
        m.add_additional(txt("a.test.", vec![b"no"]));
    });
    assert!(seen.txt_values(&name("a.test."), &Budgets::default()).values.is_empty());
}

#[test]
fn reads_large_sets_and_marks_them() {
    let many = response(|m| {
        for i in 0..65u8 {
            m.add_answer(txt("a.test.", vec![&[i]]));
        }
    });
    let read = |txt_records, txt_bytes| {
        let budgets = Budgets { txt_records, txt_bytes, ..Budgets::default() };
        let texts = many.txt_values(&name("a.test."), &budgets);
        (texts.values.len(), texts.oversize)
    };
    assert_eq!([read(64, 16_384), read(65, 16_384), read(100, 10)], [(65, true), (65, false), (65, true)]);
}

#[test]
fn chooses_first_of_several_cnames() {
    for (first, second) in [("b.test.", "c.test."), ("c.test.", "b.test.")] {
        let seen = response(|m| {
            m.add_answer(cname("a.test.", first));
            m.add_answer(cname("a.test.", second));
        });
        assert_eq!(seen.chain(&name("a.test."), 1).targets, [name("b.test.")]);
    }
}

#[test]
fn follows_alias_chain_inside_message_until_end_or_loop() {
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
fn applies_dname_with_or_without_synthesised_cname() {
    let target = [b"\x05other\x04test\x00".as_slice()].concat();
    let data = RData::Unknown { code: RecordType::DNAME, rdata: NULL::with(target) };
    let dname = Record::from_rdata(name("acme.test."), 60, data);
    let with_alias = response(|m| {
        m.add_answer(dname.clone());
        m.add_answer(cname("_x.acme.test.", "_x.other.test."));
        m.add_answer(txt("_x.other.test.", vec![b"v"]));
    });
    let redirect = Some(DnameRedirect { owner: name("acme.test."), target: name("other.test.") });
    let chain = with_alias.chain(&name("_x.acme.test."), 9);
    assert_eq!((chain.targets, chain.dname), (vec![name("_x.other.test.")], redirect.clone()));
    let alone = response(|m| {
        m.add_answer(dname);
    });
    let chain = alone.chain(&name("_x.ACME.test."), 9);
    assert_eq!((chain.targets, chain.dname), (vec![name("_x.other.test.")], redirect));
    assert_eq!(alone.chain(&name("acme.test."), 9), AliasChain::default(), "its owner stays");
    let long = name(&format!("{0}.{0}.{0}.{1}.acme.test.", "a".repeat(60), "b".repeat(60)));
    assert_eq!(alone.chain(&long, 9).targets.len(), 0, "too long at the new place");
}

#[test]
fn requires_enclosing_soa_in_denial() {
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
fn accepts_every_form_of_denial_by_the_zone() {
    let soa = |owner: &str| {
        let soa = SOA::new(name("ns.test."), name("h.test."), 7, 1, 1, 1, 300);
        Record::from_rdata(name(owner), 900, RData::SOA(soa))
    };
    let ns = |owner: &str| Record::from_rdata(name(owner), 60, RData::NS(NS(name("ns.test."))));
    let denies =
        |change: &dyn Fn(&mut Message)| response(change).denies(&name("acme.test."), &name("_x.acme.test."));
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
fn reads_compact_denial() {
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
fn needs_one_current_signature_per_set() {
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
    let (old, current, early) =
        (sig(RecordType::TXT, 1, 999), sig(RecordType::TXT, 1, 2_000), sig(RecordType::TXT, 1_500, 2_000));
    assert_eq!(at(&[]), Signatures::None);
    assert_eq!(at(std::slice::from_ref(&old)), Signatures::Expired);
    assert_eq!(at(std::slice::from_ref(&early)), Signatures::NotYetValid);
    assert_eq!(at(&[old.clone(), current.clone()]), Signatures::Current);
    assert_eq!(at(&[current, sig(RecordType::CNAME, 1, 999)]), Signatures::Expired, "the worst set");
}

#[test]
fn reads_extended_rcode_and_error() {
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
fn formats_names_in_lower_case_and_escaped() {
    assert_eq!(text_of(&name("_X.Example.")), "_x.example");
    assert_eq!(text_of(&Name::root()), ".");
    let odd = Name::from_labels([b"a\n\xff".as_slice(), b"test".as_slice()]).unwrap();
    assert_eq!(text_of(&odd), "a\\010\\255.test");
    let value = Name::from_labels([b"Claim=\"a.b\\\"; <c>".as_slice(), b"acme".as_slice()]).unwrap();
    assert_eq!(text_of(&value), "claim=\"a\\.b\\\\\";\\032<c>.acme");
}
