//! The whole main job against Knot DNS serving zone files: a root, a TLD and a zone, on two addresses.
use std::net::Ipv4Addr;

use deed_testkit::{Knot, ZoneText, free_port};
use serde_json::json;

use crate::service::Place;

const PARENTS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 42);
const CHILD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 43);

/// A root that delegates `com`, and a `com` that delegates `acme.com` to another server, with glue.
fn parents() -> [ZoneText; 2] {
    let tld = format!("com. NS a.nic.com.\na.nic.com. A {PARENTS}");
    let delegation = format!("acme.com. NS ns1.acme.com.\nns1.acme.com. A {CHILD}");
    [
        ZoneText::new("", "a.root.test", PARENTS, 1, &tld),
        ZoneText::new("com", "a.nic.com", PARENTS, 1, &delegation),
    ]
}

fn acme(serial: u32, lines: &str) -> ZoneText {
    ZoneText::new("acme.com", "ns1.acme.com", CHILD, serial, lines)
}

#[tokio::test]
async fn a_claim_is_proven_and_a_name_moves_by_a_real_servers_zone_file() {
    let port = free_port(&[PARENTS, CHILD]);
    let _parents = Knot::start(PARENTS, port, &parents());
    let zone = Knot::start(CHILD, port, &[acme(1, "")]);
    let place = Place::new((PARENTS, port).into());
    let service = place.start().await;
    let (acme_key, globex_key) = (place.new_key("ws_a"), place.new_key("ws_b"));

    // Nothing is published: watched, and the reason is said.
    let claim = place.claim(&acme_key, "send.acme.com").await.unwrap();
    assert_eq!(claim["rootDomain"], "acme.com");
    let verify = "/v1/domains/claims/send.acme.com/verify";
    let (status, body) = place.ask_as(&acme_key, "POST", verify, None).await.unwrap();
    assert_eq!((status, &body["data"]["diagnosis"]["code"]), (202, &json!("record_not_found")), "{body}");

    // The name exists with another type, then with another value, in two strings.
    let record = |of: &serde_json::Value| {
        let text = |field: &str| of["record"][field].as_str().unwrap().to_owned();
        (text("name"), text("value"))
    };
    let (name, value) = record(&claim);
    zone.publish(&acme(2, &format!("{name}. A 192.0.2.1")));
    until_code(&place, &acme_key, "no_txt_at_name").await;
    zone.publish(&acme(3, &format!("{name}. TXT \"{value}\" \"tail\"")));
    until_code(&place, &acme_key, "wrong_value").await;

    // The record, cut into two strings beside another TXT record.
    let (first, second) = value.split_at(10);
    zone.publish(&acme(4, &format!("{name}. TXT \"v=spf1 -all\"\n{name}. TXT \"{first}\" \"{second}\"")));
    let held = place.until_status(&acme_key, "acme.com", "verified").await;
    assert_eq!(held["record"]["status"], "verified");

    // Another workspace proves its own record in place of the first: the name moves.
    let add = json!({ "domain": "acme.com" });
    let (status, body) = place.ask_as(&globex_key, "POST", "/v1/domains", Some(add)).await.unwrap();
    assert_eq!((status, &body["code"]), (409, &json!("DOMAIN_CLAIMABLE")));
    let (name, value) = record(&place.claim(&globex_key, "acme.com").await.unwrap());
    zone.publish(&acme(5, &format!("{name}. TXT \"{value}\"")));
    let verify = "/v1/domains/claims/acme.com/verify";
    place.ask_as(&globex_key, "POST", verify, None).await.unwrap();
    place.until_status(&globex_key, "acme.com", "verified").await;
    place.until_status(&acme_key, "acme.com", "transferred").await;

    // An app's hostname, through an alias into the same zone.
    let app = json!({ "name": "Docs" });
    let (_, app) = place.ask_as(&globex_key, "POST", "/v1/apps", Some(app)).await.unwrap();
    let domains = format!("/v1/apps/{}/domains", app["app_id"].as_str().unwrap());
    let add = json!({ "domain": "docs.acme.com" });
    let (status, added) = place.ask_as(&globex_key, "POST", &domains, Some(add)).await.unwrap();
    assert_eq!(status, 200, "{added}");
    let token = added["verification_token"].as_str().unwrap();
    let lines = format!(
        "{name}. TXT \"{value}\"\n_deed-verify.docs.acme.com. CNAME dcv.acme.com.\n\
         dcv.acme.com. TXT \"deed-site-verification={token}\""
    );
    zone.publish(&acme(6, &lines));
    let verify = format!("{domains}/docs.acme.com/verify");
    place.ask_as(&globex_key, "POST", &verify, None).await.unwrap();
    deed_testkit::eventually("the hostname to be active", crate::service::PATIENCE, || async {
        let (_, body) = place.ask_as(&globex_key, "GET", &domains, None).await.ok()?;
        (body["domains"][0]["status"] == "active").then_some(())
    })
    .await;

    // The server dies: silence is not absence, and the name stays held.
    drop(zone);
    let (status, body) = place.ask_as(&globex_key, "GET", "/v1/domains/acme.com", None).await.unwrap();
    assert_eq!((status, &body["data"]["status"]), (200, &json!("verified")));
    service.stop();
}

async fn until_code(place: &Place, key: &str, wanted: &str) {
    deed_testkit::eventually(&format!("the code {wanted}"), crate::service::PATIENCE, || async {
        let (_, body) = place.ask_as(key, "GET", "/v1/domains/claims/acme.com", None).await.ok()?;
        (body["data"]["diagnosis"]["code"] == wanted).then_some(())
    })
    .await;
}
