//! What a finished check means in each state of a claim.
use super::{Case, Decision};
use crate::command::Rejection;
use crate::event::{
    CheckCause, CheckOutcome, CheckRecorded, ClaimRefused, DomainVerified, EndReason, MissingCause,
    OwnershipEvent, ProofMissing, ProofRestored,
};
use crate::{AtRisk, Claim, ClaimState, Class, Contest, Evidence, Held, Outcome, Pending, schedule};

/// The finding in the words of the log; none for our own trouble, which is not the claim's business.
fn found(outcome: &Outcome) -> Option<CheckOutcome> {
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

/// One check about to be recorded.
pub(super) struct Finding<'a> {
    pub claim: &'a Claim,
    pending: Pending,
    pub outcome: CheckOutcome,
    pub holder_record: Option<CheckOutcome>,
    record: CheckRecorded,
}

impl Finding<'_> {
    /// The record of the check, with the time of the next one.
    pub fn recorded(self, next_check_at: Option<super::At>) -> OwnershipEvent {
        CheckRecorded { next_check_at, ..self.record }.into()
    }

    pub fn attempt(&self) -> u32 {
        self.pending.attempt
    }

    fn is_manual(&self) -> bool {
        self.pending.cause == CheckCause::Manual
    }
}

impl Case<'_> {
    pub(super) fn record_check(
        &self,
        claim: &Claim,
        attempt: u32,
        outcome: &Outcome,
        holder_outcome: Option<&Outcome>,
        evidence: Evidence,
    ) -> Decision {
        let pending = claim.pending.filter(|p| p.attempt == attempt).ok_or(Rejection::StaleAttempt)?;
        let Some(result) = found(outcome) else {
            return Ok(vec![]);
        };
        let holder_record = holder_outcome.map(|o| found(o).unwrap_or(CheckOutcome::Unknown));
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
        let finding = Finding { claim, pending, outcome: result, holder_record, record };
        match (&claim.state, refused_for) {
            (ClaimState::Held(held), _) => Ok(self.check_held(finding, *held)),
            (ClaimState::AtRisk { risk, .. }, _) => Ok(self.check_at_risk(finding, *risk)),
            (_, Some(code)) if result == CheckOutcome::Refused => {
                let refused = ClaimRefused { claim_id: claim.id, code, at: self.at };
                Ok(vec![finding.recorded(None), refused.into()])
            }
            (ClaimState::Contesting(contest), _) => Ok(self.check_contest(finding, *contest)),
            _ => Ok(self.check_watched(finding)),
        }
    }

    /// A pause that ends no later than what stands in the way: a resolver's memory of an older answer. Said again by the
    /// next check, it is waited for no oftener than at the begin of watching, for it may be said for ever.
    fn until_clear(&self, finding: &Finding<'_>, pause: chrono::Duration) -> chrono::Duration {
        let Some(left) = finding.record.diagnosis.as_ref().and_then(|d| d.clears_in) else { return pause };
        let before = finding.claim.last_check.as_ref().and_then(|check| check.diagnosis.as_ref());
        let again = before.is_some_and(|d| d.clears_in.is_some());
        let least = if again { self.policy.watch_first } else { schedule::SHORTEST };
        pause.min(chrono::Duration::seconds(left.into()).max(least))
    }

    /// When to look again. A manual check leaves the schedule as it was; one that came in the way of a scheduled check
    /// is followed by it soon.
    fn next(&self, finding: &Finding<'_>, pause: chrono::Duration) -> super::At {
        let clear = self.until_clear(finding, pause);
        if !finding.is_manual() {
            return self.at + clear;
        }
        let soon = self.at + clear.min(self.policy.watch_first);
        let scheduled = finding.claim.scheduled_at.filter(|scheduled| *scheduled > self.at).unwrap_or(soon);
        if clear < pause { scheduled.min(self.at + clear) } else { scheduled }
    }

    fn check_watched(&self, finding: Finding<'_>) -> Vec<OwnershipEvent> {
        let (claim, attempt) = (finding.claim, finding.attempt());
        if finding.outcome == CheckOutcome::Proven {
            let holder_record = finding.holder_record;
            let verified = DomainVerified { claim_id: claim.id, attempt, at: self.at };
            let mut events = vec![finding.recorded(None), verified.into()];
            events.extend(self.settle_proven(claim, attempt, holder_record));
            return events;
        }
        if claim.is_overdue(self.at) {
            return vec![finding.recorded(None), self.expired(claim)];
        }
        let pause = schedule::after_watch(self.policy, claim.id, attempt, claim.step);
        let next =
            Some(self.next(&finding, pause)).filter(|next| claim.expires_at().is_none_or(|end| *next < end));
        vec![finding.recorded(next)]
    }

    fn check_contest(&self, finding: Finding<'_>, contest: Contest) -> Vec<OwnershipEvent> {
        let (claim, attempt, step) = (finding.claim, finding.attempt(), finding.claim.step);
        let another_holds = self.ownership.holding.is_some_and(|holding| holding != contest.holder_claim_id);
        if another_holds && finding.outcome == CheckOutcome::Proven {
            // Whom the contest was with has left; what the new holder may expect begins anew.
            let holder_record = finding.holder_record;
            let mut events = vec![finding.recorded(None)];
            events.extend(self.settle_proven(claim, attempt, holder_record));
            return events;
        }
        if let Some((resolution, by)) = self.contest_verdict(&contest, finding.outcome, finding.holder_record)
        {
            let mut events = vec![finding.recorded(None)];
            events.extend(self.resolve_as(claim, attempt, resolution, by));
            return events;
        }
        // With the grace over, or nobody but an operator to decide, there is no hurry.
        let pause = if contest.ends_at.is_some_and(|end| end > self.at) {
            schedule::after_contest(self.policy, claim.id, attempt, step)
        } else {
            schedule::after_watch(self.policy, claim.id, attempt, step)
        };
        let next = self.next(&finding, pause);
        let ends = [contest.ends_at, contest.refused_at()];
        let next = ends.into_iter().flatten().filter(|end| *end > self.at).fold(next, super::At::min);
        vec![finding.recorded(Some(next))]
    }

    fn check_held(&self, finding: Finding<'_>, held: Held) -> Vec<OwnershipEvent> {
        let (claim, attempt) = (finding.claim, finding.attempt());
        let regular = self.at + schedule::after_held(self.policy, claim.id, attempt);
        if finding.outcome == CheckOutcome::Proven || finding.is_manual() {
            return vec![finding.recorded(Some(regular))];
        }
        let absent = finding.outcome == CheckOutcome::Absent;
        let pause = self.pause_missing(claim, attempt, absent);
        let soon = self.at + self.until_clear(&finding, pause);
        let missing =
            |cause, lapses_at| ProofMissing { claim_id: claim.id, cause, lapses_at, at: self.at }.into();
        if absent {
            let lapses_at = Some(self.at + self.policy.drift_grace);
            return vec![finding.recorded(Some(soon)), missing(MissingCause::Absent, lapses_at)];
        }
        let mut events = vec![finding.recorded(Some(soon))];
        if held.unreachable_since.is_some_and(|since| self.at - since >= self.policy.unreachable_after) {
            events.push(missing(MissingCause::Unreachable, None));
        }
        events
    }

    /// The pause while a proof is missing; it begins anew when the record turns out to be gone, however often the servers
    /// could not be reached before.
    fn pause_missing(&self, claim: &Claim, attempt: u32, begins: bool) -> chrono::Duration {
        let step = if begins { 0 } else { claim.step };
        schedule::after_missing(self.policy, claim.id, attempt, step)
    }

    fn check_at_risk(&self, finding: Finding<'_>, risk: AtRisk) -> Vec<OwnershipEvent> {
        let (claim, attempt) = (finding.claim, finding.attempt());
        if finding.outcome == CheckOutcome::Proven {
            let regular = self.at + schedule::after_held(self.policy, claim.id, attempt);
            return vec![
                finding.recorded(Some(regular)),
                ProofRestored { claim_id: claim.id, at: self.at }.into(),
            ];
        }
        let absent = finding.outcome == CheckOutcome::Absent && !finding.is_manual();
        let pause = self.pause_missing(claim, attempt, absent && risk.lapses_at.is_none());
        let soon = self.next(&finding, pause);
        match risk.lapses_at {
            Some(end) if absent && self.at >= end => {
                let mut events = vec![finding.recorded(None)];
                events.extend(self.end_holding(claim, EndReason::Lapsed));
                events
            }
            Some(end) if end > self.at => vec![finding.recorded(Some(soon.min(end)))],
            None if absent => {
                let lapses_at = Some(self.at + self.policy.drift_grace);
                let cause = MissingCause::Absent;
                let missing = ProofMissing { claim_id: claim.id, cause, lapses_at, at: self.at };
                vec![finding.recorded(Some(soon)), missing.into()]
            }
            _ => vec![finding.recorded(Some(soon))],
        }
    }
}
