//! What the DNS showed, held against what was made of it.
use std::collections::{BTreeMap, BTreeSet};

use super::{Case, Checked};
use crate::checker::evidence::Micros;
use crate::checker::payload::{Challenge, ClaimEvent};
use crate::dns::{DnsEvent, Transport};

/// Response codes that say what stands at a name.
const NOERROR: u16 = 0;
const NXDOMAIN: u16 = 3;

/// An answer about the TXT records of a name.
struct Shown<'a> {
    at: Micros,
    transport: Transport,
    values: &'a [String],
}

/// Answers about TXT records, by name, in the order of time.
fn shown<'a>(case: &Case<'a>) -> BTreeMap<&'a str, Vec<Shown<'a>>> {
    let mut answers: BTreeMap<&str, Vec<Shown<'_>>> = BTreeMap::new();
    for line in &case.evidence.dns {
        let DnsEvent::Answered { name, kind, transport, code, truncated, values } = &line.event else {
            continue;
        };
        if kind == "TXT" && matches!(*code, NOERROR | NXDOMAIN) && !truncated {
            let answer = Shown { at: line.at.timestamp_micros(), transport: *transport, values };
            answers.entry(name).or_default().push(answer);
        }
    }
    answers
}

/// The records that claims were handed, by claim.
fn challenges<'a>(case: &'a Case<'_>) -> BTreeMap<&'a str, &'a Challenge> {
    let initiated = case.events.iter().filter(|event| event.row.kind == "ClaimInitiated");
    initiated.filter_map(|event| Some((event.claim(), event.payload.challenge.as_ref()?))).collect()
}

pub(super) fn verified_was_served(case: &Case<'_>) -> Checked {
    let (answers, challenges) = (shown(case), challenges(case));
    let (mut checked, mut findings) = (0, vec![]);
    for event in case.events.iter().filter(|event| event.row.kind == "DomainVerified") {
        checked += 1;
        let (claim, position) = (event.claim(), event.row.position);
        let Some(challenge) = challenges.get(claim) else {
            findings.push(format!("position {position}: {claim} is verified and was handed no record"));
            continue;
        };
        let about = answers.get(challenge.record_name.as_str());
        let served = |transport| {
            about.into_iter().flatten().any(|answer| {
                answer.transport == transport
                    && answer.at <= event.at()
                    && answer.values.contains(&challenge.record_value)
            })
        };
        for (transport, word) in [(Transport::Udp, "UDP"), (Transport::Tcp, "TCP")] {
            if !served(transport) {
                findings.push(format!(
                    "position {position}: {claim} is verified at {}, and its record at {} had not been served over {word}",
                    event.payload.at, challenge.record_name
                ));
            }
        }
    }
    (checked, findings)
}

pub(super) fn transfer_after_absence(case: &Case<'_>) -> Checked {
    let (answers, challenges) = (shown(case), challenges(case));
    let mut granted: BTreeMap<&str, Micros> = BTreeMap::new();
    let (mut checked, mut findings) = (0, vec![]);
    for event in &case.events {
        let claim = event.claim();
        if event.row.kind == "OwnershipGranted" {
            granted.insert(claim, event.at());
        }
        if event.row.kind != "OwnershipEnded" || event.payload.reason.as_deref() != Some("transferred") {
            continue;
        }
        checked += 1;
        let since = granted.get(claim).copied().unwrap_or_default();
        let gone = challenges.get(claim).is_some_and(|challenge| {
            answers.get(challenge.record_name.as_str()).into_iter().flatten().any(|answer| {
                (since..=event.at()).contains(&answer.at) && !answer.values.contains(&challenge.record_value)
            })
        });
        if !gone {
            findings.push(format!(
                "position {}: {} moves away from {claim}, whose record was never seen to be gone",
                event.row.position, event.row.stream
            ));
        }
    }
    (checked, findings)
}

/// Records that were published, each with whether it still stands.
fn published<'a>(case: &Case<'a>) -> BTreeMap<(&'a str, &'a str), bool> {
    let mut records = BTreeMap::new();
    for line in &case.evidence.dns {
        match &line.event {
            DnsEvent::Set { name, value } => records.insert((name.as_str(), value.as_str()), true),
            DnsEvent::Cleared { name, value } => records.insert((name.as_str(), value.as_str()), false),
            DnsEvent::Answered { .. } => continue,
        };
    }
    records
}

/// Claims by the record that they were handed.
fn by_record<'a>(case: &'a Case<'_>) -> BTreeMap<(&'a str, &'a str), &'a str> {
    let record = |c: &'a Challenge| (c.record_name.as_str(), c.record_value.as_str());
    challenges(case).into_iter().map(|(claim, challenge)| (record(challenge), claim)).collect()
}

pub(super) fn published_is_verified(case: &Case<'_>) -> Checked {
    let (records, claims) = (published(case), by_record(case));
    let verified: BTreeSet<&str> =
        case.events.iter().filter(|e| e.row.kind == "DomainVerified").map(ClaimEvent::claim).collect();
    let mut findings = vec![];
    for (record, stands) in &records {
        let what = if *stands { "stands" } else { "stood" };
        match claims.get(record) {
            None => findings.push(format!("a record {what} at {}, and no claim was handed it", record.0)),
            Some(claim) if !verified.contains(claim) => {
                findings.push(format!("{claim}: its record {what} at {}, and it is not verified", record.0));
            }
            Some(_) => {}
        }
    }
    (records.len(), findings)
}

pub(super) fn standing_is_held(case: &Case<'_>) -> Checked {
    let (records, claims) = (published(case), by_record(case));
    let mut holders: BTreeSet<&str> = BTreeSet::new();
    for event in &case.events {
        match event.row.kind.as_str() {
            "OwnershipGranted" => holders.insert(event.claim()),
            "OwnershipEnded" => holders.remove(event.claim()),
            _ => continue,
        };
    }
    let standing: Vec<_> = records.iter().filter(|(_, stands)| **stands).map(|(record, _)| record).collect();
    let mut findings = vec![];
    for record in &standing {
        let claim = claims.get(*record);
        if !claim.is_some_and(|claim| holders.contains(claim)) {
            findings.push(format!(
                "a record stands at {}, and {} does not have the name",
                record.0,
                claim.unwrap_or(&"nobody")
            ));
        }
    }
    (standing.len(), findings)
}
