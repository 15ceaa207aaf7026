//! One server at every level: walking from the root down to a name, with zones that nobody made.

use deed_sandbox::PutZone;
use hickory_proto::op::ResponseCode::{NXDomain, NoError};
use hickory_proto::rr::{RData, RecordType};

use crate::client::{Lab, answers, assert_negative, name};

#[tokio::test]
async fn every_cut_has_servers_with_addresses_and_no_data_lies_between() {
    let lab = Lab::automatic().await;
    lab.set("_deed.www.acme.co.uk", "TXT", &["proof"]);
    for cut in [".", "uk", "co.uk", "acme.co.uk"] {
        let reply = lab.ask(cut, RecordType::NS).await;
        assert_eq!((reply.response_code, reply.authoritative), (NoError, true), "{cut}");
        let [server] = reply.answers.as_slice() else { panic!("{cut}: {reply}") };
        assert_eq!(server.name, name(cut));
        let RData::NS(ref target) = server.data else { panic!("{cut}: {reply}") };
        let [glue] = reply.additionals.as_slice() else { panic!("{cut}: {reply}") };
        assert_eq!((&glue.name, glue.data.ip_addr()), (&target.0, Some(lab.dns.ip())));
        assert_negative(
            &lab.ask(cut, RecordType::DS).await,
            NoError,
            if cut == "uk" { "." } else { parent(cut) },
        );
    }
    assert_negative(&lab.ask("www.acme.co.uk", RecordType::NS).await, NoError, "acme.co.uk");
    assert_negative(&lab.ask("_deed.www.acme.co.uk", RecordType::NS).await, NoError, "acme.co.uk");
    assert_eq!(
        answers(&lab.ask("_deed.www.acme.co.uk", RecordType::TXT).await),
        ["_deed.www.acme.co.uk. TXT proof"]
    );
}

fn parent(cut: &str) -> &str {
    cut.split_once('.').map_or(".", |(_, parent)| if parent.is_empty() { "." } else { parent })
}

#[tokio::test]
async fn the_name_server_itself_has_an_address() {
    for lab in [Lab::automatic().await, Lab::with_acme().await] {
        let reply = lab.ask("ns1.sandbox.invalid", RecordType::A).await;
        assert_eq!(reply.answers[0].data.ip_addr(), Some(lab.dns.ip()));
    }
}

#[tokio::test]
async fn zones_that_stand_by_themselves_are_empty_and_not_stored_by_asking() {
    let lab = Lab::automatic().await;
    let stored = lab.zones.zones().len();
    assert_negative(&lab.ask("_deed.acme.com", RecordType::TXT).await, NXDomain, "acme.com");
    assert_negative(&lab.ask("acme.com", RecordType::TXT).await, NoError, "acme.com");
    assert_negative(&lab.ask("_deed.host.unlisted", RecordType::TXT).await, NXDomain, "host.unlisted");
    assert_negative(&lab.ask("x.me.github.io", RecordType::TXT).await, NXDomain, "me.github.io");
    assert_negative(&lab.ask("com", RecordType::TXT).await, NoError, "com");
    assert_eq!(lab.zones.zones().len(), stored);
    lab.set("_deed.acme.com", "TXT", &["proof"]);
    assert_eq!(lab.zones.zones().len(), stored + 1);
}

#[tokio::test]
async fn a_removed_zone_is_not_delegated_until_something_is_set_in_it() {
    let lab = Lab::automatic().await;
    assert!(lab.zones.delete_zone("acme.com").unwrap());
    assert!(!lab.zones.delete_zone("acme.com").unwrap());
    assert_negative(&lab.ask("acme.com", RecordType::NS).await, NXDomain, "com");
    assert_negative(&lab.ask("_deed.acme.com", RecordType::TXT).await, NXDomain, "com");
    lab.set("_deed.acme.com", "TXT", &["proof"]);
    assert_eq!(answers(&lab.ask("_deed.acme.com", RecordType::TXT).await), ["_deed.acme.com. TXT proof"]);
    lab.zones.delete_zone("acme.com").unwrap();
    lab.zones.reset();
    assert_negative(&lab.ask("acme.com", RecordType::A).await, NoError, "acme.com");
}

#[tokio::test]
async fn own_servers_of_a_zone_come_with_the_addresses_they_have_here() {
    let lab = Lab::automatic().await;
    let ns = vec!["ns1.acme.com".to_owned(), "ns.nowhere.net".to_owned()];
    lab.zones.put_zone("acme.com", &PutZone { soa_minimum: None, ns: Some(ns) }).unwrap();
    lab.set("ns1.acme.com", "A", &["127.0.0.7"]);
    lab.set("ns1.acme.com", "AAAA", &["::7"]);
    let reply = lab.ask("acme.com", RecordType::NS).await;
    assert_eq!(answers(&reply), ["acme.com. NS ns1.acme.com.", "acme.com. NS ns.nowhere.net."]);
    let glue = crate::client::show(&reply.additionals);
    assert_eq!(glue, ["ns1.acme.com. A 127.0.0.7", "ns1.acme.com. AAAA ::7"]);
}
