//! The read models, held against the checker's own fold and against a rebuild.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use super::{Case, Checked};
use crate::checker::evidence::{READ_MODELS, RELAY};
use crate::checker::fold::World;
use crate::checker::report::Finding;

pub(super) fn caught_up(case: &Case<'_>) -> Checked {
    let end = case.evidence.log.last().map_or(0, |row| row.position);
    let checkpoints = &case.evidence.views.checkpoints;
    let mut findings = vec![];
    for name in [READ_MODELS, RELAY] {
        let at = checkpoints.get(name).copied().unwrap_or_default();
        if at != end {
            findings.push(format!("the checkpoint of {name} is at {at}, the log ends at {end}"));
        }
    }
    (2, findings)
}

/// Our own fold, as far as the read models have come.
fn world(case: &Case<'_>) -> World {
    let folded = case.evidence.views.checkpoints.get(READ_MODELS).copied().unwrap_or_default();
    let mut world = World::default();
    for event in case.events.iter().filter(|event| event.row.position <= folded) {
        world.fold(event);
    }
    world
}

/// Rows that are missing, too many, or other than they should be.
fn compare<K: Ord + Debug, V: PartialEq + Debug>(
    expected: &BTreeMap<K, V>,
    found: &BTreeMap<K, V>,
) -> Checked {
    let keys: BTreeSet<&K> = expected.keys().chain(found.keys()).collect();
    let differs = |key: &&K| match (expected.get(*key), found.get(*key)) {
        (Some(expected), Some(found)) if expected == found => None,
        (Some(expected), Some(found)) => Some(format!("{key:?} is {found:?} and should be {expected:?}")),
        (Some(expected), None) => Some(format!("{key:?} is missing: {expected:?}")),
        (None, found) => Some(format!("{key:?} should not be there: {found:?}")),
    };
    (keys.len(), keys.iter().filter_map(differs).collect())
}

pub(super) fn ownerships(case: &Case<'_>) -> Checked {
    let world = world(case);
    let expected: BTreeMap<&String, (i64, Option<&str>, BTreeSet<&String>)> = world
        .streams
        .iter()
        .map(|(stream, state)| {
            (stream, (state.version, state.holding.as_deref(), state.claims.keys().collect()))
        })
        .collect();
    let found = case.evidence.views.ownerships.iter().map(|(stream, row)| {
        let claims = row.body["claims"].as_object().into_iter().flat_map(|claims| claims.keys()).collect();
        (stream, (row.version, row.body["holding"].as_str(), claims))
    });
    compare(&expected, &found.collect())
}

pub(super) fn claims(case: &Case<'_>) -> Checked {
    let world = world(case);
    let mut expected = BTreeMap::new();
    for (stream, state) in &world.streams {
        expected.extend(state.claims.iter().map(|(id, claim)| {
            let open = claim.is_open() && !claim.is_held();
            let place = (stream, state.version, &claim.workspace, claim.app.as_ref(), &claim.name);
            (id, (place, claim.scope.as_str(), claim.status, claim.initiated_at, open))
        }));
    }
    let found = case.evidence.views.claims.iter().map(|(id, row)| {
        let place = (&row.stream, row.version, &row.workspace, row.app.as_ref(), &row.name);
        (id, (place, row.scope.as_str(), row.status.as_str(), row.initiated_at, row.open))
    });
    compare(&expected, &found.collect())
}

pub(super) fn due_rows(case: &Case<'_>) -> Checked {
    let world = world(case);
    let mut expected = BTreeMap::new();
    for (stream, state) in &world.streams {
        for (id, claim) in &state.claims {
            expected.extend(
                claim
                    .due(case.evidence.visibility)
                    .into_iter()
                    .map(|(kind, attempt, at)| ((stream.as_str(), id.as_str(), kind, attempt), at)),
            );
        }
    }
    let found = case.evidence.views.due.iter().map(|((stream, claim, kind, attempt), row)| {
        ((stream.as_str(), claim.as_str(), kind.as_str(), *attempt), row.due_at)
    });
    compare(&expected, &found.collect())
}

pub(super) fn rebuild(case: &Case<'_>) -> Checked {
    let Some(rebuilt) = &case.evidence.rebuilt else { return (0, vec![]) };
    let (before, after) = (case.evidence.views.comparable(), rebuilt.comparable());
    let mut checked = 0;
    let mut findings: Vec<Finding> = vec![];
    let mut add = |table: &str, (rows, wrong): Checked| {
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
