//! Properties of the read models: equal to the expected state and to a rebuild.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use super::{ParsedEvidence, PropertyResult};
use crate::checker::evidence::{READ_MODELS, RELAY};
use crate::checker::fold::ExpectedState;
use crate::checker::report::Finding;

pub(super) fn caught_up(input: &ParsedEvidence<'_>) -> PropertyResult {
    let end = input.evidence.log.last().map_or(0, |row| row.position);
    let checkpoints = &input.evidence.views.checkpoints;
    let mut findings = vec![];
    for name in [READ_MODELS, RELAY] {
        let at = checkpoints.get(name).copied().unwrap_or_default();
        if at != end {
            findings.push(format!("the checkpoint of {name} is at {at}, the log ends at {end}"));
        }
    }
    (2, findings)
}

/// The expected state up to the checkpoint of the read models.
fn expected_state(input: &ParsedEvidence<'_>) -> ExpectedState {
    let folded = input.evidence.views.checkpoints.get(READ_MODELS).copied().unwrap_or_default();
    let mut expected_state = ExpectedState::default();
    for event in input.events.iter().filter(|event| event.row.position <= folded) {
        expected_state.fold(event);
    }
    expected_state
}

/// Missing, unexpected and different rows.
fn compare<K: Ord + Debug, V: PartialEq + Debug>(
    expected: &BTreeMap<K, V>,
    found: &BTreeMap<K, V>,
) -> PropertyResult {
    let keys: BTreeSet<&K> = expected.keys().chain(found.keys()).collect();
    let differs = |key: &&K| match (expected.get(*key), found.get(*key)) {
        (Some(expected), Some(found)) if expected == found => None,
        (Some(expected), Some(found)) => Some(format!("{key:?} is {found:?} and should be {expected:?}")),
        (Some(expected), None) => Some(format!("{key:?} is missing: {expected:?}")),
        (None, found) => Some(format!("{key:?} should not be there: {found:?}")),
    };
    (keys.len(), keys.iter().filter_map(differs).collect())
}

pub(super) fn ownerships(input: &ParsedEvidence<'_>) -> PropertyResult {
    let expected_state = expected_state(input);
    let expected: BTreeMap<&String, (i64, Option<&str>, BTreeSet<&String>)> = expected_state
        .streams
        .iter()
        .map(|(stream, state)| {
            (stream, (state.version, state.holding.as_deref(), state.claims.keys().collect()))
        })
        .collect();
    let found = input.evidence.views.ownerships.iter().map(|(stream, row)| {
        let claims = row.body["claims"].as_object().into_iter().flat_map(|claims| claims.keys()).collect();
        (stream, (row.version, row.body["holding"].as_str(), claims))
    });
    compare(&expected, &found.collect())
}

pub(super) fn claims(input: &ParsedEvidence<'_>) -> PropertyResult {
    let expected_state = expected_state(input);
    let mut expected = BTreeMap::new();
    for (stream, state) in &expected_state.streams {
        expected.extend(state.claims.iter().map(|(id, claim)| {
            let open = claim.is_open() && !claim.is_held();
            let place = (stream, state.version, &claim.workspace, claim.app.as_ref(), &claim.name);
            (id, (place, claim.scope.as_str(), claim.status, claim.initiated_at, open))
        }));
    }
    let found = input.evidence.views.claims.iter().map(|(id, row)| {
        let place = (&row.stream, row.version, &row.workspace, row.app.as_ref(), &row.name);
        (id, (place, row.scope.as_str(), row.status.as_str(), row.initiated_at, row.open))
    });
    compare(&expected, &found.collect())
}

pub(super) fn due_rows(input: &ParsedEvidence<'_>) -> PropertyResult {
    let expected_state = expected_state(input);
    let mut expected = BTreeMap::new();
    for (stream, state) in &expected_state.streams {
        for (id, claim) in &state.claims {
            expected.extend(
                claim
                    .due(input.evidence.visibility)
                    .into_iter()
                    .map(|(kind, attempt, at)| ((stream.as_str(), id.as_str(), kind, attempt), at)),
            );
        }
    }
    let found = input.evidence.views.due.iter().map(|((stream, claim, kind, attempt), row)| {
        ((stream.as_str(), claim.as_str(), kind.as_str(), *attempt), row.due_at)
    });
    compare(&expected, &found.collect())
}

pub(super) fn rebuild(input: &ParsedEvidence<'_>) -> PropertyResult {
    let Some(rebuilt) = &input.evidence.rebuilt else { return (0, vec![]) };
    let (before, after) = (input.evidence.views.comparable(), rebuilt.comparable());
    let mut checked = 0;
    let mut findings: Vec<Finding> = vec![];
    let mut add = |table: &str, (rows, wrong): PropertyResult| {
        checked += rows;
        findings.extend(wrong.into_iter().map(|finding| format!("{table}: {finding}")));
    };
    add("ownerships", compare(&after.ownerships, &before.ownerships));
    add("claims", compare(&after.claims, &before.claims));
    add("due_work", compare(&after.due, &before.due));
    add("apps", compare(&after.apps, &before.apps));
    add("checkpoints", compare(&after.checkpoints, &before.checkpoints));
    (checked, findings)
}
