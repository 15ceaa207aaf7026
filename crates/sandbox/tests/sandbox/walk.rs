//! One server at every level: walks from the root down to a name, through automatic zones.

use deed_sandbox::PutZone;
use hickory_proto::op::ResponseCode::{NXDomain, NoError};
use hickory_proto::rr::{RData, RecordType};

use crate::client::{TestSandbox, answers, assert_negative, name};

#[tokio::test]
async fn every_cut_has_server_addresses() {
    let sandbox = TestSandbox::automatic().await;
    sandbox.set("_deed.www.acme.co.uk", "TXT", &["proof"]);
    for cut in [".", "uk", "co.uk", "acme.co.uk"] {
        let reply = sandbox.query(cut, RecordType::NS).await;
        assert_eq!((reply.response_code, reply.authoritative), (NoError, true), "{cut}");
        let [server] = reply.answers.as_slice() else { panic!("{cut}: {reply}") };
        assert_eq!(server.name, name(cut));
        let RData::NS(ref target) = server.data else { panic!("{cut}: {reply}") };
        let [glue] = reply.additionals.as_slice() else { panic!("{cut}: {reply}") };
        assert_eq!((&glue.name, glue.data.ip_addr()), (&target.0, Some(sandbox.dns.ip())));
        assert_negative(
            &sandbox.query(cut, RecordType::DS).await,
            NoError,
            if cut == "uk" { "." } else { parent(cut) },
        );
    }
    assert_negative(&sandbox.query("www.acme.co.uk", RecordType::NS).await, NoError, "acme.co.uk");
    assert_negative(&sandbox.query("_deed.www.acme.co.uk", RecordType::NS).await, NoError, "acme.co.uk");
    assert_eq!(
        answers(&sandbox.query("_deed.www.acme.co.uk", RecordType::TXT).await),
        ["_deed.www.acme.co.uk. TXT proof"]
    );
}

fn parent(cut: &str) -> &str {
    cut.split_once('.').map_or(".", |(_, parent)| if parent.is_empty() { "." } else { parent })
}

#[tokio::test]
async fn the_name_server_itself_has_an_address() {
    for sandbox in [TestSandbox::automatic().await, TestSandbox::with_acme().await] {
        let reply = sandbox.query("ns1.sandbox.invalid", RecordType::A).await;
        assert_eq!(reply.answers[0].data.ip_addr(), Some(sandbox.dns.ip()));
    }
}

#[tokio::test]
async fn automatic_zones_are_empty_and_not_stored_by_queries() {
    let sandbox = TestSandbox::automatic().await;
    let stored = sandbox.zones.zones().len();
    assert_negative(&sandbox.query("_deed.acme.com", RecordType::TXT).await, NXDomain, "acme.com");
    assert_negative(&sandbox.query("acme.com", RecordType::TXT).await, NoError, "acme.com");
    assert_negative(&sandbox.query("_deed.host.unlisted", RecordType::TXT).await, NXDomain, "host.unlisted");
    assert_negative(&sandbox.query("x.me.github.io", RecordType::TXT).await, NXDomain, "me.github.io");
    assert_negative(&sandbox.query("com", RecordType::TXT).await, NoError, "com");
    assert_eq!(sandbox.zones.zones().len(), stored);
    sandbox.set("_deed.acme.com", "TXT", &["proof"]);
    assert_eq!(sandbox.zones.zones().len(), stored + 1);
}

#[tokio::test]
async fn removed_zone_is_not_delegated_until_changed() {
    let sandbox = TestSandbox::automatic().await;
    assert!(sandbox.zones.delete_zone("acme.com").unwrap());
    assert!(!sandbox.zones.delete_zone("acme.com").unwrap());
    assert_negative(&sandbox.query("acme.com", RecordType::NS).await, NXDomain, "com");
    assert_negative(&sandbox.query("_deed.acme.com", RecordType::TXT).await, NXDomain, "com");
    sandbox.set("_deed.acme.com", "TXT", &["proof"]);
    assert_eq!(
        answers(&sandbox.query("_deed.acme.com", RecordType::TXT).await),
        ["_deed.acme.com. TXT proof"]
    );
    sandbox.zones.delete_zone("acme.com").unwrap();
    sandbox.zones.reset();
    assert_negative(&sandbox.query("acme.com", RecordType::A).await, NoError, "acme.com");
}

#[tokio::test]
async fn adds_local_addresses_of_name_servers() {
    let sandbox = TestSandbox::automatic().await;
    let ns = vec!["ns1.acme.com".to_owned(), "ns.nowhere.net".to_owned()];
    sandbox.zones.put_zone("acme.com", &PutZone { soa_minimum: None, ns: Some(ns) }).unwrap();
    sandbox.set("ns1.acme.com", "A", &["127.0.0.7"]);
    sandbox.set("ns1.acme.com", "AAAA", &["::7"]);
    let reply = sandbox.query("acme.com", RecordType::NS).await;
    assert_eq!(answers(&reply), ["acme.com. NS ns1.acme.com.", "acme.com. NS ns.nowhere.net."]);
    let glue = crate::client::show(&reply.additionals);
    assert_eq!(glue, ["ns1.acme.com. A 127.0.0.7", "ns1.acme.com. AAAA ::7"]);
}
