//! Room on a name: what one workspace may have there, and whose claim gives way when a newcomer finds none.
//!
//! A newcomer who can prove the name must always find room, so what others can do without proof may not use that room
//! up. Who makes each number grow, and what bounds it:
//!
//! | number, per name | who makes it grow | bound |
//! |---|---|---|
//! | open claims of a workspace that do not hold the name | the workspace | `open_claims_per_claimant`, refused beyond |
//! | open claims whose record no server has shown | anybody | `open_claims_per_name`, others give way beyond |
//! | open claims whose record was seen, and contests | who can publish in the zone | the first line, for each workspace |
//! | ended claims in the fold | anybody; of proven ones, who can publish | one a holder, 50 of each kind (`kept.rs`) |
//! | manual checks of a claim | its workspace | `manual_gap` and `manual_per_hour`; 100 are remembered |
//! | earlier values that a check recognises | their holder | the newest 16 (`verifier/src/sight.rs`) |
//! | events of one append | anybody | two for each claim that is open, since each ends once |
use super::{Case, Decision};
use crate::command::Rejection;
use crate::event::{ClaimExpired, ExpiryReason};
use crate::shares::first_to_go;
use crate::{Claim, ClaimState, Holder, WorkspaceId};

impl Case<'_> {
    /// Makes room for a claim of `holder`, whose own claims are all over.
    ///
    /// A claim that was seen at a server, and a holding, never give way and do not count.
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

/// The claim that gives way to one more of `newcomer`: one that was never watched, else any; of the workspace that has
/// most of them, the oldest. None of a workspace that has fewer than the newcomer would have then.
fn gives_way<'a>(unseen: &[&'a Claim], newcomer: &WorkspaceId) -> Option<&'a Claim> {
    let share = |of: &WorkspaceId| unseen.iter().filter(|claim| claim.holder.workspace() == of).count();
    let own = share(newcomer) + 1;
    let may = |claim: &&&Claim| {
        let workspace = claim.holder.workspace();
        workspace == newcomer || share(workspace) >= own
    };
    let candidates: Vec<&Claim> = unseen.iter().filter(may).copied().collect();
    let never_watched = |claim: &&Claim| matches!(claim.state, ClaimState::Initiated { .. });
    let first: Vec<&Claim> = candidates.iter().copied().filter(never_watched).collect();
    let pool = if first.is_empty() { candidates } else { first };
    first_to_go(&pool, Some(newcomer), |claim| claim.initiated_at)
}
