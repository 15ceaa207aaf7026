//! Decides what the outcome of a check means in each state of a claim.
use super::{At, Decider, Decision};
use crate::command::Rejection;
use crate::event::{
    CheckCause, CheckOutcome, CheckRecorded, ClaimRefused, DomainVerified, EndReason, MissingCause,
    OwnershipEvent, ProofMissing, ProofRestored,
};
use crate::{AtRisk, Claim, ClaimState, Contest, Held, Pending, schedule};
use deed_diagnosis::{Class, Evidence, Outcome};

/// The outcome as the log has it; none for an internal failure, which never touches a claim.
fn check_outcome(outcome: &Outcome) -> Option<CheckOutcome> {
    match outcome {
        Outcome::Proven => Some(CheckOutcome::Proven),
        Outcome::NotProven(diagnosis) => match diagnosis.class {
            Class::Internal => None,
            Class::Transient => Some(CheckOutcome::Unknown),
            Class::Permanent => Some(CheckOutcome::Refused),
            Class::Waiting if diagnosis.code.is_absence() => Some(CheckOutcome::Absent),
            Class::Waiting => Some(CheckOutcome::Blocked),
        },
    }
}

/// A check that is not recorded yet.
pub(super) struct UnrecordedCheck<'a> {
    pub claim: &'a Claim,
    pending: Pending,
    pub outcome: CheckOutcome,
    pub holder_record: Option<CheckOutcome>,
    record: CheckRecorded,
}

impl UnrecordedCheck<'_> {
    /// The event that records the check, with the time of the next one.
    pub fn recorded(self, next_check_at: Option<At>) -> OwnershipEvent {
        CheckRecorded { next_check_at, ..self.record }.into()
    }

    pub fn attempt(&self) -> u32 {
        self.pending.attempt
    }

    fn is_manual(&self) -> bool {
        self.pending.cause == CheckCause::Manual
    }
}

impl Decider<'_> {
    pub(super) fn record_check(
        &self,
        claim: &Claim,
        attempt: u32,
        outcome: &Outcome,
        holder_outcome: Option<&Outcome>,
        evidence: Evidence,
    ) -> Decision {
        let pending = claim.pending.filter(|p| p.attempt == attempt).ok_or(Rejection::StaleAttempt)?;
        let Some(result) = check_outcome(outcome) else {
            return Ok(vec![]);
        };
        let holder_record = holder_outcome.map(|o| check_outcome(o).unwrap_or(CheckOutcome::Unknown));
        let diagnosis = match outcome {
            Outcome::Proven => None,
            Outcome::NotProven(diagnosis) => Some(diagnosis.clone()),
        };
        let refused_for = diagnosis.as_ref().map(|d| d.code);
        let record = CheckRecorded {
            claim_id: claim.id,
            attempt,
            cause: pending.cause,
            outcome: result,
            diagnosis,
            evidence: Box::new(evidence),
            holder_record,
            next_check_at: None,
            at: self.at,
        };
        let check = UnrecordedCheck { claim, pending, outcome: result, holder_record, record };
        match (&claim.state, refused_for) {
            (ClaimState::Held(held), _) => Ok(self.check_held(check, *held)),
            (ClaimState::AtRisk { risk, .. }, _) => Ok(self.check_at_risk(check, *risk)),
            (_, Some(code)) if result == CheckOutcome::Refused => {
                let refused = ClaimRefused { claim_id: claim.id, code, at: self.at };
                Ok(vec![check.recorded(None), refused.into()])
            }
            (ClaimState::Contesting(contest), _) => Ok(self.check_contest(check, *contest)),
            _ => Ok(self.check_watched(check)),
        }
    }

    /// The pause, shortened to the time at which a negative answer leaves a resolver's cache. If the check before
    /// reported one as well, the pause is at least the first of the schedule, since a resolver may report it for ever.
    fn pause_until_clear(&self, check: &UnrecordedCheck<'_>, pause: chrono::Duration) -> chrono::Duration {
        let Some(left) = check.record.diagnosis.as_ref().and_then(|d| d.clears_in) else { return pause };
        let previous = check.claim.last_check.as_ref().and_then(|last| last.diagnosis.as_ref());
        let again = previous.is_some_and(|d| d.clears_in.is_some());
        let least = if again { self.policy.watch_first } else { schedule::SHORTEST };
        pause.min(chrono::Duration::seconds(left.into()).max(least))
    }

    /// The time of the next check. A manual check leaves the schedule as it was; a scheduled check that it delayed
    /// follows soon.
    fn next_check_at(&self, check: &UnrecordedCheck<'_>, pause: chrono::Duration) -> At {
        let clear = self.pause_until_clear(check, pause);
        if !check.is_manual() {
            return self.at + clear;
        }
        let soon = self.at + clear.min(self.policy.watch_first);
        let scheduled = check.claim.scheduled_at.filter(|scheduled| *scheduled > self.at).unwrap_or(soon);
        if clear < pause { scheduled.min(self.at + clear) } else { scheduled }
    }

    fn check_watched(&self, check: UnrecordedCheck<'_>) -> Vec<OwnershipEvent> {
        let (claim, attempt) = (check.claim, check.attempt());
        if check.outcome == CheckOutcome::Proven {
            let holder_record = check.holder_record;
            let verified = DomainVerified { claim_id: claim.id, attempt, at: self.at };
            let mut events = vec![check.recorded(None), verified.into()];
            events.extend(self.settle_proven(claim, attempt, holder_record));
            return events;
        }
        if claim.is_overdue(self.at) {
            return vec![check.recorded(None), self.expired(claim)];
        }
        let pause = schedule::after_watch(self.policy, claim.id, attempt, claim.step);
        let next = Some(self.next_check_at(&check, pause))
            .filter(|next| claim.expires_at().is_none_or(|end| *next < end));
        vec![check.recorded(next)]
    }

    fn check_contest(&self, check: UnrecordedCheck<'_>, contest: Contest) -> Vec<OwnershipEvent> {
        let (claim, attempt, step) = (check.claim, check.attempt(), check.claim.step);
        let another_holds = self.ownership.holding.is_some_and(|holding| holding != contest.holder_claim_id);
        if another_holds && check.outcome == CheckOutcome::Proven {
            // The holder of this contest has left; a contest with the new holder begins anew.
            let holder_record = check.holder_record;
            let mut events = vec![check.recorded(None)];
            events.extend(self.settle_proven(claim, attempt, holder_record));
            return events;
        }
        if let Some((resolution, by)) = self.contest_resolution(&contest, check.outcome, check.holder_record)
        {
            let mut events = vec![check.recorded(None)];
            events.extend(self.resolve_as(claim, attempt, resolution, by));
            return events;
        }
        // After the grace period, or where only an operator can decide, checks are less frequent.
        let pause = if contest.ends_at.is_some_and(|end| end > self.at) {
            schedule::after_contest(self.policy, claim.id, attempt, step)
        } else {
            schedule::after_watch(self.policy, claim.id, attempt, step)
        };
        let next = self.next_check_at(&check, pause);
        let ends = [contest.ends_at, contest.refused_at()];
        let next = ends.into_iter().flatten().filter(|end| *end > self.at).fold(next, At::min);
        vec![check.recorded(Some(next))]
    }

    fn check_held(&self, check: UnrecordedCheck<'_>, held: Held) -> Vec<OwnershipEvent> {
        let (claim, attempt) = (check.claim, check.attempt());
        let regular = self.at + schedule::after_held(self.policy, claim.id, attempt);
        if check.outcome == CheckOutcome::Proven || check.is_manual() {
            return vec![check.recorded(Some(regular))];
        }
        let absent = check.outcome == CheckOutcome::Absent;
        let pause = self.pause_missing(claim, attempt, absent);
        let soon = self.at + self.pause_until_clear(&check, pause);
        let missing =
            |cause, lapses_at| ProofMissing { claim_id: claim.id, cause, lapses_at, at: self.at }.into();
        if absent {
            let lapses_at = Some(self.at + self.policy.drift_grace);
            return vec![check.recorded(Some(soon)), missing(MissingCause::Absent, lapses_at)];
        }
        let mut events = vec![check.recorded(Some(soon))];
        if held.unreachable_since.is_some_and(|since| self.at - since >= self.policy.unreachable_after) {
            events.push(missing(MissingCause::Unreachable, None));
        }
        events
    }

    /// The pause while a proof is missing. It starts again from the first one when the record is found absent after the
    /// servers were unreachable.
    fn pause_missing(&self, claim: &Claim, attempt: u32, restart: bool) -> chrono::Duration {
        let step = if restart { 0 } else { claim.step };
        schedule::after_missing(self.policy, claim.id, attempt, step)
    }

    fn check_at_risk(&self, check: UnrecordedCheck<'_>, risk: AtRisk) -> Vec<OwnershipEvent> {
        let (claim, attempt) = (check.claim, check.attempt());
        if check.outcome == CheckOutcome::Proven {
            let regular = self.at + schedule::after_held(self.policy, claim.id, attempt);
            return vec![
                check.recorded(Some(regular)),
                ProofRestored { claim_id: claim.id, at: self.at }.into(),
            ];
        }
        let absent = check.outcome == CheckOutcome::Absent && !check.is_manual();
        let pause = self.pause_missing(claim, attempt, absent && risk.lapses_at.is_none());
        let soon = self.next_check_at(&check, pause);
        match risk.lapses_at {
            Some(end) if absent && self.at >= end => {
                let mut events = vec![check.recorded(None)];
                events.extend(self.end_holding(claim, EndReason::Lapsed));
                events
            }
            Some(end) if end > self.at => vec![check.recorded(Some(soon.min(end)))],
            None if absent => {
                let lapses_at = Some(self.at + self.policy.drift_grace);
                let cause = MissingCause::Absent;
                let missing = ProofMissing { claim_id: claim.id, cause, lapses_at, at: self.at };
                vec![check.recorded(Some(soon)), missing.into()]
            }
            _ => vec![check.recorded(Some(soon))],
        }
    }
}
