//! Decides commands about a held name: release, revocation, activation, lock.
use super::{Decider, Decision};
use crate::command::Rejection;
use crate::event::{DomainActivated, EndReason, HoldingLocked, HoldingUnlocked};
use crate::{Claim, Held};

impl Decider<'_> {
    fn held(claim: &Claim) -> Result<Held, Rejection> {
        claim.held().copied().ok_or(Rejection::NotHeld)
    }

    /// Ends a holding, by its holder or by an operator.
    pub(super) fn give_up(&self, claim: &Claim, reason: EndReason) -> Decision {
        Self::held(claim)?;
        Ok(self.end_holding(claim, reason))
    }

    pub(super) fn activate(&self, claim: &Claim) -> Decision {
        if !Self::held(claim)?.awaits_activation {
            return Ok(vec![]);
        }
        Ok(vec![DomainActivated { claim_id: claim.id, at: self.at }.into()])
    }

    pub(super) fn lock(&self, claim: &Claim, locked: bool) -> Decision {
        if Self::held(claim)?.locked == locked {
            return Ok(vec![]);
        }
        let (claim_id, at) = (claim.id, self.at);
        Ok(vec![if locked {
            HoldingLocked { claim_id, at }.into()
        } else {
            HoldingUnlocked { claim_id, at }.into()
        }])
    }
}
