//! Properties of acknowledged requests: present in the log and in the read models.
use std::collections::{BTreeMap, BTreeSet};

use super::{ParsedEvidence, PropertyResult};
use crate::acknowledged::Promise;
use crate::checker::payload::ClaimEvent;

/// An initiated claim.
struct Initiated<'a> {
    claim: &'a str,
    name: &'a str,
    holder: String,
}

/// Claims by record value.
fn by_record<'a>(input: &'a ParsedEvidence<'_>) -> BTreeMap<&'a str, Initiated<'a>> {
    let initiated = input.events.iter().filter(|event| event.row.kind == "ClaimInitiated");
    let entry = |event: &'a ClaimEvent<'_>| {
        let record = event.payload.challenge.as_ref()?.record_value.as_str();
        let holder = event.payload.holder.as_ref().map(ToString::to_string).unwrap_or_default();
        let name = event.payload.name.as_deref().unwrap_or_default();
        Some((record, Initiated { claim: event.claim(), name, holder }))
    };
    initiated.filter_map(entry).collect()
}

pub(super) fn in_log(input: &ParsedEvidence<'_>) -> PropertyResult {
    let claims = by_record(input);
    let found: BTreeSet<(&str, &str)> =
        input.events.iter().map(|event| (event.claim(), event.row.kind.as_str())).collect();
    let promises = &input.evidence.acknowledged;
    let mut findings = vec![];
    for promise in promises {
        let (what, name, at) = (promise.what, &promise.name, promise.at);
        let Some(claim) = claims.get(promise.record.as_str()) else {
            findings.push(format!("{name}: {what:?} was acknowledged at {at}, and no claim has that record"));
            continue;
        };
        let kind = match what {
            Promise::Claimed => "ClaimInitiated",
            Promise::Requested => "VerificationRequested",
            Promise::Cancelled => "ClaimCancelled",
        };
        if !found.contains(&(claim.claim, kind)) {
            findings.push(format!(
                "{name}: {what:?} of {} was acknowledged at {at}, and there is no {kind}",
                claim.claim
            ));
        }
        let same = promise.claim_id.as_deref().is_none_or(|id| id == claim.claim);
        let of_workspace = claim.holder.contains(&format!("\"{}\"", promise.workspace));
        if !same || claim.name != name || !of_workspace {
            findings.push(format!(
                "{name}: acknowledged for {} as {:?}, logged as {} for {} on {}",
                promise.workspace, promise.claim_id, claim.claim, claim.holder, claim.name
            ));
        }
    }
    (promises.len(), findings)
}

pub(super) fn in_views(input: &ParsedEvidence<'_>) -> PropertyResult {
    let claims = by_record(input);
    let claimed = input.evidence.acknowledged.iter().filter(|promise| promise.what == Promise::Claimed);
    let mut ids: BTreeSet<&str> =
        claimed.filter_map(|promise| Some(claims.get(promise.record.as_str())?.claim)).collect();
    // An ended claim is replaced by the next one of the same holder.
    for replaced in replaced(input) {
        ids.remove(replaced.as_str());
    }
    let views = &input.evidence.views;
    let mut findings = vec![];
    for id in &ids {
        let Some(row) = views.claims.get(*id) else {
            findings.push(format!("{id} was acknowledged and is not in claims"));
            continue;
        };
        let state = views.ownerships.get(&row.stream);
        if state.is_none_or(|state| state.body["claims"].get(*id).is_none()) {
            findings.push(format!("{id} is in claims and not in the state of {}", row.stream));
        }
    }
    (ids.len(), findings)
}

/// Claims that a later claim of the same holder replaced.
fn replaced(input: &ParsedEvidence<'_>) -> Vec<String> {
    let mut newest: BTreeMap<(&str, String), &str> = BTreeMap::new();
    let initiated = input.events.iter().filter(|event| event.row.kind == "ClaimInitiated");
    initiated
        .filter_map(|event| {
            let holder = event.payload.holder.as_ref().map(ToString::to_string).unwrap_or_default();
            newest.insert((&event.row.stream, holder), event.claim()).map(str::to_owned)
        })
        .collect()
}
