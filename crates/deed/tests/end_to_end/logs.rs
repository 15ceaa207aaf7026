//! Log lines: they have their context, and no secrets or data of foreign servers.
use std::process::Stdio;

use serde_json::{Map, Value};

use crate::harness::{Dev, Mode, claim, eventually, run};
use crate::receiver::{Behaviour, Receiver};

/// A hostile TXT record, and the marker by which it would be found in a log line.
const HOSTILE: &str =
    r#""\027[2J\013\010{\"level\":\"ERROR\",\"message\":\"forged-by-dns\"}\000\226\128\174""#;
const MARK: &str = "forged-by-dns";

/// The most verbose filter of Deed itself.
const ALL: &str = "warn,deed=debug,actix_http=off,lapin=off,hickory_net=off,hickory_proto=off";

/// Verifies a claim in a hostile zone; returns the log, and the strings that it must not contain.
async fn logged(mode: Mode, format: &str) -> (String, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lines");
    let receiver = Receiver::start(Behaviour::Accepts);
    let variables = [
        ("DEED__LOG__FORMAT", format),
        ("DEED__LOG__FILTER", ALL),
        ("DEED__TELEMETRY__ENDPOINT", &*receiver.endpoint()),
        ("DEED__TELEMETRY__HEADERS", "x-key=open-sesame"),
    ];
    let lines = Stdio::from(std::fs::File::create(&path).unwrap());
    let dev = Dev::start_logging(mode, None, &variables, lines).await;
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
    // One check with each kind of faulty answer.
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

fn assert_no_secrets(text: &str, secrets: &[String]) {
    for secret in secrets {
        let line = text.lines().find(|line| line.contains(secret.as_str()));
        assert_eq!(line, None, "it holds {secret}");
    }
    // Neither raw control characters nor bidirectional ones.
    let strange =
        text.chars().find(|c| (c.is_control() && *c != '\n') || ('\u{2028}'..='\u{202e}').contains(c));
    assert_eq!(strange, None, "{text}");
}

async fn json_lines_have_context_and_no_secrets(mode: Mode) {
    let (text, secrets) = logged(mode, "json").await;
    assert_no_secrets(&text, &secrets);
    let line = |line: &str| {
        serde_json::from_str::<Map<String, Value>>(line).unwrap_or_else(|e| panic!("{e}: {line}"))
    };
    let lines: Vec<_> = text.lines().map(line).collect();
    let is_text = |line: &Map<String, Value>, name: &str| line.get(name).is_some_and(Value::is_string);
    let of = |message: &str| -> Vec<_> { lines.iter().filter(|line| line["message"] == message).collect() };
    // The last line of a check, and one from deep inside.
    for message in ["claim.checked", "probe ended"] {
        let found = of(message);
        assert!(!found.is_empty(), "no line {message} in {text}");
        for line in found {
            for name in ["request_id", "claim", "trace_id", "span_id", "span"] {
                assert!(is_text(line, name), "no {name} in {line:?}");
            }
            assert!(line["attempt"].is_u64() && !line.contains_key("otel.kind"), "{line:?}");
        }
    }
    assert_eq!(of("probe ended")[0]["span"], "dns.probe");
}

in_both_modes!(json_lines_have_context_and_no_secrets);

#[tokio::test]
async fn human_lines_have_no_secrets() {
    let (text, secrets) = logged(Mode::Embedded, "human").await;
    assert_no_secrets(&text, &secrets);
    let checked = text.lines().find(|line| line.contains("claim.checked")).unwrap();
    for wanted in [" request_id=", " claim=", " trace_id="] {
        assert!(checked.contains(wanted), "{checked}");
    }
    assert!(!text.contains("otel."), "{text}");
}
