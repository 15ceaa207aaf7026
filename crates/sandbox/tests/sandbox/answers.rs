//! Answers of an authoritative server: data, denials, wildcards, aliases and referrals.

use deed_sandbox::{PutRecords, PutZone};
use hickory_proto::op::ResponseCode::{NXDomain, NoError, Refused};
use hickory_proto::rr::{RData, Record, RecordType};

use crate::client::{TestSandbox, answers, assert_negative, name, query, show};

#[tokio::test]
async fn records_of_every_type_are_served_with_aa() {
    let sandbox = TestSandbox::with_acme().await;
    for (kind, text, value) in [
        (RecordType::TXT, "TXT", "deed-domain-claim=abc"),
        (RecordType::A, "A", "127.0.0.9"),
        (RecordType::AAAA, "AAAA", "fe80::1"),
        (RecordType::MX, "MX", "10 mail.acme.com"),
        (RecordType::CAA, "CAA", "0 issue \"ca.test\""),
        (RecordType::NS, "NS", "ns1.elsewhere.net"),
    ] {
        sandbox.set("acme.com", text, &[value]);
        let reply = sandbox.query("acme.com", kind).await;
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
    let soa = sandbox.query("acme.com", RecordType::SOA).await;
    assert!(matches!(soa.answers[0].data, RData::SOA(ref soa) if soa.serial == 8), "{soa}");
    let any = sandbox.query("acme.com", RecordType::ANY).await;
    assert_eq!(any.answers.len(), 7);
}

#[tokio::test]
async fn ttl_and_all_values_of_a_set_are_served() {
    let sandbox = TestSandbox::with_acme().await;
    sandbox.zones.put_records("acme.com", "TXT", &PutRecords::values(["one", "two"]).with_ttl(77)).unwrap();
    sandbox.zones.add_records("acme.com", "TXT", &PutRecords::values(["two", "three"]).with_ttl(77)).unwrap();
    let reply = sandbox.query("acme.com", RecordType::TXT).await;
    assert_eq!(answers(&reply), ["acme.com. TXT one", "acme.com. TXT two", "acme.com. TXT three"]);
    assert!(reply.answers.iter().all(|record| record.ttl == 77));
}

#[tokio::test]
async fn serves_long_text_as_several_strings() {
    let sandbox = TestSandbox::with_acme().await;
    sandbox.set("long.acme.com", "TXT", &[&"x".repeat(300)]);
    sandbox
        .zones
        .put_records("parts.acme.com", "TXT", &PutRecords::strings(["ab", "", "c\\000\\255"]))
        .unwrap();
    let strings = |message: hickory_proto::op::Message| match message.answers.as_slice() {
        [Record { data: RData::TXT(txt), .. }] => {
            txt.txt_data.iter().map(|part| part.to_vec()).collect::<Vec<_>>()
        }
        other => panic!("no single TXT record: {other:?}"),
    };
    let long = strings(sandbox.query("long.acme.com", RecordType::TXT).await);
    assert_eq!(long, [vec![b'x'; 255], vec![b'x'; 45]]);
    let parts = strings(sandbox.query("parts.acme.com", RecordType::TXT).await);
    assert_eq!(parts, [b"ab".to_vec(), b"".to_vec(), b"c\x00\xff".to_vec()]);
}

#[tokio::test]
async fn denies_with_soa() {
    let sandbox = TestSandbox::with_acme().await;
    sandbox.zones.put_zone("acme.com", &PutZone { soa_minimum: Some(42), ns: None }).unwrap();
    sandbox.set("acme.com", "SOA", &["ns1.acme.com admin.acme.com 9 3600 600 86400 42"]);
    sandbox.set("a.b.acme.com", "TXT", &["deep"]);
    assert_negative(&sandbox.query("nothing.acme.com", RecordType::TXT).await, NXDomain, "acme.com");
    assert_negative(&sandbox.query("below.a.b.acme.com", RecordType::TXT).await, NXDomain, "acme.com");
    assert_negative(&sandbox.query("a.b.acme.com", RecordType::A).await, NoError, "acme.com");
    // RFC 8020: a name with something below it exists.
    assert_negative(&sandbox.query("b.acme.com", RecordType::TXT).await, NoError, "acme.com");
    assert_negative(&sandbox.query("acme.com", RecordType::TXT).await, NoError, "acme.com");
    let denied = sandbox.query("nothing.acme.com", RecordType::TXT).await;
    assert_eq!(show(&denied.authorities), ["acme.com. SOA minimum 42"]);
    assert_eq!(denied.authorities[0].ttl, 5, "the smaller of the SOA's TTL and its minimum");
}

#[tokio::test]
async fn the_minimum_of_a_zone_bounds_negative_caching() {
    let sandbox = TestSandbox::with_acme().await;
    sandbox.zones.put_zone("acme.com", &PutZone { soa_minimum: Some(900), ns: None }).unwrap();
    let denied = sandbox.query("nothing.acme.com", RecordType::TXT).await;
    assert_eq!(denied.authorities[0].ttl, 900);
    assert_eq!(show(&denied.authorities), ["acme.com. SOA minimum 900"]);
}

#[tokio::test]
async fn removed_records_are_gone() {
    let sandbox = TestSandbox::with_acme().await;
    sandbox.set("a.b.acme.com", "TXT", &["deep"]);
    assert!(sandbox.zones.delete_records("a.b.acme.com", "TXT").unwrap());
    assert!(!sandbox.zones.delete_records("a.b.acme.com", "TXT").unwrap());
    assert_negative(&sandbox.query("a.b.acme.com", RecordType::TXT).await, NXDomain, "acme.com");
    assert_negative(&sandbox.query("b.acme.com", RecordType::TXT).await, NXDomain, "acme.com");
}

#[tokio::test]
async fn wildcard_covers_names_below_closest_encloser() {
    let sandbox = TestSandbox::with_acme().await;
    sandbox.set("*.acme.com", "TXT", &["wild"]);
    sandbox.set("host.acme.com", "A", &["127.0.0.9"]);
    sandbox.set("x.deep.acme.com", "A", &["127.0.0.9"]);
    sandbox.set("_t.*.acme.com", "TXT", &["below the star"]);
    for covered in ["any.acme.com", "any.thing.acme.com", "*.acme.com"] {
        let reply = sandbox.query(covered, RecordType::TXT).await;
        assert_eq!(answers(&reply), [format!("{covered}. TXT wild")]);
        assert!(reply.authoritative);
    }
    assert_negative(&sandbox.query("any.acme.com", RecordType::A).await, NoError, "acme.com");
    // RFC 4592 §2.2.1: names that exist, empty ones too, and what is below them are not covered.
    assert_negative(&sandbox.query("host.acme.com", RecordType::TXT).await, NoError, "acme.com");
    assert_negative(&sandbox.query("deep.acme.com", RecordType::TXT).await, NoError, "acme.com");
    assert_negative(&sandbox.query("y.deep.acme.com", RecordType::TXT).await, NXDomain, "acme.com");
    assert_negative(&sandbox.query("y.host.acme.com", RecordType::TXT).await, NXDomain, "acme.com");
    assert_eq!(
        answers(&sandbox.query("_t.*.acme.com", RecordType::TXT).await),
        ["_t.*.acme.com. TXT below the star"]
    );
    assert_negative(&sandbox.query("_u.*.acme.com", RecordType::TXT).await, NXDomain, "acme.com");
}

#[tokio::test]
async fn a_wildcard_without_records_of_its_own_gives_no_data() {
    let sandbox = TestSandbox::with_acme().await;
    sandbox.set("_t.*.acme.com", "TXT", &["below the star"]);
    assert_negative(&sandbox.query("any.acme.com", RecordType::TXT).await, NoError, "acme.com");
}

#[tokio::test]
async fn aliases_are_followed_through_own_zones() {
    let sandbox = TestSandbox::automatic().await;
    sandbox.set("_deed.acme.com", "CNAME", &["_deed.provider.net"]);
    sandbox.set("_deed.provider.net", "CNAME", &["*.pool.provider.net"]);
    sandbox.set("*.pool.provider.net", "TXT", &["proof"]);
    let chain = [
        "_deed.acme.com. CNAME _deed.provider.net.",
        "_deed.provider.net. CNAME *.pool.provider.net.",
        "*.pool.provider.net. TXT proof",
    ];
    let reply = sandbox.query("_deed.acme.com", RecordType::TXT).await;
    assert_eq!((reply.response_code, answers(&reply)), (NoError, chain.map(str::to_owned).to_vec()));
    assert!(reply.authoritative);
    assert_eq!(answers(&sandbox.query("_deed.acme.com", RecordType::CNAME).await), chain[..1]);
    // RFC 6604: the response code is that of the last name of the chain.
    sandbox.zones.delete_records("*.pool.provider.net", "TXT").unwrap();
    let dangling = sandbox.query("_deed.acme.com", RecordType::TXT).await;
    assert_eq!(
        (dangling.response_code, answers(&dangling)),
        (NXDomain, chain[..2].iter().map(|s| (*s).into()).collect())
    );
    assert_eq!(dangling.authorities[0].name, name("provider.net"));
}

#[tokio::test]
async fn ends_foreign_and_looping_aliases() {
    let sandbox = TestSandbox::with_acme().await;
    sandbox.set("out.acme.com", "CNAME", &["www.elsewhere.net"]);
    let out = sandbox.query("out.acme.com", RecordType::TXT).await;
    assert_eq!(
        (out.response_code, answers(&out)),
        (NoError, vec!["out.acme.com. CNAME www.elsewhere.net.".into()])
    );
    sandbox.set("a.acme.com", "CNAME", &["b.acme.com"]);
    sandbox.set("b.acme.com", "CNAME", &["A.acme.com"]);
    let circle = sandbox.query("a.acme.com", RecordType::TXT).await;
    assert_eq!((circle.response_code, circle.answers.len()), (NoError, 2));
    for index in 0..30 {
        sandbox.set(&format!("c{index}.acme.com"), "CNAME", &[&format!("c{}.acme.com", index + 1)]);
    }
    let long = sandbox.query("c0.acme.com", RecordType::TXT).await;
    assert!(long.answers.len() < 30, "an endless chain would be followed: {}", long.answers.len());
}

#[tokio::test]
async fn delegated_names_are_referred_with_glue() {
    let sandbox = TestSandbox::with_acme().await;
    sandbox.set("child.acme.com", "NS", &["ns1.child.acme.com", "ns.elsewhere.net"]);
    sandbox.set("ns1.child.acme.com", "A", &["127.0.0.53"]);
    for asked in ["child.acme.com", "_deed.www.child.acme.com", "ns1.child.acme.com"] {
        for kind in [RecordType::TXT, RecordType::NS, RecordType::A] {
            let reply = sandbox.query(asked, kind).await;
            assert_eq!((reply.response_code, reply.authoritative), (NoError, false), "{asked} {kind}");
            assert_eq!(answers(&reply), Vec::<String>::new());
            let servers = ["child.acme.com. NS ns1.child.acme.com.", "child.acme.com. NS ns.elsewhere.net."];
            assert_eq!(show(&reply.authorities), servers);
            assert_eq!(show(&reply.additionals), ["ns1.child.acme.com. A 127.0.0.53"]);
        }
    }
    // RFC 4035 §3.1.4.1: the parent answers for DS.
    assert_negative(&sandbox.query("child.acme.com", RecordType::DS).await, NoError, "acme.com");
    // A zone that is held here itself is answered, not referred.
    sandbox.zones.put_zone("child.acme.com", &PutZone::default()).unwrap();
    assert_negative(
        &sandbox.query("_deed.www.child.acme.com", RecordType::TXT).await,
        NXDomain,
        "child.acme.com",
    );
    assert_negative(&sandbox.query("child.acme.com", RecordType::DS).await, NoError, "acme.com");
}

#[tokio::test]
async fn a_zone_below_makes_the_names_between_exist() {
    let sandbox = TestSandbox::with_acme().await;
    sandbox.zones.put_zone("x.y.acme.com", &PutZone::default()).unwrap();
    assert_negative(&sandbox.query("y.acme.com", RecordType::NS).await, NoError, "acme.com");
    assert_negative(&sandbox.query("z.acme.com", RecordType::NS).await, NXDomain, "acme.com");
}

#[tokio::test]
async fn names_outside_all_zones_are_refused() {
    let sandbox = TestSandbox::with_acme().await;
    for outside in [".", "com", "acme.net", "notacme.com"] {
        let reply = sandbox.query(outside, RecordType::NS).await;
        assert_eq!((reply.response_code, reply.authoritative), (Refused, false), "{outside}");
        assert_eq!(reply.authorities, []);
    }
    assert!(sandbox.zones.delete_zone("acme.com").unwrap());
    assert_eq!(sandbox.query("acme.com", RecordType::TXT).await.response_code, Refused);
}

#[tokio::test]
async fn transfers_and_other_classes_are_refused() {
    let sandbox = TestSandbox::with_acme().await;
    assert_eq!(sandbox.query_tcp("acme.com", RecordType::AXFR).await.response_code, Refused);
    assert_eq!(sandbox.query("acme.com", RecordType::IXFR).await.response_code, Refused);
    let mut chaos = query("version.bind", RecordType::TXT);
    chaos.queries[0].set_query_class(hickory_proto::rr::DNSClass::CH);
    assert_eq!(sandbox.send(&chaos).await.response_code, Refused);
}

#[tokio::test]
async fn every_change_raises_the_serial() {
    let sandbox = TestSandbox::with_acme().await;
    let serial = || sandbox.zones.zones().into_iter().find(|zone| zone.zone == "acme.com").unwrap().serial;
    let mut last = serial();
    let mut raised = |what: &str| {
        assert!(serial() > last, "{what}");
        last = serial();
    };
    sandbox.set("a.acme.com", "TXT", &["1"]);
    raised("put");
    sandbox.zones.add_records("a.acme.com", "TXT", &PutRecords::values(["2"])).unwrap();
    raised("add");
    sandbox.zones.delete_records("a.acme.com", "TXT").unwrap();
    raised("delete");
    sandbox.zones.put_zone("acme.com", &PutZone { soa_minimum: Some(1), ns: None }).unwrap();
    raised("zone");
    sandbox.set("acme.com", "SOA", &["ns1.acme.com admin.acme.com 4294967295 1 1 1 1"]);
    assert_eq!(serial(), u32::MAX, "an SOA is taken as it is");
    sandbox.set("a.acme.com", "TXT", &["3"]);
    assert_eq!(serial(), 1, "serials wrap");
}
