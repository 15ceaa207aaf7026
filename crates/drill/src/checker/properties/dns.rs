//! Properties about the DNS journal: verified, transferred and published records.
use std::collections::{BTreeMap, BTreeSet};

use super::{ParsedEvidence, PropertyResult};
use crate::checker::evidence::Micros;
use crate::checker::payload::{Challenge, ClaimEvent};
use crate::dns::{DnsEvent, DnsTransport};

/// The response codes that make a statement about a name.
const NOERROR: u16 = 0;
const NXDOMAIN: u16 = 3;

/// An answer for the TXT records of a name.
struct TxtAnswer<'a> {
    at: Micros,
    transport: DnsTransport,
    values: &'a [String],
}

/// TXT answers by name, in order of time.
fn txt_answers<'a>(input: &ParsedEvidence<'a>) -> BTreeMap<&'a str, Vec<TxtAnswer<'a>>> {
    let mut answers: BTreeMap<&str, Vec<TxtAnswer<'_>>> = BTreeMap::new();
    for line in &input.evidence.dns {
        let DnsEvent::Answered { name, kind, transport, code, truncated, values } = &line.event else {
            continue;
        };
        if kind == "TXT" && matches!(*code, NOERROR | NXDOMAIN) && !truncated {
            let answer = TxtAnswer { at: line.at.timestamp_micros(), transport: *transport, values };
            answers.entry(name).or_default().push(answer);
        }
    }
    answers
}

/// The challenges by claim.
fn challenges<'a>(input: &'a ParsedEvidence<'_>) -> BTreeMap<&'a str, &'a Challenge> {
    let initiated = input.events.iter().filter(|event| event.row.kind == "ClaimInitiated");
    initiated.filter_map(|event| Some((event.claim(), event.payload.challenge.as_ref()?))).collect()
}

pub(super) fn verified_was_served(input: &ParsedEvidence<'_>) -> PropertyResult {
    let (answers, challenges) = (txt_answers(input), challenges(input));
    let (mut checked, mut findings) = (0, vec![]);
    for event in input.events.iter().filter(|event| event.row.kind == "DomainVerified") {
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
        for (transport, word) in [(DnsTransport::Udp, "UDP"), (DnsTransport::Tcp, "TCP")] {
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

pub(super) fn transfer_after_absence(input: &ParsedEvidence<'_>) -> PropertyResult {
    let (answers, challenges) = (txt_answers(input), challenges(input));
    let mut granted: BTreeMap<&str, Micros> = BTreeMap::new();
    let (mut checked, mut findings) = (0, vec![]);
    for event in &input.events {
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

/// Published records, with whether they still exist.
fn published<'a>(input: &ParsedEvidence<'a>) -> BTreeMap<(&'a str, &'a str), bool> {
    let mut records = BTreeMap::new();
    for line in &input.evidence.dns {
        match &line.event {
            DnsEvent::Set { name, value } => records.insert((name.as_str(), value.as_str()), true),
            DnsEvent::Cleared { name, value } => records.insert((name.as_str(), value.as_str()), false),
            DnsEvent::Answered { .. } => continue,
        };
    }
    records
}

/// Claims by their challenge.
fn by_record<'a>(input: &'a ParsedEvidence<'_>) -> BTreeMap<(&'a str, &'a str), &'a str> {
    let record = |c: &'a Challenge| (c.record_name.as_str(), c.record_value.as_str());
    challenges(input).into_iter().map(|(claim, challenge)| (record(challenge), claim)).collect()
}

pub(super) fn published_is_verified(input: &ParsedEvidence<'_>) -> PropertyResult {
    let (records, claims) = (published(input), by_record(input));
    let verified: BTreeSet<&str> =
        input.events.iter().filter(|e| e.row.kind == "DomainVerified").map(ClaimEvent::claim).collect();
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

pub(super) fn standing_is_held(input: &ParsedEvidence<'_>) -> PropertyResult {
    let (records, claims) = (published(input), by_record(input));
    let mut holders: BTreeSet<&str> = BTreeSet::new();
    for event in &input.events {
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
