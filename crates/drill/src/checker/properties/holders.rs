//! Properties of holdings: one holder at a time, and only with a proof.
use std::collections::{BTreeMap, BTreeSet};

use super::{ParsedEvidence, PropertyResult};
use crate::checker::evidence::LogRow;
use crate::checker::fold::ExpectedState;

pub(super) fn one_holder(input: &ParsedEvidence<'_>) -> PropertyResult {
    let mut holders: BTreeMap<&str, &str> = BTreeMap::new();
    let (mut checked, mut findings) = (0, vec![]);
    for event in &input.events {
        let (stream, claim, position) = (event.row.stream.as_str(), event.claim(), event.row.position);
        match event.row.kind.as_str() {
            "OwnershipGranted" => {
                checked += 1;
                if let Some(holder) = holders.insert(stream, claim) {
                    findings.push(format!(
                        "position {position}: {stream} is granted to {claim} while {holder} has it"
                    ));
                }
            }
            "OwnershipEnded" => {
                checked += 1;
                if holders.get(stream) == Some(&claim) {
                    holders.remove(stream);
                } else {
                    findings.push(format!(
                        "position {position}: {stream} is taken from {claim}, which does not have it"
                    ));
                }
            }
            _ => {}
        }
    }
    (checked, findings)
}

pub(super) fn grant_proven(input: &ParsedEvidence<'_>) -> PropertyResult {
    let (mut proven, mut verified) = (BTreeSet::new(), BTreeSet::new());
    let (mut checked, mut findings) = (0, vec![]);
    for event in &input.events {
        let (claim, position) = (event.claim(), event.row.position);
        let attempt = event.payload.attempt;
        match event.row.kind.as_str() {
            "CheckRecorded" if event.payload.outcome.as_deref() == Some("proven") => {
                proven.insert((claim, attempt));
            }
            "DomainVerified" => {
                checked += 1;
                if !proven.contains(&(claim, attempt)) {
                    findings.push(format!(
                        "position {position}: {claim} is verified without a check that proved it"
                    ));
                }
                verified.insert(claim);
            }
            "OwnershipGranted" => {
                checked += 1;
                if !verified.contains(claim) {
                    findings.push(format!(
                        "position {position}: {} is granted to {claim}, which was not verified",
                        event.row.stream
                    ));
                }
            }
            _ => {}
        }
    }
    (checked, findings)
}

pub(super) fn one_open_claim(input: &ParsedEvidence<'_>) -> PropertyResult {
    let mut expected_state = ExpectedState::default();
    let (mut checked, mut findings) = (0, vec![]);
    for event in &input.events {
        if event.row.kind == "ClaimInitiated" {
            checked += 1;
            let holder = event.payload.holder.as_ref().map(ToString::to_string).unwrap_or_default();
            let before = expected_state.streams.get(&event.row.stream);
            let open = before.and_then(|s| s.claims.iter().find(|(_, c)| c.holder == holder && c.is_open()));
            if let Some((open, _)) = open {
                findings.push(format!(
                    "position {}: {} is claimed with {} while {open} of the same holder is open",
                    event.row.position,
                    event.row.stream,
                    event.claim()
                ));
            }
        }
        expected_state.fold(event);
    }
    (checked, findings)
}

pub(super) fn app_and_host(input: &ParsedEvidence<'_>) -> PropertyResult {
    let log = &input.evidence.log;
    let is_added = |row: &LogRow| row.kind == "AppDomainAdded";
    let is_claimed = |row: &LogRow| row.kind == "ClaimInitiated" && row.stream.starts_with("host:");
    // One append contains both, the claim first.
    let together = |claimed: &LogRow, added: &LogRow| {
        is_claimed(claimed)
            && is_added(added)
            && claimed.payload["name"] == added.payload["domain"]
            && claimed.payload["holder"]["app"]["appId"] == added.payload["appId"]
    };
    let (mut checked, mut findings) = (0, vec![]);
    for (index, row) in log.iter().enumerate() {
        let fits = if is_added(row) {
            index
                .checked_sub(1)
                .and_then(|before| log.get(before))
                .is_some_and(|before| together(before, row))
        } else if is_claimed(row) {
            log.get(index + 1).is_some_and(|after| together(row, after))
        } else {
            continue;
        };
        checked += 1;
        if !fits {
            findings.push(format!("position {}: {} of {} stands alone", row.position, row.kind, row.stream));
        }
    }
    (checked, findings)
}
