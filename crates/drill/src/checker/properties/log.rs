//! Properties of the log: positions, versions, times, attempts.
use std::collections::BTreeMap;

use super::{ParsedEvidence, PropertyResult};
use crate::checker::evidence::Micros;

pub(super) fn positions(input: &ParsedEvidence<'_>) -> PropertyResult {
    let log = &input.evidence.log;
    let wrong = (1_i64..).zip(log).filter(|(expected, row)| row.position != *expected);
    let findings =
        wrong.map(|(expected, row)| format!("position {} where {expected} was to come", row.position));
    (log.len(), findings.collect())
}

pub(super) fn versions(input: &ParsedEvidence<'_>) -> PropertyResult {
    let mut last: BTreeMap<&str, i64> = BTreeMap::new();
    let mut findings = vec![];
    for row in &input.evidence.log {
        let version = last.entry(&row.stream).or_default();
        *version += 1;
        if row.version != *version {
            findings.push(format!(
                "position {}: {} goes on with version {} where {version} was to come",
                row.position, row.stream, row.version
            ));
            *version = row.version;
        }
    }
    (last.len(), findings)
}

pub(super) fn readable(input: &ParsedEvidence<'_>) -> PropertyResult {
    (input.events.len() + input.unreadable.len(), input.unreadable.clone())
}

pub(super) fn order(input: &ParsedEvidence<'_>) -> PropertyResult {
    let mut last: BTreeMap<&str, (Micros, Micros)> = BTreeMap::new();
    let mut findings = vec![];
    for event in &input.events {
        let (row, at) = (event.row, event.at());
        let (happened, written) = last.entry(&row.stream).or_insert((at, row.recorded_at));
        if at < *happened {
            findings.push(format!(
                "position {}: happened before what stands before it in {}",
                row.position, row.stream
            ));
        }
        if row.recorded_at < *written {
            findings.push(format!(
                "position {}: written before what stands before it in {}",
                row.position, row.stream
            ));
        }
        if row.recorded_at < at {
            findings.push(format!(
                "position {}: written {} µs before it happened",
                row.position,
                at - row.recorded_at
            ));
        }
        (*happened, *written) = (at, row.recorded_at);
    }
    (input.events.len(), findings)
}

pub(super) fn attempts(input: &ParsedEvidence<'_>) -> PropertyResult {
    let mut settled: BTreeMap<&str, i64> = BTreeMap::new();
    let (mut checked, mut findings) = (0, vec![]);
    for event in input.events.iter().filter(|event| event.row.kind == "CheckRecorded") {
        checked += 1;
        let attempt = event.payload.attempt.unwrap_or_default();
        let last = settled.entry(event.claim()).or_default();
        if attempt <= *last {
            findings.push(format!(
                "position {}: attempt {attempt} of {} is settled after attempt {last}",
                event.row.position,
                event.claim()
            ));
        }
        *last = attempt;
    }
    (checked, findings)
}
