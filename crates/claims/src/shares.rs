//! Whose claim goes first where there are more than there is room for.
use std::cmp::Reverse;
use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::{Claim, WorkspaceId};

/// The one of `claims` that goes first: the oldest of the workspace that has most of them, so that making more never
/// costs those who have few. `newcomer` is a workspace that is about to have one more.
pub(crate) fn first_to_go<'a>(
    claims: &[&'a Claim],
    newcomer: Option<&WorkspaceId>,
    age: impl Fn(&Claim) -> DateTime<Utc>,
) -> Option<&'a Claim> {
    let mut shares = BTreeMap::<&WorkspaceId, usize>::new();
    for workspace in claims.iter().map(|claim| claim.holder.workspace()).chain(newcomer) {
        *shares.entry(workspace).or_default() += 1;
    }
    let share = |claim: &Claim| shares.get(claim.holder.workspace()).copied();
    claims.iter().copied().min_by_key(|claim| (Reverse(share(claim)), age(claim), claim.id))
}
