//! Decides contests: the holder's answer and the holder's record decide, never time alone (ADR 0008).
use super::{At, Decider, Decision};
use crate::command::Rejection;
use crate::event::{
    CheckOutcome, ContestAnswer, ContestAnswered, ContestCause, ContestOpened, ContestResolution,
    ContestResolved, ContestResolvedBy, EndReason, OwnershipEnded, OwnershipEvent, OwnershipGranted,
};
use crate::policy::{Activation, ContestPolicy};
use crate::{Claim, ClaimId, ClaimState, Contest, Scope, schedule};

impl Decider<'_> {
    /// Grants the name to a claim that has just been proven, or opens a contest.
    pub(super) fn settle_proven(
        &self,
        claim: &Claim,
        attempt: u32,
        holder_record: Option<CheckOutcome>,
    ) -> Vec<OwnershipEvent> {
        let Some(holder) = self.ownership.holder_claim() else {
            // There is no holder, so there is no contest; challengers of an earlier holder lose.
            return self.transfer(claim, attempt);
        };
        let locked = holder.held().is_some_and(|held| held.locked);
        let gone = holder_record == Some(CheckOutcome::Absent);
        let (cause, grace) = match self.policy.contest {
            _ if locked => (ContestCause::Locked, false),
            ContestPolicy::Immediate => return self.transfer(claim, attempt),
            ContestPolicy::Evidence if gone => return self.transfer(claim, attempt),
            ContestPolicy::Evidence => (ContestCause::HolderRecordStands, true),
            ContestPolicy::Grace => (ContestCause::Grace, true),
            ContestPolicy::Review => (ContestCause::Review, false),
        };
        let next = self.at + schedule::after_contest(self.policy, claim.id, attempt, 0);
        let ends_at = grace.then(|| self.at + self.policy.contest_grace);
        let opened = ContestOpened {
            claim_id: claim.id,
            holder_claim_id: holder.id,
            cause,
            ends_at,
            next_check_at: ends_at.map_or(next, |end| next.min(end)),
            at: self.at,
        };
        vec![opened.into()]
    }

    /// The resolution of a contest and its reason, where a check ends it. While the holder has the name and has not
    /// accepted, only the absence of the holder's record grants it to the challenger.
    pub(super) fn contest_resolution(
        &self,
        contest: &Contest,
        own: CheckOutcome,
        holder: Option<CheckOutcome>,
    ) -> Option<(ContestResolution, ContestResolvedBy)> {
        use ContestResolution::{Granted, Refused};
        let passed = |end: At| self.at >= end;
        let over = contest.ends_at.is_some_and(passed);
        let long_over = contest.refused_at().is_some_and(passed);
        match own {
            CheckOutcome::Absent => return Some((Refused, ContestResolvedBy::ChallengerRecordRemoved)),
            CheckOutcome::Proven => {}
            // Only a proven challenger can get the name.
            CheckOutcome::Blocked | CheckOutcome::Unknown | CheckOutcome::Refused => {
                return long_over.then_some((Refused, ContestResolvedBy::ChallengerUnproven));
            }
        }
        if self.ownership.holding.is_none() {
            return Some((Granted, ContestResolvedBy::HolderLeft));
        }
        if self.is_reviewed(contest) {
            return None;
        }
        if self.is_accepted(contest) {
            return Some((Granted, ContestResolvedBy::HolderAccepted));
        }
        let may_move = over || contest.cause == ContestCause::HolderRecordStands;
        match holder {
            Some(CheckOutcome::Absent) => {
                may_move.then_some((Granted, ContestResolvedBy::HolderRecordRemoved))
            }
            Some(CheckOutcome::Proven) if over => Some((Refused, refusal_reason(contest))),
            _ => long_over.then_some((Refused, ContestResolvedBy::HolderRecordUnknown)),
        }
    }

    /// Whether the present holder accepted that this challenger gets the name.
    fn is_accepted(&self, contest: &Contest) -> bool {
        contest.answer == Some(ContestAnswer::Accept)
            && self.ownership.holding == Some(contest.holder_claim_id)
    }

    /// Whether an operator decides: by the cause of the contest, or because the holding was locked since.
    fn is_reviewed(&self, contest: &Contest) -> bool {
        let locked = self.ownership.holder_claim().and_then(Claim::held).is_some_and(|held| held.locked);
        locked || matches!(contest.cause, ContestCause::Locked | ContestCause::Review)
    }

    /// Ends one contest.
    pub(super) fn resolve_as(
        &self,
        claim: &Claim,
        attempt: u32,
        resolution: ContestResolution,
        by: ContestResolvedBy,
    ) -> Vec<OwnershipEvent> {
        let resolved = resolved(claim.id, resolution, by, self.at);
        let mut events = vec![resolved];
        if resolution == ContestResolution::Granted {
            events.extend(self.transfer(claim, attempt));
        }
        events
    }

    /// Moves the name to `claim`; all other challengers are refused.
    fn transfer(&self, claim: &Claim, attempt: u32) -> Vec<OwnershipEvent> {
        let mut events = vec![];
        if let Some(holder) = self.ownership.holding {
            events.push(
                OwnershipEnded { claim_id: holder, reason: EndReason::Transferred, at: self.at }.into(),
            );
        }
        events.push(self.grant(claim, attempt));
        events.extend(self.supersede_all_but(claim.id));
        events
    }

    fn supersede_all_but(&self, winner: ClaimId) -> Vec<OwnershipEvent> {
        self.ownership
            .contests()
            .into_iter()
            .filter(|(other, _)| other.id != winner)
            .map(|(other, _)| {
                resolved(other.id, ContestResolution::Refused, ContestResolvedBy::Superseded, self.at)
            })
            .collect()
    }

    fn grant(&self, claim: &Claim, attempt: u32) -> OwnershipEvent {
        let external = self.policy.activation == Activation::External;
        OwnershipGranted {
            claim_id: claim.id,
            holder: claim.holder.clone(),
            awaits_activation: external && claim.holder.scope() == Scope::Host,
            next_check_at: self.at + schedule::after_held(self.policy, claim.id, attempt),
            at: self.at,
        }
        .into()
    }

    /// Ends a holding; the earliest challenger that was proven at its last check gets the name in the same append.
    pub(super) fn end_holding(&self, claim: &Claim, reason: EndReason) -> Vec<OwnershipEvent> {
        let mut events = vec![OwnershipEnded { claim_id: claim.id, reason, at: self.at }.into()];
        let successor = self.ownership.contests().into_iter().map(|(c, _)| c).find(|c| is_proven(c));
        if let Some(successor) = successor {
            events.push(resolved(
                successor.id,
                ContestResolution::Granted,
                ContestResolvedBy::HolderLeft,
                self.at,
            ));
            events.push(self.grant(successor, successor.attempts));
            events.extend(self.supersede_all_but(successor.id));
        }
        events
    }

    pub(super) fn answer(&self, claim: &Claim, challenger: ClaimId, answer: ContestAnswer) -> Decision {
        if self.ownership.holding != Some(claim.id) {
            return Err(Rejection::NotHeld);
        }
        let contests = self.ownership.contests();
        let named = contests.into_iter().find(|(other, _)| other.id == challenger);
        // An answer counts only in the contest it was given in.
        let (challenger, contest) =
            named.filter(|(_, contest)| contest.holder_claim_id == claim.id).ok_or(Rejection::NoContest)?;
        if contest.answer == Some(answer) {
            return Ok(vec![]);
        }
        let answered =
            ContestAnswered { claim_id: challenger.id, holder_claim_id: claim.id, answer, at: self.at };
        let mut events = vec![answered.into()];
        if answer == ContestAnswer::Accept && !self.is_reviewed(contest) && is_proven(challenger) {
            events.extend(self.resolve_as(
                challenger,
                challenger.attempts,
                ContestResolution::Granted,
                ContestResolvedBy::HolderAccepted,
            ));
        }
        Ok(events)
    }

    pub(super) fn resolve(&self, claim: &Claim, resolution: ContestResolution) -> Decision {
        if !matches!(claim.state, ClaimState::Contesting(_)) {
            return Err(Rejection::NoContest);
        }
        Ok(self.resolve_as(claim, claim.attempts, resolution, ContestResolvedBy::Operator))
    }
}

/// Whether the last check of the challenger's record was a proof.
fn is_proven(claim: &Claim) -> bool {
    claim.last_check.as_ref().is_some_and(|check| check.outcome == CheckOutcome::Proven)
}

/// The reason to refuse a contest whose grace period ended while the holder's record was still published.
fn refusal_reason(contest: &Contest) -> ContestResolvedBy {
    match contest.answer {
        Some(ContestAnswer::Dispute) => ContestResolvedBy::Disputed,
        _ => ContestResolvedBy::HolderRecordStands,
    }
}

fn resolved(
    claim_id: ClaimId,
    resolution: ContestResolution,
    by: ContestResolvedBy,
    at: At,
) -> OwnershipEvent {
    ContestResolved { claim_id, resolution, by, at }.into()
}
