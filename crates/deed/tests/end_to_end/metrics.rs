//! Metrics of a running service: at the start, and after a claim was verified.
use std::collections::BTreeMap;

use serde_json::json;

use crate::harness::{Dev, Mode, claim, eventually};

/// The metrics of these roles with their types, from docs/METRICS.md.
fn listed(roles: &[&str]) -> BTreeMap<String, String> {
    let page = include_str!("../../../../docs/METRICS.md");
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let listed = rows.filter_map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, .., of] = &cells[..] else { panic!("{row}") };
        let is_theirs = *of == "all" || of.split(", ").any(|role| roles.contains(&role));
        is_theirs.then(|| (name.trim_matches('`').to_owned(), (*kind).to_owned()))
    });
    listed.collect()
}

/// All series with their values.
async fn scraped(dev: &Dev) -> (String, BTreeMap<String, f64>) {
    let (status, text) = dev.ops("/metrics").await;
    assert_eq!(status, 200, "{text}");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let series = lines.map(|line| {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        (series.to_owned(), value.parse().unwrap_or_else(|_| panic!("{line}")))
    });
    let series = series.collect();
    (text, series)
}

/// The series that one verified claim increases, and those that it sets to 1.
fn expected_changes(mode: Mode) -> (Vec<&'static str>, Vec<&'static str>) {
    let mut moved = vec![
        "deed_http_requests_total{operation=\"InitiateDomainClaim\",status_class=\"2xx\"}",
        "deed_http_request_duration_seconds_count{operation=\"VerifyDomainClaim\"}",
        "deed_appends_total{result=\"appended\"}",
        "deed_append_duration_seconds_count",
        "deed_append_batch_size_count",
        "deed_appended_events_total{event=\"ClaimInitiated\"}",
        "deed_appended_events_total{event=\"VerificationRequested\"}",
        "deed_publishes_total{destination=\"events\",result=\"confirmed\"}",
        "deed_publishes_total{destination=\"verification\",result=\"confirmed\"}",
        "deed_publish_duration_seconds_count{destination=\"verification\"}",
        "deed_subscription_events_total{subscription=\"relay\"}",
    ];
    let mut once = vec!["deed_bus_connected", "deed_ready", "deed_lease_held{lease=\"relay\"}"];
    if mode == Mode::Embedded {
        moved.extend([
            "deed_appended_events_total{event=\"CheckRecorded\"}",
            "deed_subscription_events_total{subscription=\"projector\"}",
            "deed_verification_message_duration_seconds_count",
            "deed_check_duration_seconds_count",
            "deed_dns_queries_total{result=\"answered\",transport=\"udp\"}",
            "deed_dns_query_duration_seconds_count{transport=\"udp\"}",
        ]);
        once.extend([
            "deed_lease_held{lease=\"projector\"}",
            "deed_lease_held{lease=\"dispatcher\"}",
            "deed_appended_events_total{event=\"DomainVerified\"}",
            "deed_verification_messages_total{result=\"recorded\"}",
            "deed_checks_total{class=\"none\",code=\"none\",outcome=\"proven\"}",
            "deed_claims_initiated_total{scope=\"apex\"}",
            "deed_claims_verified_total{scope=\"apex\"}",
            "deed_time_to_verify_seconds_count{scope=\"apex\"}",
        ]);
    }
    (moved, once)
}

async fn metrics_exist_from_the_start_and_move(mode: Mode) {
    let dev = Dev::start(mode).await;
    let roles = if mode == Mode::Embedded { &["api", "verifier", "projector"][..] } else { &["api"] };
    let listed = listed(roles);
    assert!(listed.len() > 20, "{listed:?}");
    // Periodic collectors run a moment after the start.
    eventually("every metric is there", async || {
        let (text, _) = scraped(&dev).await;
        listed.iter().all(|(name, kind)| text.contains(&format!("# TYPE {name} {kind}\n")))
    })
    .await;
    let (text, before) = scraped(&dev).await;
    let known = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    for name in known {
        assert!(listed.contains_key(name), "{name} is not in docs/METRICS.md");
    }
    let counted = before.iter().filter(|(series, value)| {
        let counts = series.contains("_total") || series.contains("_count") || series.contains("_bucket");
        counts && **value > 0.0
    });
    // Leases and connections change without traffic.
    let by_itself = ["process_", "deed_lease_changes_total", "deed_bus_connections_total"];
    let traffic: Vec<_> =
        counted.filter(|(series, _)| !by_itself.iter().any(|by| series.starts_with(by))).collect();
    assert!(traffic.is_empty(), "{traffic:?}");

    let (record, value) = claim(&dev, "ws_acme", "acme.com").await;
    dev.publish(&record, &[&value]);
    let path = "/v1/domains/claims/acme.com/verify";
    let (status, body) = dev.post("ws_acme", path, json!({})).await;
    assert!(matches!(status, 200 | 202), "{status} {body}");
    dev.until("ws_acme", "/v1/domains/acme.com", |_, body| body["data"]["isVerified"] == true).await;

    let (moved, once) = expected_changes(mode);
    let missing = async || {
        let (_, after) = scraped(&dev).await;
        let of = |series: &&str| after.get(*series).copied().unwrap_or(0.0);
        let moved = moved.iter().filter(|series| of(series) < 1.0);
        let once = once.iter().filter(|series| (of(series) - 1.0).abs() > 0.5);
        moved.chain(once).copied().collect::<Vec<_>>()
    };
    let mut left = missing().await;
    for _ in 0..200 {
        if left.is_empty() {
            break;
        }
        tokio::time::sleep(crate::harness::POLL_INTERVAL).await;
        left = missing().await;
    }
    let (text, after) = scraped(&dev).await;
    assert!(left.is_empty(), "{left:#?} did not move in {text}");
    assert!(!text.contains("acme"), "a name is in {text}");
    assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>(), "series came or went");
    dev.stop();
}

in_both_modes!(metrics_exist_from_the_start_and_move);
