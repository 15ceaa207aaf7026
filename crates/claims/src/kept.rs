//! Which ended claims are remembered: their number must not grow with how many have claimed a name.
use std::collections::BTreeSet;

use crate::shares::first_to_go;
use crate::{Claim, ClaimId, ClaimState, Ownership};

/// Ended claims kept of each kind: of those that were proven, and of those that were not. Apart, since whoever can prove
/// nothing must not push the record of a former holder out.
const ENDED_KEPT: usize = 50;

impl Ownership {
    /// Forgets ended claims beyond what is kept, now that `latest` has ended: of those of its kind the oldest of the
    /// workspace that has most. What an open contest refers to stays.
    pub(crate) fn forget_ended(&mut self, latest: ClaimId) {
        let Some(proven) = self.claims.get(&latest).map(was_proven) else { return };
        let referred: BTreeSet<ClaimId> =
            self.contests().into_iter().map(|(_, contest)| contest.holder_claim_id).collect();
        loop {
            let of_kind: Vec<&Claim> =
                self.claims.values().filter(|c| !c.is_open() && was_proven(c) == proven).collect();
            if of_kind.len() <= ENDED_KEPT {
                return;
            }
            let free: Vec<&Claim> =
                of_kind.into_iter().filter(|c| c.id != latest && !referred.contains(&c.id)).collect();
            let Some(id) = first_to_go(&free, None, ended_at).map(|claim| claim.id) else { return };
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
