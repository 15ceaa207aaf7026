//! Mutation tests: each violation is detected by exactly the expected properties.
use std::collections::BTreeSet;

use serde_json::json;

use super::{PROPERTIES, check};
use crate::acknowledged::Promise;
use crate::checker::broker::{PublishedEvent, QueueDepth};
use crate::checker::evidence::{Evidence, LogRow};
use crate::checker::fixture::{A, B, C, D, E, at, evidence, micros};
use crate::dns::{DnsEvent, DnsTransport};

/// The properties violated by a change.
fn broken_by(change: impl FnOnce(&mut Evidence)) -> BTreeSet<&'static str> {
    let mut evidence = evidence();
    let (log, published) = (evidence.log.clone(), evidence.published.clone());
    change(&mut evidence);
    if evidence.log != log && evidence.published == published {
        republish(&mut evidence);
    }
    let report = check(&evidence);
    assert!(report.table().ends_with(if report.pass { "PASS" } else { "FAIL" }));
    let broken: BTreeSet<_> = report.properties.iter().filter(|v| !v.holds()).map(|v| v.property).collect();
    assert_eq!(report.pass, broken.is_empty());
    broken
}

/// Publishes the changed log, as if the change had happened before.
fn republish(evidence: &mut Evidence) {
    let publish = |row: &LogRow| PublishedEvent {
        source: "/deed".to_owned(),
        position: row.position,
        stream: row.stream.clone(),
        version: row.version.to_string(),
        data: row.payload.clone(),
    };
    evidence.published = Some(evidence.log.iter().map(publish).collect());
}

/// Asserts that a change violates exactly these properties.
fn breaks(properties: &[&'static str], change: impl FnOnce(&mut Evidence)) {
    assert_eq!(broken_by(change), properties.iter().copied().collect());
}

/// The event of a kind about a claim.
fn row<'a>(evidence: &'a mut Evidence, kind: &str, claim: &str) -> &'a mut LogRow {
    let found = evidence.log.iter_mut().find(|row| row.kind == kind && row.payload["claimId"] == claim);
    found.expect("the story has it")
}

/// Removes an event as if it had never happened: numbers close up, read models are up to date.
fn remove_event(evidence: &mut Evidence, kind: &str, claim: &str) {
    let (position, stream) = {
        let row = row(evidence, kind, claim);
        (row.position, row.stream.clone())
    };
    evidence.log.retain(|row| row.position != position);
    for row in evidence.log.iter_mut().filter(|row| row.position > position) {
        row.position -= 1;
        row.version -= i64::from(row.stream == stream);
    }
    for checkpoint in evidence.views.checkpoints.values_mut() {
        *checkpoint -= 1;
    }
    evidence.rebuilt = Some(evidence.views.clone());
}

/// Appends an event to a stream and to the log.
fn append_event(evidence: &mut Evidence, stream: &str, kind: &str, payload: serde_json::Value) {
    let version = evidence.log.iter().filter(|row| row.stream == stream).count() + 1;
    evidence.log.push(LogRow {
        position: i64::try_from(evidence.log.len()).unwrap() + 1,
        stream: stream.to_owned(),
        version: i64::try_from(version).unwrap(),
        kind: kind.to_owned(),
        payload,
        recorded_at: micros(60),
    });
    for checkpoint in evidence.views.checkpoints.values_mut() {
        *checkpoint += 1;
    }
    evidence.rebuilt = Some(evidence.views.clone());
}

fn values(evidence: &mut Evidence, asked: DnsTransport, of: &str) -> Vec<usize> {
    let value = format!("value-of-{of}");
    let told = |event: &DnsEvent| matches!(event, DnsEvent::Answered { transport, values, .. } if *transport == asked && values.contains(&value));
    (0..).zip(&evidence.dns).filter(|(_, line)| told(&line.event)).map(|(index, _)| index).collect()
}

#[test]
fn valid_evidence_has_no_violation() {
    breaks(&[], |_| {});
    assert_eq!(PROPERTIES.len(), 23, "a new property needs its test here");
}

#[test]
fn detects_gap_in_positions() {
    breaks(&["announced", "positions"], |e| {
        for row in e.log.iter_mut().filter(|row| row.position == 3) {
            row.position = 4;
        }
    });
}

#[test]
fn detects_gap_in_versions() {
    let broken = broken_by(|e| {
        for row in e.log.iter_mut().filter(|row| row.stream == "apex:one.com" && row.version > 4) {
            row.version += 1;
        }
    });
    assert!(broken.contains("versions"), "{broken:?}");
    assert!(broken_by(|e| e.log[1].version = 1).contains("versions"), "the same version twice");
}

#[test]
fn detects_unreadable_event() {
    let broken = broken_by(|e| row(e, "ClaimCancelled", D).payload = json!({ "claimId": D }));
    assert!(broken.contains("readable"), "{broken:?}");
}

#[test]
fn detects_time_running_backwards() {
    breaks(&["order"], |e| row(e, "OwnershipGranted", A).recorded_at = micros(4));
    breaks(&["order"], |e| row(e, "VerificationRequested", D).payload["at"] = json!(at(5)));
}

#[test]
fn detects_attempt_settled_twice() {
    let broken = broken_by(|e| {
        let again = row(e, "CheckRecorded", A).payload.clone();
        append_event(e, "apex:one.com", "CheckRecorded", again);
    });
    assert!(broken.contains("attempts"), "{broken:?}");
}

#[test]
fn detects_lost_acknowledged_claim() {
    let broken = broken_by(|e| remove_event(e, "ClaimInitiated", C));
    assert!(broken.contains("acknowledged-in-log"), "{broken:?}");
    breaks(&["acknowledged-in-log"], |e| e.acknowledged[0].workspace = "ws_b".to_owned());
    breaks(&["acknowledged-in-log"], |e| e.acknowledged[0].claim_id = Some(B.to_owned()));
    for promise in [3, 4] {
        breaks(&["acknowledged-in-log"], |e| e.acknowledged[promise].what = Promise::Requested);
        breaks(&["acknowledged-in-log"], |e| e.acknowledged[promise].what = Promise::Cancelled);
    }
}

#[test]
fn detects_claim_missing_in_lists() {
    let broken = broken_by(|e| {
        let _ = e.views.claims.remove(C);
    });
    assert_eq!(broken, BTreeSet::from(["acknowledged-in-views", "claims", "rebuild"]));
    let broken = broken_by(|e| {
        e.views.ownerships.get_mut("apex:two.com").unwrap().body = json!({ "claims": {} });
    });
    assert_eq!(broken, BTreeSet::from(["acknowledged-in-views", "ownerships", "rebuild"]));
}

#[test]
fn detects_second_open_claim() {
    let broken = broken_by(|e| {
        let mut again = row(e, "ClaimInitiated", C).payload.clone();
        (again["claimId"], again["at"]) = (json!("clm_c2"), json!(at(50)));
        append_event(e, "apex:two.com", "ClaimInitiated", again);
    });
    assert!(broken.contains("one-claim"), "{broken:?}");
}

#[test]
fn detects_two_holders() {
    // Without the end of the first holding, the second grant concerns a held name.
    let broken = broken_by(|e| remove_event(e, "OwnershipEnded", A));
    assert!(broken.contains("one-holder"), "{broken:?}");
    let broken = broken_by(|e| row(e, "OwnershipEnded", A).payload["claimId"] = json!(B));
    assert!(broken.contains("one-holder"), "{broken:?}");
}

#[test]
fn detects_grant_without_proof() {
    let broken = broken_by(|e| remove_event(e, "DomainVerified", B));
    assert!(broken.contains("grant-proven"), "{broken:?}");
    breaks(&["grant-proven"], |e| row(e, "CheckRecorded", B).payload["outcome"] = json!("unknown"));
}

#[test]
fn detects_verification_without_dns_answer() {
    for transport in [DnsTransport::Udp, DnsTransport::Tcp] {
        breaks(&["verified-served"], |e| {
            for index in values(e, transport, A).into_iter().rev() {
                e.dns.remove(index);
            }
        });
    }
    breaks(&["verified-served"], |e| {
        for index in values(e, DnsTransport::Tcp, B) {
            e.dns[index].at = at(16);
        }
    });
    breaks(&["verified-served"], |e| {
        for index in values(e, DnsTransport::Udp, A) {
            if let DnsEvent::Answered { truncated, .. } = &mut e.dns[index].event {
                *truncated = true;
            }
        }
    });
}

#[test]
fn detects_transfer_while_record_stands() {
    breaks(&["transfer-absence"], |e| {
        for transport in [DnsTransport::Udp, DnsTransport::Tcp] {
            for index in values(e, transport, B) {
                if let DnsEvent::Answered { values, .. } = &mut e.dns[index].event {
                    values.push(format!("value-of-{A}"));
                }
            }
        }
    });
}

#[test]
fn detects_unverified_published_record() {
    breaks(&["published-verified", "published-held"], |e| {
        let (name, value) = ("_deed.two.com".to_owned(), format!("value-of-{C}"));
        let mut line = e.dns[0].clone();
        line.event = DnsEvent::Set { name, value };
        e.dns.push(line);
    });
    // A removed record must still have been verified.
    breaks(&["published-verified"], |e| {
        let (name, value) = ("_deed.two.com".to_owned(), format!("value-of-{C}"));
        let mut line = e.dns[0].clone();
        line.event = DnsEvent::Set { name: name.clone(), value: value.clone() };
        e.dns.push(line.clone());
        line.event = DnsEvent::Cleared { name, value };
        e.dns.push(line);
    });
}

#[test]
fn detects_standing_record_without_holding() {
    breaks(&["published-held"], |e| {
        e.dns.retain(|line| !matches!(line.event, DnsEvent::Cleared { .. }));
    });
}

#[test]
fn detects_lagging_checkpoint() {
    breaks(&["caught-up"], |e| {
        let _ = e.views.checkpoints.insert("relay".to_owned(), 18);
    });
}

#[test]
fn detects_wrong_ownership_row() {
    breaks(&["ownerships", "rebuild"], |e| {
        e.views.ownerships.get_mut("apex:one.com").unwrap().body["holding"] = json!(A);
    });
    breaks(&["ownerships", "rebuild"], |e| {
        e.views.ownerships.get_mut("apex:one.com").unwrap().version = 10;
    });
}

#[test]
fn detects_wrong_claim_row() {
    breaks(&["claims", "rebuild"], |e| {
        e.views.claims.get_mut(A).unwrap().status = "verified".to_owned();
    });
    breaks(&["claims", "rebuild"], |e| e.views.claims.get_mut(C).unwrap().open = false);
}

#[test]
fn detects_missing_and_extra_due_work() {
    breaks(&["due-rows", "rebuild"], |e| {
        let _ = e.views.due.pop_first();
    });
    breaks(&["due-rows", "rebuild"], |e| {
        let (key, row) = e.views.due.pop_last().unwrap();
        e.views.due.insert((key.0, key.1, key.2, key.3 + 1), row);
    });
}

#[test]
fn announced_work_is_due_after_visibility() {
    // A first check that was requested and not yet made.
    let change = |e: &mut Evidence, later: i64| {
        let payload =
            json!({ "claimId": C, "at": at(50), "attempt": 1, "cause": "first", "expiresAt": at(3000) });
        append_event(e, "apex:two.com", "VerificationRequested", payload);
        let claim = e.views.claims.get_mut(C).unwrap();
        (claim.version, claim.status) = (2, "verifying".to_owned());
        e.views.ownerships.get_mut("apex:two.com").unwrap().version = 2;
        let mut key = ("apex:two.com".to_owned(), C.to_owned(), "expire".to_owned(), 0);
        let mut row = e.views.due.remove(&key).unwrap();
        (row.due_at, row.visible_at) = (micros(3000), micros(3000));
        e.views.due.insert(key.clone(), row);
        (key.2, key.3) = ("check".to_owned(), 1);
        (row.due_at, row.visible_at) = (micros(50 + later), micros(200));
        e.views.due.insert(key, row);
        e.rebuilt = Some(e.views.clone());
    };
    breaks(&[], |e| change(e, 3));
    breaks(&["due-rows"], |e| change(e, 0));
}

#[test]
fn detects_different_rebuild() {
    breaks(&["rebuild"], |e| {
        e.rebuilt.as_mut().unwrap().claims.get_mut(C).unwrap().status = "verifying".to_owned();
    });
    breaks(&["rebuild"], |e| {
        let _ = e.rebuilt.as_mut().unwrap().apps.insert("app:x".to_owned(), String::new());
    });
    // Visibility times are not reproduced by a rebuild.
    breaks(&[], |e| e.rebuilt.as_mut().unwrap().due.values_mut().for_each(|row| row.visible_at += 1));
}

#[test]
fn detects_overdue_work() {
    breaks(&["due-work"], |e| e.taken_at = micros(1017));
    breaks(&[], |e| e.taken_at = micros(1015));
}

#[test]
fn detects_remaining_messages() {
    for index in [0, 1] {
        breaks(&["queues"], |e| queues(e)[index].messages = 1);
        breaks(&["queues"], |e| {
            let _ = queues(e).remove(index);
        });
    }
}

#[test]
fn detects_missing_or_changed_publication() {
    breaks(&["announced"], |e| {
        e.published.as_mut().unwrap().pop();
    });
    breaks(&["announced"], |e| e.published.as_mut().unwrap()[6].data = json!({}));
    breaks(&["announced"], |e| e.published.as_mut().unwrap()[6].version = "7".to_owned());
    // Published, and then lost from the log.
    breaks(&["announced"], |e| e.published.as_mut().unwrap()[0].position = 20);
}

#[test]
fn ignores_queues_of_other_consumers() {
    breaks(&[], |e| queues(e).push(QueueDepth { name: "drill.spy".to_owned(), messages: 9 }));
}

#[test]
fn detects_hostname_unknown_to_its_app() {
    let broken = broken_by(|e| {
        e.log.pop();
    });
    assert!(broken.contains("app-and-host"), "{broken:?}");
    let broken = broken_by(|e| remove_event(e, "ClaimInitiated", E));
    assert!(broken.contains("app-and-host"), "{broken:?}");
    breaks(&["app-and-host"], |e| {
        if let Some(row) = e.log.last_mut() {
            row.payload["domain"] = json!("other.one.com");
        }
    });
}

fn queues(evidence: &mut Evidence) -> &mut Vec<QueueDepth> {
    evidence.queues.as_mut().unwrap()
}

#[test]
fn allows_missing_fields_only_from_an_older_relay() {
    let leave_out = |e: &mut Evidence| {
        let published = e.published.as_mut().unwrap();
        published[0].data.as_object_mut().unwrap().remove("scope").unwrap();
    };
    breaks(&["announced"], leave_out);
    breaks(&[], |e| {
        leave_out(e);
        e.thinned = true;
    });
    breaks(&["announced"], |e| {
        e.published.as_mut().unwrap()[0].data["scope"] = "another".into();
        e.thinned = true;
    });
}
