//! Decides a command: events or a rejection. Pure and synchronous; time is an argument.
mod check;
mod claim_limits;
mod contest;
mod holding;

use chrono::{DateTime, Utc};

use crate::command::{Command, IfHeldByAnother, Rejection};
use crate::event::{
    CheckCause, ClaimCancelled, ClaimExpired, ClaimInitiated, OwnershipEvent, VerificationRequested,
};
use crate::{Claim, ClaimId, ClaimState, Holder, Ownership, Policy, Scope};

type At = DateTime<Utc>;
type Decision = Result<Vec<OwnershipEvent>, Rejection>;

/// The state, policy and time of one decision.
struct Decider<'a> {
    ownership: &'a Ownership,
    policy: &'a Policy,
    at: At,
}

impl Ownership {
    /// The events of `command` at the time `at`; none where nothing changes.
    ///
    /// # Errors
    /// The reason why the command is not carried out.
    pub fn decide(&self, command: Command, policy: &Policy, at: At) -> Decision {
        let decider = Decider { ownership: self, policy, at };
        match command {
            command @ Command::Initiate { .. } => decider.initiate(command),
            Command::RequestVerification { claim_id } => {
                decider.request_verification(decider.open(claim_id)?)
            }
            Command::RecordCheck { claim_id, attempt, outcome, holder_outcome, evidence } => {
                let claim = decider.open(claim_id).map_err(|_| Rejection::StaleAttempt)?;
                decider.record_check(claim, attempt, &outcome, holder_outcome.as_ref(), evidence)
            }
            Command::Expire { claim_id } => decider.expire(decider.open(claim_id)?),
            Command::Cancel { claim_id } => decider.cancel(decider.open(claim_id)?),
            Command::Release { claim_id } => {
                decider.give_up(decider.open(claim_id)?, crate::EndReason::Released)
            }
            Command::Revoke { claim_id } => {
                decider.give_up(decider.open(claim_id)?, crate::EndReason::Revoked)
            }
            Command::Activate { claim_id } => decider.activate(decider.open(claim_id)?),
            Command::AnswerContest { claim_id, challenger_id, answer } => {
                decider.answer(decider.open(claim_id)?, challenger_id, answer)
            }
            Command::ResolveContest { claim_id, resolution } => {
                decider.resolve(decider.open(claim_id)?, resolution)
            }
            Command::Lock { claim_id } => decider.lock(decider.open(claim_id)?, true),
            Command::Unlock { claim_id } => decider.lock(decider.open(claim_id)?, false),
        }
    }
}

impl<'a> Decider<'a> {
    fn open(&self, claim_id: ClaimId) -> Result<&'a Claim, Rejection> {
        let claim = self.ownership.claims.get(&claim_id).ok_or(Rejection::NoSuchClaim)?;
        if claim.is_open() { Ok(claim) } else { Err(Rejection::Ended) }
    }

    fn deadline(&self, holder: &Holder) -> At {
        let wait = match holder.scope() {
            Scope::Apex => self.policy.apex_deadline,
            Scope::Host => self.policy.host_deadline,
        };
        self.at + wait
    }

    fn initiate(&self, command: Command) -> Decision {
        let Command::Initiate { claim_id, holder, name, requested, region, challenge, if_held_by_another } =
            command
        else {
            return Ok(vec![]);
        };
        let of_another = self.ownership.holder_claim().is_some_and(|held| held.holder != holder);
        if of_another && if_held_by_another == IfHeldByAnother::Refuse {
            return Err(Rejection::HeldByAnother);
        }
        let mut events = vec![];
        if let Some(own) = self.ownership.claims.values().find(|c| c.is_open() && c.holder == holder) {
            if !own.is_overdue(self.at) {
                return Ok(vec![]);
            }
            events.push(self.expired(own));
        }
        events.extend(self.make_room(&holder)?);
        events.push(
            ClaimInitiated {
                claim_id,
                scope: holder.scope(),
                name,
                requested,
                region,
                expires_at: self.deadline(&holder),
                holder,
                challenge,
                at: self.at,
            }
            .into(),
        );
        Ok(events)
    }

    fn request_verification(&self, claim: &Claim) -> Decision {
        if claim.is_overdue(self.at) {
            return Ok(vec![self.expired(claim)]);
        }
        let (cause, expires_at) = match &claim.state {
            // A held name needs no proof now. If its hostname was misrouted, a check updates the routing; a manual
            // check never puts a holding at risk.
            ClaimState::Held(_) if !claim.is_misrouted() => return Ok(vec![]),
            ClaimState::Initiated { .. } => (CheckCause::First, Some(self.deadline(&claim.holder))),
            _ => {
                self.not_too_soon(claim)?;
                (CheckCause::Manual, claim.expires_at())
            }
        };
        // A new number, so that a check that began before this request cannot settle it.
        let attempt = claim.next_attempt();
        Ok(vec![VerificationRequested { claim_id: claim.id, attempt, cause, expires_at, at: self.at }.into()])
    }

    fn not_too_soon(&self, claim: &Claim) -> Result<(), Rejection> {
        let last = claim.manual.last().copied().max(claim.last_check.as_ref().map(|c| c.at));
        let hour_ago = self.at - chrono::Duration::hours(1);
        let recent: Vec<At> = claim.manual.iter().copied().filter(|asked| *asked > hour_ago).collect();
        let gap_ends = last.map(|last| last + self.policy.manual_gap);
        let hour_ends = recent
            .len()
            .checked_sub(self.policy.manual_per_hour)
            .and_then(|over| recent.get(over))
            .map(|oldest| *oldest + chrono::Duration::hours(1));
        match gap_ends.max(hour_ends) {
            Some(again_at) if again_at > self.at => Err(Rejection::TooSoon { again_at }),
            _ => Ok(()),
        }
    }

    /// The end of a claim whose deadline passed.
    fn expired(&self, claim: &Claim) -> OwnershipEvent {
        ClaimExpired { claim_id: claim.id, reason: None, at: self.at }.into()
    }

    fn expire(&self, claim: &Claim) -> Decision {
        if !claim.is_overdue(self.at) {
            return Err(Rejection::NotDue);
        }
        Ok(vec![self.expired(claim)])
    }

    fn cancel(&self, claim: &Claim) -> Decision {
        if claim.is_held() {
            return Err(Rejection::AlreadyHeld);
        }
        Ok(vec![ClaimCancelled { claim_id: claim.id, at: self.at }.into()])
    }
}
