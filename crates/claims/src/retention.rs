//! Bounds the ended claims that the fold keeps: their number must not grow with the number of claims ever made.
use std::collections::BTreeSet;

use crate::eviction::evict_first;
use crate::{Claim, ClaimId, ClaimState, Ownership};

/// Ended claims kept of each kind, proven and never proven. The kinds are separate so that claimants who prove nothing
/// cannot evict a former holder.
const MAX_ENDED: usize = 50;

impl Ownership {
    /// Evicts ended claims beyond the limit after `latest` has ended: of its kind, the oldest of the workspace with the
    /// most. A claim that an open contest refers to stays.
    pub(crate) fn forget_ended(&mut self, latest: ClaimId) {
        let Some(proven) = self.claims.get(&latest).map(was_proven) else { return };
        let referred: BTreeSet<ClaimId> =
            self.contests().into_iter().map(|(_, contest)| contest.holder_claim_id).collect();
        loop {
            let of_kind: Vec<&Claim> =
                self.claims.values().filter(|c| !c.is_open() && was_proven(c) == proven).collect();
            if of_kind.len() <= MAX_ENDED {
                return;
            }
            let evictable: Vec<&Claim> =
                of_kind.into_iter().filter(|c| c.id != latest && !referred.contains(&c.id)).collect();
            let Some(id) = evict_first(&evictable, None, ended_at).map(|claim| claim.id) else { return };
            self.claims.remove(&id);
        }
    }
}

fn was_proven(claim: &Claim) -> bool {
    claim.verified_at.is_some()
}

fn ended_at(claim: &Claim) -> chrono::DateTime<chrono::Utc> {
    match claim.state {
        ClaimState::Ended { at, .. } => at,
        _ => claim.updated_at,
    }
}
