//! App domains, from the app to the active hostname.
use serde_json::json;

use crate::harness::{Dev, Mode};

async fn app_hostname_becomes_active(mode: Mode) {
    let dev = Dev::start(mode).await;
    let (status, app) = dev.post("ws_acme", "/v1/apps", json!({ "name": "Docs" })).await;
    assert_eq!(status, 200, "{app}");
    let domains = format!("/v1/apps/{}/domains", app["app_id"].as_str().unwrap());
    let (status, added) =
        dev.post("ws_acme", &domains, json!({ "domain": "docs.acme.com", "is_primary": true })).await;
    assert_eq!((status, &added["status"]), (200, &json!("pending")), "{added}");
    assert_eq!(added["cname_target"], "docs.apps.localhost");
    let (status, verifying) =
        dev.send("ws_acme", "POST", &format!("{domains}/docs.acme.com/verify"), None).await;
    assert_eq!((status, &verifying["status"]), (200, &json!("verifying")), "{verifying}");

    let value = format!("deed-site-verification={}", added["verification_token"].as_str().unwrap());
    dev.publish("_deed-verify.docs.acme.com", &[&value]);
    let body = dev.until("ws_acme", &domains, |_, body| body["domains"][0]["status"] == "active").await;
    assert_eq!(body["total"], 1);
    assert!(body["domains"][0]["verified_at"].is_string(), "{body}");
    assert_eq!(dev.ops("/v1/tls/ask?domain=docs.acme.com").await.0, 200);
    assert_eq!(dev.ops("/v1/tls/ask?domain=other.acme.com").await.0, 404);
    dev.stop();
}

async fn hostname_moves_to_the_latest_prover(mode: Mode) {
    let dev = Dev::start(mode).await;
    let mut lists = vec![];
    for workspace in ["ws_acme", "ws_globex"] {
        let (_, app) = dev.post(workspace, "/v1/apps", json!({ "name": workspace })).await;
        let domains = format!("/v1/apps/{}/domains", app["app_id"].as_str().unwrap());
        let (status, added) = dev.post(workspace, &domains, json!({ "domain": "docs.acme.com" })).await;
        assert_eq!((status, &added["status"]), (200, &json!("pending")), "{added}");
        let value = format!("deed-site-verification={}", added["verification_token"].as_str().unwrap());
        dev.publish("_deed-verify.docs.acme.com", &[&value]);
        dev.send(workspace, "POST", &format!("{domains}/docs.acme.com/verify"), None).await;
        dev.until(workspace, &domains, |_, body| body["domains"][0]["status"] == "active").await;
        lists.push(domains);
    }
    dev.until("ws_acme", &lists[0], |_, body| body["domains"][0]["status"] != "active").await;
    dev.stop();
}

in_both_modes!(app_hostname_becomes_active, hostname_moves_to_the_latest_prover);
