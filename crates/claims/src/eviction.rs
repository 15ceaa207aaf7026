//! Chooses the claim to evict where a limit is exceeded.
use std::cmp::Reverse;
use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::{Claim, WorkspaceId};

/// The claim to evict first: the oldest of the workspace with the most, so that a workspace that makes many claims only
/// evicts its own. `newcomer` is a workspace that is about to have one more.
pub(crate) fn evict_first<'a>(
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
