//! A fixture of valid evidence; tests change one thing in it.
use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::broker::{PublishedEvent, QueueDepth};
use super::evidence::{ClaimRow, DueRow, Evidence, LogRow, Micros, OwnershipRow, Views};
use crate::acknowledged::{Acknowledged, Promise};
use crate::dns::{DnsEvent, DnsLine, DnsTransport};

/// Second 0 of the events.
const BEGIN: i64 = 1_800_000_000;

pub fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(BEGIN + second, 0).unwrap()
}

pub fn micros(second: i64) -> Micros {
    at(second).timestamp_micros()
}

/// The visibility time-out in seconds.
const VISIBILITY: i64 = 3;

/// The claims: `a` gets one.com and loses it to `b`; `c` is pending; `d` is watched and withdrawn.
pub const A: &str = "clm_a";
pub const B: &str = "clm_b";
pub const C: &str = "clm_c";
pub const D: &str = "clm_d";
/// An app's claim on a hostname.
pub const E: &str = "clm_e";

fn event(kind: &str, claim: &str, second: i64, more: Value) -> (String, Value, i64) {
    let mut payload = json!({ "claimId": claim, "at": at(second) });
    let (Some(fields), Value::Object(more)) = (payload.as_object_mut(), more) else { panic!("objects") };
    fields.extend(more);
    (kind.to_owned(), payload, second)
}

fn initiated(claim: &str, name: &str, workspace: &str, second: i64) -> (String, Value, i64) {
    let more = json!({
        "scope": "apex", "name": name, "requested": name, "holder": {"workspace": {"workspaceId": workspace}},
        "challenge": {"recordName": format!("_deed.{name}"), "recordValue": format!("value-of-{claim}")},
        "expiresAt": at(1000 + second),
    });
    event("ClaimInitiated", claim, second, more)
}

/// The claim of an app.
fn hostname() -> (String, Value, i64) {
    let (kind, mut payload, second) = initiated(E, "docs.one.com", "", 17);
    (payload["scope"], payload["holder"]) =
        (json!("host"), json!({ "app": { "workspaceId": "ws_a", "appId": "x" } }));
    (kind, payload, second)
}

fn requested(claim: &str, second: i64) -> (String, Value, i64) {
    let more = json!({ "attempt": 1, "cause": "first", "expiresAt": at(2000 + second) });
    event("VerificationRequested", claim, second, more)
}

fn checked(claim: &str, attempt: u32, outcome: &str, second: i64, next: Option<i64>) -> (String, Value, i64) {
    let mut more = json!({ "attempt": attempt, "cause": "first", "outcome": outcome });
    if let Some(next) = next {
        more["nextCheckAt"] = json!(at(next));
    }
    event("CheckRecorded", claim, second, more)
}

fn granted(claim: &str, workspace: &str, second: i64) -> (String, Value, i64) {
    let more = json!({
        "holder": {"workspace": {"workspaceId": workspace}}, "awaitsActivation": false,
        "nextCheckAt": at(5000 + second),
    });
    event("OwnershipGranted", claim, second, more)
}

fn log() -> Vec<LogRow> {
    let verified = |claim: &str, second| event("DomainVerified", claim, second, json!({ "attempt": 1 }));
    let events = [
        ("apex:one.com", initiated(A, "one.com", "ws_a", 1)),
        ("apex:one.com", requested(A, 2)),
        ("app:x", ("AppCreated".to_owned(), json!({}), 2)),
        ("apex:one.com", checked(A, 1, "proven", 5, None)),
        ("apex:one.com", verified(A, 5)),
        ("apex:one.com", granted(A, "ws_a", 5)),
        ("apex:two.com", initiated(C, "two.com", "ws_a", 6)),
        ("apex:three.com", initiated(D, "three.com", "ws_a", 6)),
        ("apex:three.com", requested(D, 7)),
        ("apex:three.com", checked(D, 1, "absent", 8, Some(20))),
        ("apex:one.com", initiated(B, "one.com", "ws_b", 10)),
        ("apex:one.com", requested(B, 11)),
        ("apex:one.com", checked(B, 1, "proven", 15, None)),
        ("apex:one.com", verified(B, 15)),
        ("apex:one.com", event("OwnershipEnded", A, 15, json!({ "reason": "transferred" }))),
        ("apex:one.com", granted(B, "ws_b", 15)),
        ("apex:three.com", event("ClaimCancelled", D, 16, json!({}))),
        ("host:docs.one.com", hostname()),
        ("app:x", ("AppDomainAdded".to_owned(), json!({ "appId": "x", "domain": "docs.one.com" }), 17)),
    ];
    let mut versions: BTreeMap<&str, i64> = BTreeMap::new();
    let mut log = vec![];
    for (position, (stream, (kind, payload, second))) in (1..).zip(events) {
        let version = versions.entry(stream).or_default();
        *version += 1;
        let (stream, version) = (stream.to_owned(), *version);
        log.push(LogRow { position, stream, version, kind, payload, recorded_at: micros(second) + 5 });
    }
    log
}

fn claim(name: &str, version: i64, workspace: &str, status: &str, second: i64) -> ClaimRow {
    ClaimRow {
        stream: format!("apex:{name}"),
        version,
        workspace: workspace.to_owned(),
        app: None,
        name: name.to_owned(),
        scope: "apex".to_owned(),
        status: status.to_owned(),
        initiated_at: micros(second),
        open: matches!(status, "pending" | "verifying"),
        body: Value::Null,
    }
}

fn views() -> Views {
    let ownership = |version, holding: Value, claims: &[&str]| {
        let claims: serde_json::Map<_, _> = claims.iter().map(|id| ((*id).to_owned(), json!({}))).collect();
        OwnershipRow { version, body: json!({ "holding": holding, "claims": claims }) }
    };
    let due = |name: &str, claim: &str, kind: &str, attempt, second| {
        let at = micros(second);
        let key = (format!("apex:{name}"), claim.to_owned(), kind.to_owned(), attempt);
        (key, DueRow { due_at: at, visible_at: at })
    };
    let of_app = ClaimRow {
        stream: "host:docs.one.com".to_owned(),
        app: Some("x".to_owned()),
        scope: "host".to_owned(),
        ..claim("docs.one.com", 1, "ws_a", "pending", 17)
    };
    let mut expire = due("docs.one.com", E, "expire", 0, 1017);
    expire.0.0 = "host:docs.one.com".to_owned();
    Views {
        ownerships: BTreeMap::from([
            ("apex:one.com".to_owned(), ownership(11, json!(B), &[A, B])),
            ("apex:two.com".to_owned(), ownership(1, Value::Null, &[C])),
            ("apex:three.com".to_owned(), ownership(4, Value::Null, &[D])),
            ("host:docs.one.com".to_owned(), ownership(1, Value::Null, &[E])),
        ]),
        claims: BTreeMap::from([
            (A.to_owned(), claim("one.com", 11, "ws_a", "transferred", 1)),
            (B.to_owned(), claim("one.com", 11, "ws_b", "verified", 10)),
            (C.to_owned(), claim("two.com", 1, "ws_a", "pending", 6)),
            (D.to_owned(), claim("three.com", 4, "ws_a", "cancelled", 6)),
            (E.to_owned(), of_app),
        ]),
        due: BTreeMap::from([
            due("one.com", B, "check", 2, 5015),
            due("two.com", C, "expire", 0, 1006),
            expire,
        ]),
        apps: BTreeMap::new(),
        checkpoints: BTreeMap::from([("read-models".to_owned(), 19), ("relay".to_owned(), 19)]),
    }
}

fn dns() -> Vec<DnsLine> {
    let record = |claim: &str| ("_deed.one.com".to_owned(), format!("value-of-{claim}"));
    let set = |claim, second| {
        let (name, value) = record(claim);
        DnsLine { at: at(second), event: DnsEvent::Set { name, value } }
    };
    let cleared = |claim, second| {
        let (name, value) = record(claim);
        DnsLine { at: at(second), event: DnsEvent::Cleared { name, value } }
    };
    let answered = |name: &str, transport, claims: &[&str], second| {
        let values = claims.iter().map(|claim| record(claim).1).collect();
        let (name, kind) = (name.to_owned(), "TXT".to_owned());
        let event = DnsEvent::Answered { name, kind, transport, code: 0, truncated: false, values };
        DnsLine { at: at(second), event }
    };
    vec![
        set(A, 2),
        answered("_deed.one.com", DnsTransport::Udp, &[A], 3),
        answered("_deed.one.com", DnsTransport::Tcp, &[A], 4),
        answered("_deed.three.com", DnsTransport::Udp, &[], 8),
        set(B, 11),
        cleared(A, 11),
        answered("_deed.one.com", DnsTransport::Udp, &[B], 12),
        answered("_deed.one.com", DnsTransport::Tcp, &[B], 13),
    ]
}

fn acknowledged() -> Vec<Acknowledged> {
    let promise = |what, claim: &str, name: &str, workspace: &str| Acknowledged {
        at: at(20),
        what,
        record: format!("value-of-{claim}"),
        claim_id: Some(claim.to_owned()),
        name: name.to_owned(),
        workspace: workspace.to_owned(),
    };
    vec![
        promise(Promise::Claimed, A, "one.com", "ws_a"),
        promise(Promise::Requested, A, "one.com", "ws_a"),
        promise(Promise::Claimed, B, "one.com", "ws_b"),
        Acknowledged { claim_id: None, ..promise(Promise::Claimed, E, "docs.one.com", "ws_a") },
        promise(Promise::Claimed, C, "two.com", "ws_a"),
        promise(Promise::Cancelled, D, "three.com", "ws_a"),
    ]
}

/// Each event once, and some of them twice.
fn published() -> Vec<PublishedEvent> {
    let log = log();
    let publish = |row: &LogRow| PublishedEvent {
        source: "/deed".to_owned(),
        position: row.position,
        stream: row.stream.clone(),
        version: row.version.to_string(),
        data: row.payload.clone(),
    };
    log.iter().take(3).chain(&log).map(publish).collect()
}

/// Valid evidence.
pub fn evidence() -> Evidence {
    let queue = |name: &str| QueueDepth { name: name.to_owned(), messages: 0 };
    Evidence {
        log: log(),
        views: views(),
        rebuilt: Some(views()),
        taken_at: micros(100),
        queues: Some(vec![queue("deed.verification"), queue("deed.verification.dead")]),
        published: Some(published()),
        heard_after: 0,
        thinned: false,
        dns: dns(),
        acknowledged: acknowledged(),
        visibility: VISIBILITY * 1_000_000,
    }
}
