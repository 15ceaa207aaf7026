//! The outcome depends only on the zone: every check in the history of a claim has the same code.
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::Value;

use crate::harness::{Dev, Mode, POLL_INTERVAL, claim, run};

/// The number of checks per history.
const CHECKS: usize = 20;
/// The number for silent servers, where each check takes all its time.
const SILENT_CHECKS: usize = 5;
/// The timeout for the histories.
const TIMEOUT: Duration = Duration::from_mins(3);

/// Records of a zone: name, type, values. `{value}` is the value of the claim, `{token}` its random part, and `@` the domain.
type Records = &'static [(&'static str, &'static str, &'static [&'static str])];

/// A zone with one fault, and the expected code.
struct Zone {
    label: &'static str,
    expected: &'static str,
    records: Records,
    /// The sandbox fault of its servers, as command-line arguments.
    fault: &'static [&'static str],
}

const PUBLISHED: Records = &[("_deed.@", "TXT", &["{value}"])];

const fn zone(label: &'static str, expected: &'static str, records: Records) -> Zone {
    Zone { label, expected, records, fault: &[] }
}

const fn faulty(label: &'static str, expected: &'static str, fault: &'static [&'static str]) -> Zone {
    Zone { label, expected, records: PUBLISHED, fault }
}

const ZONES: &[Zone] = &[
    zone("fine", "proven", PUBLISHED),
    zone("beside", "proven", &[("_deed.@", "TXT", &["v=spf1 -all", "{value}"])]),
    zone("aliased", "proven", &[("_deed.@", "CNAME", &["proof.@"]), ("proof.@", "TXT", &["{value}"])]),
    zone("absent", "record_not_found", &[("www.@", "A", &["192.0.2.1"])]),
    zone("address", "no_txt_at_name", &[("_deed.@", "A", &["192.0.2.1"])]),
    zone("other", "wrong_value", &[("_deed.@", "TXT", &["v=spf1 -all"])]),
    zone("quoted", "value_quoted", &[("_deed.@", "TXT", &["\"{value}\""])]),
    zone("space", "value_whitespace", &[("_deed.@", "TXT", &["{value} "])]),
    zone("upper", "value_case", &[("_deed.@", "TXT", &["{VALUE}"])]),
    zone("twice", "value_doubled", &[("_deed.@", "TXT", &["{value}{value}"])]),
    zone("bare", "value_prefix_missing", &[("_deed.@", "TXT", &["{token}"])]),
    zone("apex", "at_apex", &[("@", "TXT", &["{value}"])]),
    zone("plain", "at_parent_label", &[("deed.@", "TXT", &["{value}"])]),
    zone("doubled", "doubled_zone", &[("_deed.@.@", "TXT", &["{value}"])]),
    zone("dangling", "cname_dangling", &[("_deed.@", "CNAME", &["nowhere.@"])]),
    zone("circle", "cname_loop", &[("_deed.@", "CNAME", &["a.@"]), ("a.@", "CNAME", &["_deed.@"])]),
    zone("alias", "cname_elsewhere", &[("_deed.@", "CNAME", &["b.@"]), ("b.@", "TXT", &["other"])]),
    zone("star", "wildcard_answer", &[("*.@", "TXT", &["v=spf1 -all"])]),
    faulty("late", "proven", &["delay", "--ms", "50"]),
    faulty("tcp", "proven", &["truncate"]),
    faulty("refused", "refused", &["refused"]),
    faulty("errors", "servfail", &["servfail"]),
    faulty("lame", "lame_delegation", &["not_authoritative"]),
    faulty("cut", "truncated_no_tcp", &["truncate_always"]),
    faulty("silent", "timeout", &["drop"]),
];

/// Short intervals and timeouts.
const SETTINGS: [(&str, &str); 5] = [
    ("DEED__POLICY__WATCH_FIRST", "100ms"),
    ("DEED__POLICY__WATCH_LONGEST", "100ms"),
    ("DEED__POLICY__HELD_INTERVAL", "1s"),
    ("DEED__DNS__UDP_TIMEOUT", "1s"),
    ("DEED__DNS__TCP_TIMEOUT", "1s"),
];

impl Zone {
    fn domain(&self) -> String {
        format!("{}.com", self.label)
    }

    fn checks(&self) -> usize {
        if self.fault.contains(&"drop") { SILENT_CHECKS } else { CHECKS }
    }

    /// Claims the domain, publishes records and fault, and requests verification.
    async fn set_up(&self, dev: &Dev) {
        let domain = self.domain();
        let (_, value) = claim(dev, "ws_acme", &domain).await;
        let token = value.rsplit_once('=').unwrap().1;
        let filled = |text: &str| {
            text.replace("{value}", &value)
                .replace("{VALUE}", &value.to_ascii_uppercase())
                .replace("{token}", token)
                .replace('@', &domain)
        };
        for (name, kind, values) in self.records {
            let values: Vec<String> = values.iter().map(|value| filled(value)).collect();
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            sandbox(dev, &[&["record", "set", &filled(name), kind], values.as_slice()].concat());
        }
        if !self.fault.is_empty() {
            // The fault concerns the servers of the zone, not those of its parent.
            sandbox(dev, &[&["fault", "set", &filled("_deed.@")], self.fault].concat());
        }
        dev.send("ws_acme", "POST", &format!("/v1/domains/claims/{domain}/verify"), None).await;
    }

    /// The distinct codes of all checks, once there are enough.
    async fn codes(&self, dev: &Dev) -> BTreeSet<String> {
        let begun = Instant::now();
        loop {
            let codes = history(dev, &self.domain()).await;
            if codes.len() >= self.checks() {
                return codes.into_iter().collect();
            }
            assert!(begun.elapsed() < TIMEOUT, "{}: only {codes:?}", self.domain());
            tokio::time::sleep(POLL_INTERVAL * 10).await;
        }
    }
}

fn sandbox(dev: &Dev, arguments: &[&str]) {
    let output = run(&[&["sandbox", "--control", dev.url("control")], arguments].concat());
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The code of each check, or `proven`, page by page.
async fn history(dev: &Dev, domain: &str) -> Vec<String> {
    let mut codes = vec![];
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/domains/claims/{domain}/history?limit=100{cursor}");
        let (status, page) = dev.get("ws_acme", &path).await;
        assert_eq!(status, 200, "{page}");
        let entries = page["data"].as_array().unwrap();
        codes.extend(entries.iter().filter_map(|entry| code(&entry["check"])));
        let Some(next) = page["nextCursor"].as_str() else { return codes };
        cursor.clear();
        write!(cursor, "&cursor={next}").unwrap();
    }
}

fn code(check: &Value) -> Option<String> {
    let outcome = check["outcome"].as_str()?;
    Some(check["diagnosis"]["code"].as_str().unwrap_or(outcome).to_owned())
}

async fn history_has_one_code_per_zone(mode: Mode) {
    let dev = Dev::start_in(mode, None, &SETTINGS).await;
    for zone in ZONES {
        zone.set_up(&dev).await;
    }
    let codes = join_all(ZONES.iter().map(|zone| zone.codes(&dev))).await;
    let unexpected: Vec<String> = ZONES
        .iter()
        .zip(&codes)
        .filter(|(zone, codes)| codes.iter().ne([zone.expected]))
        .map(|(zone, codes)| format!("{} is not {}: {codes:?}", zone.label, zone.expected))
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}");
    dev.stop();
}

in_both_modes!(history_has_one_code_per_zone);
