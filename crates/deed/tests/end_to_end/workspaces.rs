//! Workspace claims, from the first request to the transfer of a name.
use serde_json::json;

use crate::harness::{Dev, Mode, claim};

const VERIFY: &str = "/v1/domains/claims/acme.com/verify";

async fn name_is_claimed_verified_and_transferred(mode: Mode) {
    let dev = Dev::start(mode).await;
    let (name, value) = claim(&dev, "ws_acme", "send.acme.com").await;
    assert_eq!(name, "_deed.acme.com");
    assert!(value.starts_with("deed-domain-claim="));
    // Repeating the claim returns the same claim.
    assert_eq!(claim(&dev, "ws_acme", "acme.com").await, (name.clone(), value.clone()));

    let (status, body) = dev.send("ws_acme", "POST", "/v1/domains/claims/send.acme.com/verify", None).await;
    assert_eq!((status, &body["success"]), (202, &json!(true)), "{body}");
    assert_eq!(body["data"]["diagnosis"]["code"], "record_not_found", "{body}");
    assert_eq!(body["data"]["status"], "verifying");

    dev.publish(&name, &[&value]);
    let body =
        dev.until("ws_acme", "/v1/domains/acme.com", |_, body| body["data"]["isVerified"] == true).await;
    assert_eq!(body["data"]["status"], "verified", "{body}");
    let (_, history) = dev.get("ws_acme", "/v1/domains/claims/acme.com/history").await;
    let history = history.to_string();
    assert!(history.contains("record_not_found") && history.contains("127.0.0.1"), "{history}");
    dev.until("ws_acme", "/v1/domains?status=verified", |_, body| {
        body["data"][0]["rootDomain"] == "acme.com"
    })
    .await;

    moves(&dev, &name).await;
    dev.stop();
}

/// The second workspace proves its record and gets the name.
async fn moves(dev: &Dev, name: &str) {
    let (status, body) = dev.post("ws_globex", "/v1/domains", json!({ "domain": "acme.com" })).await;
    assert_eq!((status, &body["code"]), (409, &json!("DOMAIN_CLAIMABLE")), "{body}");
    assert!(!body.to_string().contains("ws_acme"), "{body}");
    let (same_name, value) = claim(dev, "ws_globex", "acme.com").await;
    assert_eq!(same_name, name);
    // The DNS owner replaces the record of the first workspace.
    dev.publish(name, &[&value]);
    let (status, body) = dev.send("ws_globex", "POST", VERIFY, None).await;
    assert!(matches!(status, 200 | 202), "{body}");
    dev.until("ws_globex", "/v1/domains/acme.com", |_, body| body["data"]["status"] == "verified").await;
    dev.until("ws_acme", "/v1/domains/claims/acme.com", |_, body| body["data"]["status"] == "transferred")
        .await;
    let (status, body) = dev.get("ws_acme", "/v1/domains/acme.com").await;
    assert!(status == 404 || body["data"]["isVerified"] == false, "{status} {body}");
}

async fn name_stays_contested_while_both_records_stand(mode: Mode) {
    let dev = Dev::start(mode).await;
    let (name, first) = claim(&dev, "ws_acme", "acme.com").await;
    dev.publish(&name, &[&first]);
    dev.send("ws_acme", "POST", VERIFY, None).await;
    dev.until("ws_acme", "/v1/domains/acme.com", |_, body| body["data"]["status"] == "verified").await;
    let (_, second) = claim(&dev, "ws_globex", "acme.com").await;
    dev.publish(&name, &[&first, &second]);
    dev.send("ws_globex", "POST", VERIFY, None).await;
    let path = "/v1/domains/claims/acme.com";
    dev.until("ws_globex", path, |_, body| body["data"]["status"] == "contested").await;
    let (_, body) = dev.get("ws_acme", "/v1/domains/acme.com").await;
    assert_eq!(body["data"]["isVerified"], true, "{body}");
    // Removing the record of the holder decides the contest.
    dev.publish(&name, &[&second]);
    dev.until("ws_globex", path, |_, body| body["data"]["status"] == "verified").await;
    dev.until("ws_acme", path, |_, body| body["data"]["status"] == "transferred").await;
    dev.stop();
}

in_both_modes!(name_is_claimed_verified_and_transferred, name_stays_contested_while_both_records_stand);
