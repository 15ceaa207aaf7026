//! What an authoritative server says: data, denials, wildcards, aliases and referrals.

use deed_sandbox::{PutRecords, PutZone};
use hickory_proto::op::ResponseCode::{NXDomain, NoError, Refused};
use hickory_proto::rr::{RData, Record, RecordType};

use crate::client::{Lab, answers, assert_negative, name, question, show};

#[tokio::test]
async fn records_of_every_type_are_served_with_aa() {
    let lab = Lab::with_acme().await;
    for (kind, text, value) in [
        (RecordType::TXT, "TXT", "deed-domain-claim=abc"),
        (RecordType::A, "A", "127.0.0.9"),
        (RecordType::AAAA, "AAAA", "fe80::1"),
        (RecordType::MX, "MX", "10 mail.acme.com"),
        (RecordType::CAA, "CAA", "0 issue \"ca.test\""),
        (RecordType::NS, "NS", "ns1.elsewhere.net"),
    ] {
        lab.set("acme.com", text, &[value]);
        let reply = lab.ask("acme.com", kind).await;
        assert_eq!(reply.response_code, NoError);
        assert!(reply.authoritative && !reply.truncation && !reply.recursion_available, "{kind}");
        let wanted = match kind {
            RecordType::MX => "10 mail.acme.com.".to_owned(),
            RecordType::NS => "ns1.elsewhere.net.".to_owned(),
            _ => value.to_owned(),
        };
        assert_eq!(answers(&reply), [format!("acme.com. {kind} {wanted}")]);
        assert_eq!(reply.authorities, []);
    }
    let soa = lab.ask("acme.com", RecordType::SOA).await;
    assert!(matches!(soa.answers[0].data, RData::SOA(ref soa) if soa.serial == 8), "{soa}");
    let any = lab.ask("acme.com", RecordType::ANY).await;
    assert_eq!(any.answers.len(), 7);
}

#[tokio::test]
async fn ttl_and_all_values_of_a_set_are_served() {
    let lab = Lab::with_acme().await;
    lab.zones.put_records("acme.com", "TXT", &PutRecords::values(["one", "two"]).with_ttl(77)).unwrap();
    lab.zones.add_records("acme.com", "TXT", &PutRecords::values(["two", "three"]).with_ttl(77)).unwrap();
    let reply = lab.ask("acme.com", RecordType::TXT).await;
    assert_eq!(answers(&reply), ["acme.com. TXT one", "acme.com. TXT two", "acme.com. TXT three"]);
    assert!(reply.answers.iter().all(|record| record.ttl == 77));
}

#[tokio::test]
async fn long_text_comes_as_several_strings_of_one_record() {
    let lab = Lab::with_acme().await;
    lab.set("long.acme.com", "TXT", &[&"x".repeat(300)]);
    lab.zones.put_records("parts.acme.com", "TXT", &PutRecords::strings(["ab", "", "c\\000\\255"])).unwrap();
    let strings = |message: hickory_proto::op::Message| match message.answers.as_slice() {
        [Record { data: RData::TXT(txt), .. }] => {
            txt.txt_data.iter().map(|part| part.to_vec()).collect::<Vec<_>>()
        }
        other => panic!("no single TXT record: {other:?}"),
    };
    let long = strings(lab.ask("long.acme.com", RecordType::TXT).await);
    assert_eq!(long, [vec![b'x'; 255], vec![b'x'; 45]]);
    let parts = strings(lab.ask("parts.acme.com", RecordType::TXT).await);
    assert_eq!(parts, [b"ab".to_vec(), b"".to_vec(), b"c\x00\xff".to_vec()]);
}

#[tokio::test]
async fn what_is_not_there_is_denied_with_the_soa() {
    let lab = Lab::with_acme().await;
    lab.zones.put_zone("acme.com", &PutZone { soa_minimum: Some(42), ns: None }).unwrap();
    lab.set("acme.com", "SOA", &["ns1.acme.com admin.acme.com 9 3600 600 86400 42"]);
    lab.set("a.b.acme.com", "TXT", &["deep"]);
    assert_negative(&lab.ask("nothing.acme.com", RecordType::TXT).await, NXDomain, "acme.com");
    assert_negative(&lab.ask("below.a.b.acme.com", RecordType::TXT).await, NXDomain, "acme.com");
    assert_negative(&lab.ask("a.b.acme.com", RecordType::A).await, NoError, "acme.com");
    // RFC 8020: a name with something below it exists.
    assert_negative(&lab.ask("b.acme.com", RecordType::TXT).await, NoError, "acme.com");
    assert_negative(&lab.ask("acme.com", RecordType::TXT).await, NoError, "acme.com");
    let denied = lab.ask("nothing.acme.com", RecordType::TXT).await;
    assert_eq!(show(&denied.authorities), ["acme.com. SOA minimum 42"]);
    assert_eq!(denied.authorities[0].ttl, 5, "the smaller of the SOA's TTL and its minimum");
}

#[tokio::test]
async fn the_minimum_of_a_zone_bounds_negative_caching() {
    let lab = Lab::with_acme().await;
    lab.zones.put_zone("acme.com", &PutZone { soa_minimum: Some(900), ns: None }).unwrap();
    let denied = lab.ask("nothing.acme.com", RecordType::TXT).await;
    assert_eq!(denied.authorities[0].ttl, 900);
    assert_eq!(show(&denied.authorities), ["acme.com. SOA minimum 900"]);
}

#[tokio::test]
async fn removed_records_are_gone() {
    let lab = Lab::with_acme().await;
    lab.set("a.b.acme.com", "TXT", &["deep"]);
    assert!(lab.zones.delete_records("a.b.acme.com", "TXT").unwrap());
    assert!(!lab.zones.delete_records("a.b.acme.com", "TXT").unwrap());
    assert_negative(&lab.ask("a.b.acme.com", RecordType::TXT).await, NXDomain, "acme.com");
    assert_negative(&lab.ask("b.acme.com", RecordType::TXT).await, NXDomain, "acme.com");
}

#[tokio::test]
async fn wildcards_cover_what_their_closest_encloser_lacks() {
    let lab = Lab::with_acme().await;
    lab.set("*.acme.com", "TXT", &["wild"]);
    lab.set("host.acme.com", "A", &["127.0.0.9"]);
    lab.set("x.deep.acme.com", "A", &["127.0.0.9"]);
    lab.set("_t.*.acme.com", "TXT", &["below the star"]);
    for covered in ["any.acme.com", "any.thing.acme.com", "*.acme.com"] {
        let reply = lab.ask(covered, RecordType::TXT).await;
        assert_eq!(answers(&reply), [format!("{covered}. TXT wild")]);
        assert!(reply.authoritative);
    }
    assert_negative(&lab.ask("any.acme.com", RecordType::A).await, NoError, "acme.com");
    // RFC 4592 §2.2.1: names that exist, empty ones too, and what is below them are not covered.
    assert_negative(&lab.ask("host.acme.com", RecordType::TXT).await, NoError, "acme.com");
    assert_negative(&lab.ask("deep.acme.com", RecordType::TXT).await, NoError, "acme.com");
    assert_negative(&lab.ask("y.deep.acme.com", RecordType::TXT).await, NXDomain, "acme.com");
    assert_negative(&lab.ask("y.host.acme.com", RecordType::TXT).await, NXDomain, "acme.com");
    assert_eq!(
        answers(&lab.ask("_t.*.acme.com", RecordType::TXT).await),
        ["_t.*.acme.com. TXT below the star"]
    );
    assert_negative(&lab.ask("_u.*.acme.com", RecordType::TXT).await, NXDomain, "acme.com");
}

#[tokio::test]
async fn a_wildcard_without_records_of_its_own_gives_no_data() {
    let lab = Lab::with_acme().await;
    lab.set("_t.*.acme.com", "TXT", &["below the star"]);
    assert_negative(&lab.ask("any.acme.com", RecordType::TXT).await, NoError, "acme.com");
}

#[tokio::test]
async fn aliases_are_followed_through_own_zones() {
    let lab = Lab::automatic().await;
    lab.set("_deed.acme.com", "CNAME", &["_deed.provider.net"]);
    lab.set("_deed.provider.net", "CNAME", &["*.pool.provider.net"]);
    lab.set("*.pool.provider.net", "TXT", &["proof"]);
    let chain = [
        "_deed.acme.com. CNAME _deed.provider.net.",
        "_deed.provider.net. CNAME *.pool.provider.net.",
        "*.pool.provider.net. TXT proof",
    ];
    let reply = lab.ask("_deed.acme.com", RecordType::TXT).await;
    assert_eq!((reply.response_code, answers(&reply)), (NoError, chain.map(str::to_owned).to_vec()));
    assert!(reply.authoritative);
    assert_eq!(answers(&lab.ask("_deed.acme.com", RecordType::CNAME).await), chain[..1]);
    // RFC 6604: the code is that of the chain's end.
    lab.zones.delete_records("*.pool.provider.net", "TXT").unwrap();
    let dangling = lab.ask("_deed.acme.com", RecordType::TXT).await;
    assert_eq!(
        (dangling.response_code, answers(&dangling)),
        (NXDomain, chain[..2].iter().map(|s| (*s).into()).collect())
    );
    assert_eq!(dangling.authorities[0].name, name("provider.net"));
}

#[tokio::test]
async fn aliases_leaving_the_server_or_going_in_circles_end() {
    let lab = Lab::with_acme().await;
    lab.set("out.acme.com", "CNAME", &["www.elsewhere.net"]);
    let out = lab.ask("out.acme.com", RecordType::TXT).await;
    assert_eq!(
        (out.response_code, answers(&out)),
        (NoError, vec!["out.acme.com. CNAME www.elsewhere.net.".into()])
    );
    lab.set("a.acme.com", "CNAME", &["b.acme.com"]);
    lab.set("b.acme.com", "CNAME", &["A.acme.com"]);
    let circle = lab.ask("a.acme.com", RecordType::TXT).await;
    assert_eq!((circle.response_code, circle.answers.len()), (NoError, 2));
    for index in 0..30 {
        lab.set(&format!("c{index}.acme.com"), "CNAME", &[&format!("c{}.acme.com", index + 1)]);
    }
    let long = lab.ask("c0.acme.com", RecordType::TXT).await;
    assert!(long.answers.len() < 30, "an endless chain would be followed: {}", long.answers.len());
}

#[tokio::test]
async fn delegated_names_are_referred_with_glue() {
    let lab = Lab::with_acme().await;
    lab.set("child.acme.com", "NS", &["ns1.child.acme.com", "ns.elsewhere.net"]);
    lab.set("ns1.child.acme.com", "A", &["127.0.0.53"]);
    for asked in ["child.acme.com", "_deed.www.child.acme.com", "ns1.child.acme.com"] {
        for kind in [RecordType::TXT, RecordType::NS, RecordType::A] {
            let reply = lab.ask(asked, kind).await;
            assert_eq!((reply.response_code, reply.authoritative), (NoError, false), "{asked} {kind}");
            assert_eq!(answers(&reply), Vec::<String>::new());
            let servers = ["child.acme.com. NS ns1.child.acme.com.", "child.acme.com. NS ns.elsewhere.net."];
            assert_eq!(show(&reply.authorities), servers);
            assert_eq!(show(&reply.additionals), ["ns1.child.acme.com. A 127.0.0.53"]);
        }
    }
    // RFC 4035 §3.1.4.1: the parent answers for DS.
    assert_negative(&lab.ask("child.acme.com", RecordType::DS).await, NoError, "acme.com");
    // A zone that is held here itself is answered for, not referred to.
    lab.zones.put_zone("child.acme.com", &PutZone::default()).unwrap();
    assert_negative(&lab.ask("_deed.www.child.acme.com", RecordType::TXT).await, NXDomain, "child.acme.com");
    assert_negative(&lab.ask("child.acme.com", RecordType::DS).await, NoError, "acme.com");
}

#[tokio::test]
async fn a_zone_below_makes_the_names_between_exist() {
    let lab = Lab::with_acme().await;
    lab.zones.put_zone("x.y.acme.com", &PutZone::default()).unwrap();
    assert_negative(&lab.ask("y.acme.com", RecordType::NS).await, NoError, "acme.com");
    assert_negative(&lab.ask("z.acme.com", RecordType::NS).await, NXDomain, "acme.com");
}

#[tokio::test]
async fn names_outside_all_zones_are_refused() {
    let lab = Lab::with_acme().await;
    for outside in [".", "com", "acme.net", "notacme.com"] {
        let reply = lab.ask(outside, RecordType::NS).await;
        assert_eq!((reply.response_code, reply.authoritative), (Refused, false), "{outside}");
        assert_eq!(reply.authorities, []);
    }
    assert!(lab.zones.delete_zone("acme.com").unwrap());
    assert_eq!(lab.ask("acme.com", RecordType::TXT).await.response_code, Refused);
}

#[tokio::test]
async fn transfers_and_other_classes_are_refused() {
    let lab = Lab::with_acme().await;
    assert_eq!(lab.ask_tcp("acme.com", RecordType::AXFR).await.response_code, Refused);
    assert_eq!(lab.ask("acme.com", RecordType::IXFR).await.response_code, Refused);
    let mut chaos = question("version.bind", RecordType::TXT);
    chaos.queries[0].set_query_class(hickory_proto::rr::DNSClass::CH);
    assert_eq!(lab.send(&chaos).await.response_code, Refused);
}

#[tokio::test]
async fn every_change_raises_the_serial() {
    let lab = Lab::with_acme().await;
    let serial = || lab.zones.zones().into_iter().find(|zone| zone.zone == "acme.com").unwrap().serial;
    let mut last = serial();
    let mut raised = |what: &str| {
        assert!(serial() > last, "{what}");
        last = serial();
    };
    lab.set("a.acme.com", "TXT", &["1"]);
    raised("put");
    lab.zones.add_records("a.acme.com", "TXT", &PutRecords::values(["2"])).unwrap();
    raised("add");
    lab.zones.delete_records("a.acme.com", "TXT").unwrap();
    raised("delete");
    lab.zones.put_zone("acme.com", &PutZone { soa_minimum: Some(1), ns: None }).unwrap();
    raised("zone");
    lab.set("acme.com", "SOA", &["ns1.acme.com admin.acme.com 4294967295 1 1 1 1"]);
    assert_eq!(serial(), u32::MAX, "an SOA is taken as it is");
    lab.set("a.acme.com", "TXT", &["3"]);
    assert_eq!(serial(), 1, "serials wrap");
}
