//! The main flow with Knot DNS serving zone files: root, TLD and zone, on two addresses.
use std::net::Ipv4Addr;

use deed_testkit::{Knot, ZoneText, free_port};
use serde_json::json;

use crate::service::Deployment;

const PARENTS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 42);
const CHILD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 43);

/// The root zone and `com`, which delegates `acme.com` to another server, with glue.
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
async fn knot_zone_proves_and_transfers_a_name() {
    let port = free_port(&[PARENTS, CHILD]);
    let _parents = Knot::start(PARENTS, port, &parents());
    let zone = Knot::start(CHILD, port, &[acme(1, "")]);
    let deployment = Deployment::new((PARENTS, port).into());
    let service = deployment.start().await;
    let (acme_key, globex_key) = (deployment.new_key("ws_a"), deployment.new_key("ws_b"));

    // No record yet: the claim is watched, and the diagnosis says so.
    let claim = deployment.claim(&acme_key, "send.acme.com").await.unwrap();
    assert_eq!(claim["rootDomain"], "acme.com");
    let verify = "/v1/domains/claims/send.acme.com/verify";
    let (status, body) = deployment.ask_as(&acme_key, "POST", verify, None).await.unwrap();
    assert_eq!((status, &body["data"]["diagnosis"]["code"]), (202, &json!("record_not_found")), "{body}");

    // The name has another type, then another value in two strings.
    let record = |of: &serde_json::Value| {
        let text = |field: &str| of["record"][field].as_str().unwrap().to_owned();
        (text("name"), text("value"))
    };
    let (name, value) = record(&claim);
    zone.publish(&acme(2, &format!("{name}. A 192.0.2.1")));
    until_code(&deployment, &acme_key, "no_txt_at_name").await;
    zone.publish(&acme(3, &format!("{name}. TXT \"{value}\" \"tail\"")));
    until_code(&deployment, &acme_key, "wrong_value").await;

    // The record in two strings, beside another TXT record.
    let (first, second) = value.split_at(10);
    zone.publish(&acme(4, &format!("{name}. TXT \"v=spf1 -all\"\n{name}. TXT \"{first}\" \"{second}\"")));
    let held = deployment.until_status(&acme_key, "acme.com", "verified").await;
    assert_eq!(held["record"]["status"], "verified");

    // Another workspace replaces the record: the name is transferred.
    let add = json!({ "domain": "acme.com" });
    let (status, body) = deployment.ask_as(&globex_key, "POST", "/v1/domains", Some(add)).await.unwrap();
    assert_eq!((status, &body["code"]), (409, &json!("DOMAIN_CLAIMABLE")));
    let (name, value) = record(&deployment.claim(&globex_key, "acme.com").await.unwrap());
    zone.publish(&acme(5, &format!("{name}. TXT \"{value}\"")));
    let verify = "/v1/domains/claims/acme.com/verify";
    deployment.ask_as(&globex_key, "POST", verify, None).await.unwrap();
    deployment.until_status(&globex_key, "acme.com", "verified").await;
    deployment.until_status(&acme_key, "acme.com", "transferred").await;

    let holder_record = format!("{name}. TXT \"{value}\"");
    hostname_becomes_active(&deployment, &zone, &globex_key, &holder_record).await;

    // Without the server the name stays held: silence is not an absence.
    drop(zone);
    let (status, body) = deployment.ask_as(&globex_key, "GET", "/v1/domains/acme.com", None).await.unwrap();
    assert_eq!((status, &body["data"]["status"]), (200, &json!("verified")));
    service.stop();
}

/// Proves the hostname of an app, through an alias in the same zone.
async fn hostname_becomes_active(deployment: &Deployment, zone: &Knot, key: &str, holder_record: &str) {
    let app = json!({ "name": "Docs" });
    let (_, app) = deployment.ask_as(key, "POST", "/v1/apps", Some(app)).await.unwrap();
    let domains = format!("/v1/apps/{}/domains", app["app_id"].as_str().unwrap());
    let add = json!({ "domain": "docs.acme.com" });
    let (status, added) = deployment.ask_as(key, "POST", &domains, Some(add)).await.unwrap();
    assert_eq!(status, 200, "{added}");
    let token = added["verification_token"].as_str().unwrap();
    let lines = format!(
        "{holder_record}\n_deed-verify.docs.acme.com. CNAME dcv.acme.com.\n\
         dcv.acme.com. TXT \"deed-site-verification={token}\""
    );
    zone.publish(&acme(6, &lines));
    let verify = format!("{domains}/docs.acme.com/verify");
    deployment.ask_as(key, "POST", &verify, None).await.unwrap();
    deed_testkit::eventually("the hostname to be active", crate::service::TIMEOUT, || async {
        let (_, body) = deployment.ask_as(key, "GET", &domains, None).await.ok()?;
        (body["domains"][0]["status"] == "active").then_some(())
    })
    .await;
}

async fn until_code(deployment: &Deployment, key: &str, wanted: &str) {
    deed_testkit::eventually(&format!("the code {wanted}"), crate::service::TIMEOUT, || async {
        let (_, body) = deployment.ask_as(key, "GET", "/v1/domains/claims/acme.com", None).await.ok()?;
        (body["data"]["diagnosis"]["code"] == wanted).then_some(())
    })
    .await;
}
