//! Limits the open claims on a name, and chooses the claim that gives way to a newcomer.
//!
//! A newcomer who can prove the name must always be able to claim it, so claims without proof must not use up the
//! limit. Every number that grows, who can make it grow, and its bound:
//!
//! | number, per name | grows by | bound |
//! |---|---|---|
//! | open claims of a workspace that do not hold the name | the workspace | `open_claims_per_claimant`, refused beyond |
//! | open claims whose record no server has shown | anyone | `open_claims_per_name`, others give way beyond |
//! | open claims whose record was seen, and contests | publishers in the zone | the first line, for each workspace |
//! | ended claims in the fold | anyone; proven ones: publishers in the zone | one per holder, 50 of each kind (`retention.rs`) |
//! | manual checks of a claim | its workspace | `manual_gap` and `manual_per_hour`; 100 are kept |
//! | earlier values that a check recognises | their holder | the newest 16 (crate `verifier`) |
//! | events of one append | anyone | two for each open claim, since each ends once |
use super::{Decider, Decision};
use crate::command::Rejection;
use crate::event::{ClaimExpired, ExpiryReason};
use crate::eviction::evict_first;
use crate::{Claim, ClaimState, Holder, WorkspaceId};

impl Decider<'_> {
    /// Makes room for a new claim of `holder`, which has no open claim: unseen claims beyond the limit give way.
    ///
    /// A claim whose record a server has shown, and a holding, never give way and do not count.
    pub(super) fn make_room(&self, holder: &Holder) -> Decision {
        let newcomer = holder.workspace();
        let running = || self.ownership.claims.values().filter(|c| c.is_open() && !c.is_overdue(self.at));
        let limit = self.policy.open_claims_per_claimant;
        if running().filter(|c| c.holder.workspace() == newcomer && !c.is_held()).count() >= limit {
            return Err(Rejection::TooManyClaims { limit });
        }
        let mut unseen: Vec<&Claim> = running().filter(|c| c.is_unseen()).collect();
        let mut events = vec![];
        while unseen.len() >= self.policy.open_claims_per_name {
            let Some(claim_id) = gives_way(&unseen, newcomer).map(|claim| claim.id) else { break };
            unseen.retain(|claim| claim.id != claim_id);
            events.push(ClaimExpired { claim_id, reason: Some(ExpiryReason::GaveWay), at: self.at }.into());
        }
        Ok(events)
    }
}

/// The claim that gives way to one more of `newcomer`: a claim that was never watched, or else any; of the workspace
/// with the most, the oldest. Never one of a workspace that has fewer than the newcomer will have.
fn gives_way<'a>(unseen: &[&'a Claim], newcomer: &WorkspaceId) -> Option<&'a Claim> {
    let share = |of: &WorkspaceId| unseen.iter().filter(|claim| claim.holder.workspace() == of).count();
    let own = share(newcomer) + 1;
    let may_give_way = |claim: &&&Claim| {
        let workspace = claim.holder.workspace();
        workspace == newcomer || share(workspace) >= own
    };
    let candidates: Vec<&Claim> = unseen.iter().filter(may_give_way).copied().collect();
    let never_watched = |claim: &&Claim| matches!(claim.state, ClaimState::Initiated { .. });
    let unwatched: Vec<&Claim> = candidates.iter().copied().filter(never_watched).collect();
    let pool = if unwatched.is_empty() { candidates } else { unwatched };
    evict_first(&pool, Some(newcomer), |claim| claim.initiated_at)
}
