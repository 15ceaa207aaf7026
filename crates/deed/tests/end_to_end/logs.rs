//! What log lines hold: what they are about, and nothing that is anybody's secret or that a stranger's server wrote.
use std::process::Stdio;

use serde_json::{Map, Value};

use crate::harness::{Dev, Stage, claim, eventually, run};
use crate::receiver::{Manner, Receiver};

/// What a hostile zone answers with, and what of it would be seen in a line.
const HOSTILE: &str =
    r#""\027[2J\013\010{\"level\":\"ERROR\",\"message\":\"forged-by-dns\"}\000\226\128\174""#;
const MARK: &str = "forged-by-dns";

/// Everything of our own that can be logged.
const ALL: &str = "warn,deed=debug,actix_http=off,lapin=off,hickory_net=off,hickory_proto=off";

/// Runs a claim through a hostile zone until it is verified: what was logged meanwhile, and what must not have been.
async fn logged(stage: Stage, format: &str) -> (String, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lines");
    let receiver = Receiver::start(Manner::Takes);
    let variables = [
        ("DEED__LOG__FORMAT", format),
        ("DEED__LOG__FILTER", ALL),
        ("DEED__TELEMETRY__ENDPOINT", &*receiver.endpoint()),
        ("DEED__TELEMETRY__HEADERS", "x-key=open-sesame"),
    ];
    let lines = Stdio::from(std::fs::File::create(&path).unwrap());
    let dev = Dev::start_logging(stage, None, &variables, lines).await;
    let (name, value) = claim(&dev, "ws_acme", "acme.com").await;
    let mut secrets = vec![MARK.to_owned(), "open-sesame".to_owned()];
    secrets.extend(["ws_acme", "ws_globex"].map(|whose| dev.key(whose).to_owned()));
    secrets.push(value.rsplit('=').next().unwrap().to_owned());
    secrets.extend(dev.passwords());

    dev.publish(&name, &[HOSTILE]);
    dev.publish("acme.com", &[HOSTILE]);
    let verify = "/v1/domains/claims/acme.com/verify?token=in-a-query";
    secrets.push("in-a-query".to_owned());
    let (_, body) = dev.send("ws_acme", "POST", verify, None).await;
    assert_eq!(body["data"]["status"], "verifying", "{body}");
    // A strange answer of every kind that the sandbox knows, once each.
    for fault in ["servfail", "truncate_always", "wrong_id", "not_authoritative"] {
        let set = ["sandbox", "--control", dev.url("control"), "fault", "set", "*.acme.com", fault];
        assert!(run(&set).status.success());
        let checks = || std::fs::read_to_string(&path).unwrap().matches("claim.checked").count();
        let before = checks();
        eventually("it is looked again", async || checks() > before).await;
    }
    assert!(run(&["sandbox", "--control", dev.url("control"), "fault", "clear"]).status.success());
    dev.publish(&name, &[HOSTILE, &value]);
    dev.until("ws_acme", "/v1/domains/acme.com", |_, body| body["data"]["status"] == "verified").await;
    dev.stop();
    (std::fs::read_to_string(&path).unwrap(), secrets)
}

fn nothing_forbidden(text: &str, secrets: &[String]) {
    for secret in secrets {
        let line = text.lines().find(|line| line.contains(secret.as_str()));
        assert_eq!(line, None, "it holds {secret}");
    }
    // Not raw, and not as a copy that a terminal would obey either.
    let strange =
        text.chars().find(|c| (c.is_control() && *c != '\n') || ('\u{2028}'..='\u{202e}').contains(c));
    assert_eq!(strange, None, "{text}");
}

async fn lines_say_what_they_are_about_and_nothing_secret(stage: Stage) {
    let (text, secrets) = logged(stage, "json").await;
    nothing_forbidden(&text, &secrets);
    let line = |line: &str| {
        serde_json::from_str::<Map<String, Value>>(line).unwrap_or_else(|e| panic!("{e}: {line}"))
    };
    let lines: Vec<_> = text.lines().map(line).collect();
    let is_text = |line: &Map<String, Value>, name: &str| line.get(name).is_some_and(Value::is_string);
    let of = |message: &str| -> Vec<_> { lines.iter().filter(|line| line["message"] == message).collect() };
    // At the end of a check, and from deep within one.
    for message in ["claim.checked", "looked"] {
        let found = of(message);
        assert!(!found.is_empty(), "nobody says {message} in {text}");
        for line in found {
            for name in ["request_id", "claim", "trace_id", "span_id", "span"] {
                assert!(is_text(line, name), "no {name} in {line:?}");
            }
            assert!(line["attempt"].is_u64() && !line.contains_key("otel.kind"), "{line:?}");
        }
    }
    assert_eq!(of("looked")[0]["span"], "dns.look");
}

on_both_stages!(lines_say_what_they_are_about_and_nothing_secret);

#[tokio::test]
async fn lines_for_people_hold_nothing_secret_either() {
    let (text, secrets) = logged(Stage::Embedded, "human").await;
    nothing_forbidden(&text, &secrets);
    let checked = text.lines().find(|line| line.contains("claim.checked")).unwrap();
    for wanted in [" request_id=", " claim=", " trace_id="] {
        assert!(checked.contains(wanted), "{checked}");
    }
    assert!(!text.contains("otel."), "{text}");
}
