//! Commands against a running service or its store, and their exit codes.
use serde_json::{Value, json};

use crate::harness::{Dev, Mode, claim, eventually, json, run};

async fn check_reports_records_and_diagnosis(mode: Mode) {
    let dev = Dev::start(mode).await;
    let check =
        |more: &[&str]| json(&[&["check", "acme.com", "--json", "--config", dev.config()], more].concat());
    let (code, report) = check(&[]);
    assert_eq!((code, &report["verdict"]), (3, &json!("not_proven")), "{report}");
    assert_eq!(report["diagnosis"]["code"], "record_not_found");
    assert_eq!(report["recordName"], "_deed.acme.com");
    dev.publish("_deed.acme.com", &["deed-domain-claim=abc", "other"]);
    let (code, report) = check(&[]);
    assert_eq!((code, &report["verdict"]), (0, &json!("records_found")), "{report}");
    assert_eq!(report["evidence"]["servers"][0]["address"], "127.0.0.1");
    let (code, report) = check(&["--expect", "deed-domain-claim=abc"]);
    assert_eq!((code, &report["verdict"]), (0, &json!("proven")), "{report}");
    let (code, report) = check(&["--expect", "deed-domain-claim=xyz"]);
    assert_eq!((code, &report["diagnosis"]["code"]), (3, &json!("wrong_value")), "{report}");
    let (code, report) = check(&["--record", "nothing.acme.com", "--expect", "x"]);
    assert_eq!((code, &report["recordName"]), (3, &json!("nothing.acme.com")), "{report}");
    let words = run(&["check", "acme.com", "--config", dev.config(), "--expect", "deed-domain-claim=abc"]);
    let words = String::from_utf8(words.stdout).unwrap();
    assert!(words.contains("PROVEN") && words.contains("127.0.0.1") && words.contains("ADDRESS"), "{words}");
    let refused = |arguments: &[&str]| {
        let ended = run(&[&["check"], arguments].concat());
        (ended.status.code(), String::from_utf8(ended.stderr).unwrap())
    };
    assert_eq!(refused(&["co.uk"]).0, Some(2));
    assert!(refused(&["is-a.dev"]).1.contains("public suffix"));
    // An app domain covers only itself, so it may be a public suffix.
    let (_, report) = json(&["check", "\u{a0}is-a.dev", "--host", "--json", "--config", dev.config()]);
    assert_eq!(report["recordName"], "_deed-verify.is-a.dev");
    for octets in [241, 253, 300, 5000] {
        let labels = (octets - 5) / 2;
        let name = "a.".repeat(labels) + &"a".repeat(octets - 4 - 2 * labels) + ".com";
        assert_eq!(name.len(), octets);
        let (code, words) = refused(&[&name]);
        assert!(code == Some(2) && words.contains("it may have 240 characters"), "{octets}: {words}");
    }
    dev.stop();
}

async fn claim_waits_until_verified(mode: Mode) {
    let dev = Dev::start(mode).await;
    let at = ["--url", dev.url("api"), "--key", dev.key("ws_acme")];
    let (code, created) = json(&[&["claim", "acme.com", "--json"], &at[..]].concat());
    assert_eq!((code, &created["rootDomain"]), (0, &json!("acme.com")), "{created}");
    let (code, ended) =
        json(&[&["claim", "acme.com", "--wait", "--timeout", "1s", "--json"], &at[..]].concat());
    assert_eq!((code, &ended["status"]), (3, &json!("verifying")), "{ended}");
    let record = &created["record"];
    dev.publish(record["name"].as_str().unwrap(), &[record["value"].as_str().unwrap()]);
    let (code, ended) =
        json(&[&["claim", "acme.com", "--wait", "--timeout", "30s", "--json"], &at[..]].concat());
    assert_eq!((code, &ended["status"]), (0, &json!("verified")), "{ended}");
    let refused = run(&["claim", "acme.com", "--url", dev.url("api"), "--key", "deed_wrong"]);
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(
        run(&["claim", "acme.com", "--url", "http://127.0.0.1:9", "--key", "x"]).status.code(),
        Some(4)
    );
    dev.stop();
}

async fn keys_are_managed_while_the_service_runs(mode: Mode) {
    let dev = Dev::start_in(mode, None, &[("DEED__LIMITS__KEY_MEMORY", "0s")]).await;
    let keys = |more: &[&str]| json(&[&["keys"], more, &["--json", "--config", dev.config()]].concat());
    let (code, created) = keys(&["create", "--workspace", "ws_third", "--scopes", "domain:read"]);
    assert_eq!(
        (code, &created["workspace"], &created["scopes"]),
        (0, &json!("ws_third"), &json!(["domain:read"]))
    );
    let ask = async || {
        let url = format!("{}/v1/domains", dev.url("api"));
        let secret = created["secret"].as_str().unwrap();
        reqwest::Client::builder()
            .no_proxy()
            .build()
            .unwrap()
            .get(url)
            .bearer_auth(secret)
            .send()
            .await
            .unwrap()
            .status()
    };
    assert_eq!(ask().await, 200);
    let (_, listed) = keys(&["list"]);
    let ids: Vec<&Value> = listed.as_array().unwrap().iter().map(|key| &key["id"]).collect();
    assert!(ids.len() == 4 && ids.contains(&&created["id"]), "{listed}");
    assert!(!listed.to_string().contains(created["secret"].as_str().unwrap()));
    let id = created["id"].as_str().unwrap();
    assert_eq!(keys(&["revoke", id]).0, 0);
    assert_eq!(ask().await, 401);
    assert_eq!(run(&["keys", "revoke", id, "--config", dev.config()]).status.code(), Some(3));
    dev.stop();
}

async fn events_are_shown_and_projections_rebuilt(mode: Mode) {
    let dev = Dev::start(mode).await;
    let (name, value) = claim(&dev, "ws_acme", "acme.com").await;
    dev.publish(&name, &[&value]);
    dev.send("ws_acme", "POST", "/v1/domains/claims/acme.com/verify", None).await;
    dev.until("ws_acme", "/v1/domains?status=verified", |_, body| body["data"][0]["status"] == "verified")
        .await;
    let with = |arguments: &[&str]| run(&[arguments, &["--json", "--config", dev.config()]].concat());
    let kinds = |output: std::process::Output| -> Vec<String> {
        let lines = String::from_utf8(output.stdout).unwrap();
        let kind =
            |line: &str| serde_json::from_str::<Value>(line).unwrap()["kind"].as_str().unwrap().to_owned();
        lines.lines().map(kind).collect()
    };
    let shown = kinds(with(&["events", "show", "apex:acme.com"]));
    assert_eq!(shown[0], "ClaimInitiated");
    assert!(shown.contains(&"OwnershipGranted".to_owned()), "{shown:?}");
    let last = kinds(with(&["events", "tail", "-n", "1"]));
    assert_eq!(last, shown[shown.len() - 1..]);
    assert_eq!(with(&["events", "show", "apex:nothing.com"]).status.code(), Some(3));

    let (code, status) = json(&["projections", "status", "--json", "--config", dev.config()]);
    assert_eq!((code, &status["lastPosition"]), (0, &json!(shown.len())), "{status}");
    let (code, rebuilt) = json(&["projections", "rebuild", "--json", "--config", dev.config()]);
    assert_eq!((code, &rebuilt["foldedTo"]), (0, &json!(shown.len())), "{rebuilt}");
    // The running projector takes its lease back and continues.
    claim(&dev, "ws_acme", "another.com").await;
    dev.until("ws_acme", "/v1/domains/claims", |_, body| {
        body["data"].as_array().is_some_and(|all| all.len() == 2)
    })
    .await;
    dev.stop();
}

async fn dead_letters_are_listed_replayed_and_purged(mode: Mode) {
    let dev = Dev::start(mode).await;
    let dead = |more: &[&str]| json(&[&["dead"], more, &["--json", "--config", dev.config()]].concat());
    assert_eq!(dead(&["list"]), (0, json!([])));
    assert_eq!(dead(&["replay", "--all"]), (3, json!({ "replayed": 0 })));
    assert_eq!(dead(&["purge", "evt_none"]), (3, json!({ "purged": 0 })));
    if dev.publish_nonsense("evt_nonsense").await {
        let listed = async || dead(&["list"]).1[0]["id"] == "evt_nonsense";
        eventually("it is dead", listed).await;
        assert_eq!(dead(&["replay", "evt_nonsense"]), (0, json!({ "replayed": 1 })));
        eventually("it is dead again", listed).await;
        assert_eq!(dead(&["purge", "evt_nonsense"]), (0, json!({ "purged": 1 })));
        assert_eq!(dead(&["list"]), (0, json!([])));
    }
    dev.stop();
}

async fn sandbox_is_controlled(mode: Mode) {
    let dev = Dev::start(mode).await;
    let sandbox =
        |more: &[&str]| json(&[&["sandbox", "--control", dev.url("control"), "--json"], more].concat());
    assert_eq!(sandbox(&["zone", "set", "acme.com", "--soa-minimum", "7"]).1["soa_minimum"], 7);
    let (code, set) = sandbox(&["record", "set", "a.acme.com", "TXT", "one", "two", "--ttl", "9"]);
    assert_eq!((code, &set["ttl"], set["values"].as_array().map(Vec::len)), (0, &json!(9), Some(2)), "{set}");
    assert_eq!(sandbox(&["fault", "set", "a.acme.com", "delay", "--ms", "5"]).1["fault"], "delay");
    assert_eq!(sandbox(&["fault", "list"]).1.as_array().map(Vec::len), Some(1));
    assert_eq!(sandbox(&["fault", "clear"]).0, 0);
    assert_eq!(sandbox(&["record", "clear", "a.acme.com", "TXT"]).0, 0);
    let control = ["sandbox", "--control", dev.url("control")];
    let code = |more: &[&str]| run(&[&control[..], more].concat()).status.code();
    assert_eq!(code(&["record", "clear", "a.acme.com", "TXT"]), Some(3));
    assert_eq!(code(&["record", "set", "a.acme.com", "NONSENSE", "x"]), Some(2));
    assert_eq!(code(&["fault", "set", "a.acme.com", "earthquake"]), Some(2));
    assert_eq!(run(&["sandbox", "--control", "http://127.0.0.1:9", "zone", "list"]).status.code(), Some(4));
    dev.stop();
}

#[test]
fn configuration_faults_end_with_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deed.toml");
    std::fs::write(
        &path,
        "[server]\nlisten = 1\nroles = [\"verifier\"]\n[store]\nurl = \"mysql://u:hunter2@h/d\"\n",
    )
    .unwrap();
    let path = path.to_str().unwrap();
    let (code, answer) = json(&["config", "check", "--json", "--config", path]);
    assert_eq!((code, answer["faults"].as_array().map(Vec::len)), (2, Some(3)), "{answer}");
    let refused = run(&["serve", "--config", path]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("server.listen") && said.contains("would never be sent any work"), "{said}");
    let printed = run(&["config", "print", "--config", path]);
    assert_eq!(printed.status.code(), Some(2));
    assert!(!String::from_utf8_lossy(&printed.stdout).contains("hunter2"));
    assert!(!said.contains("hunter2"));
    assert_eq!(run(&["config", "check"]).status.code(), Some(0));
    assert_eq!(run(&["nonsense"]).status.code(), Some(2));
}

in_both_modes!(
    check_reports_records_and_diagnosis,
    claim_waits_until_verified,
    keys_are_managed_while_the_service_runs,
    events_are_shown_and_projections_rebuilt,
    dead_letters_are_listed_replayed_and_purged,
    sandbox_is_controlled
);
