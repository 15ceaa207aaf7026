//! Folds events into state. The fold is total: an event that does not apply to the state changes nothing.
use crate::Holder;
use crate::event::{
    CheckCause, CheckOutcome, CheckRecorded, ClaimInitiated, ContestOpened, ContestResolution, EndReason,
    MissingCause, OwnershipEvent, OwnershipGranted, ProofMissing, VerificationRequested,
};
use crate::ownership::{
    AtRisk, Claim, ClaimState, Contest, Ended, Held, LastCheck, LastRouting, Ownership, Pending,
};
use deed_diagnosis::EarlierValue;

/// The version of the fold. It changes whenever the same events give another state, so that states which an older version
/// kept are folded again.
pub const FOLD_VERSION: u64 = 2;

/// Values of a holder's earlier claims kept per claim: the newest.
const MAX_EARLIER_VALUES: usize = 16;
/// Times of manual checks kept per claim.
const MAX_MANUAL: usize = 100;

impl Ownership {
    /// The state after one more event.
    #[must_use]
    pub fn evolve(mut self, event: &OwnershipEvent) -> Self {
        if let OwnershipEvent::ClaimInitiated(e) = event {
            self.initiated(e);
            return self;
        }
        match event {
            OwnershipEvent::OwnershipGranted(e) => self.holding = Some(e.claim_id),
            OwnershipEvent::OwnershipEnded(e) if self.holding == Some(e.claim_id) => self.holding = None,
            _ => {}
        }
        if let Some(claim) = self.claims.get_mut(&event.claim_id())
            && claim.is_open()
        {
            claim.evolve(event);
            claim.updated_at = event.at();
            if !claim.is_open() {
                self.forget_ended(event.claim_id());
            }
        }
        self
    }

    /// Forgets the ended claims of a holder, and gives the values that it was told to publish for them, the newest last.
    fn take_earlier_values(&mut self, holder: &Holder) -> Vec<EarlierValue> {
        let ended = |claim: &Claim| !claim.is_open() && claim.holder == *holder;
        let mut values: Vec<EarlierValue> = vec![];
        for claim in self.claims.values().filter(|claim| ended(claim)) {
            values.extend(claim.earlier.iter().cloned());
            values.push(EarlierValue {
                value: claim.challenge.record_value.clone(),
                issued_at: claim.initiated_at,
            });
        }
        self.claims.retain(|_, claim| !ended(claim));
        values.sort_by(|one, other| (one.issued_at, &one.value).cmp(&(other.issued_at, &other.value)));
        values.split_off(values.len().saturating_sub(MAX_EARLIER_VALUES))
    }

    fn initiated(&mut self, e: &ClaimInitiated) {
        self.scope = Some(e.scope);
        self.name = Some(e.name.clone());
        let earlier = self.take_earlier_values(&e.holder);
        let claim = Claim {
            id: e.claim_id,
            holder: e.holder.clone(),
            requested: e.requested.clone(),
            region: e.region.clone(),
            challenge: e.challenge.clone(),
            initiated_at: e.at,
            updated_at: e.at,
            verified_at: None,
            attempts: 0,
            settled: 0,
            step: 0,
            last_check: None,
            pending: None,
            scheduled_at: None,
            manual: vec![],
            routing: None,
            seen: false,
            earlier,
            state: ClaimState::Initiated { expires_at: e.expires_at },
        };
        self.claims.insert(e.claim_id, claim);
    }
}

impl Claim {
    fn evolve(&mut self, event: &OwnershipEvent) {
        match event {
            // Handled by `Ownership::initiated`.
            OwnershipEvent::ClaimInitiated(_) => {}
            OwnershipEvent::VerificationRequested(e) => self.requested(e),
            OwnershipEvent::CheckRecorded(e) => self.checked(e),
            OwnershipEvent::DomainVerified(e) => {
                self.verified_at = self.verified_at.or(Some(e.at));
                self.state = ClaimState::Proven;
            }
            OwnershipEvent::ContestOpened(e) => self.contested(e),
            OwnershipEvent::ContestAnswered(e) => {
                if let ClaimState::Contesting(contest) = &mut self.state
                    && contest.holder_claim_id == e.holder_claim_id
                {
                    contest.answer = Some(e.answer);
                }
            }
            OwnershipEvent::ContestResolved(e) => match e.resolution {
                ContestResolution::Granted => self.state = ClaimState::Proven,
                ContestResolution::Refused => self.end(Ended::Refused, e.at),
            },
            OwnershipEvent::OwnershipGranted(e) => self.granted(e),
            OwnershipEvent::OwnershipEnded(e) => {
                let how = match e.reason {
                    EndReason::Transferred => Ended::Transferred,
                    EndReason::Released => Ended::Released,
                    EndReason::Lapsed => Ended::Lapsed,
                    EndReason::Revoked => Ended::Revoked,
                };
                self.end(how, e.at);
            }
            OwnershipEvent::ProofMissing(e) => self.missing(e),
            OwnershipEvent::ProofRestored(_) => {
                if let ClaimState::AtRisk { held, .. } = self.state {
                    self.state = ClaimState::Held(held);
                }
            }
            OwnershipEvent::ClaimExpired(e) => self.end(Ended::Expired, e.at),
            OwnershipEvent::ClaimCancelled(e) => self.end(Ended::Cancelled, e.at),
            OwnershipEvent::ClaimRefused(e) => self.end(Ended::Refused, e.at),
            OwnershipEvent::DomainActivated(_) => self.change_held(|held| held.awaits_activation = false),
            OwnershipEvent::HoldingLocked(_) => self.change_held(|held| held.locked = true),
            OwnershipEvent::HoldingUnlocked(_) => self.change_held(|held| held.locked = false),
        }
    }

    fn requested(&mut self, e: &VerificationRequested) {
        if let (ClaimState::Initiated { .. }, Some(expires_at)) = (&self.state, e.expires_at) {
            self.state = ClaimState::Verifying { expires_at };
        }
        self.pending = Some(Pending { attempt: e.attempt, cause: e.cause, due_at: e.at });
        self.manual.push(e.at);
        if self.manual.len() > MAX_MANUAL {
            self.manual.remove(0);
        }
    }

    fn checked(&mut self, e: &CheckRecorded) {
        self.attempts = self.attempts.saturating_add(1);
        self.settled = e.attempt;
        self.scheduled_at = e.next_check_at;
        if let Some(routing) = e.evidence.routing.clone() {
            self.routing = Some(LastRouting { routing, at: e.at });
        }
        let contesting = matches!(self.state, ClaimState::Contesting(_));
        self.step = match (e.outcome, e.cause) {
            // The pauses of a contest grow with every check, whatever its outcome.
            (CheckOutcome::Proven, _) if !contesting => 0,
            (_, CheckCause::Manual) => self.step,
            _ => self.step.saturating_add(1),
        };
        self.seen = match e.outcome {
            CheckOutcome::Unknown => self.seen || e.evidence.shows(&self.challenge),
            _ => e.evidence.shows(&self.challenge),
        };
        self.last_check = Some(LastCheck { at: e.at, outcome: e.outcome, diagnosis: e.diagnosis.clone() });
        self.pending = e.next_check_at.map(|due_at| Pending {
            attempt: e.attempt.saturating_add(1),
            cause: CheckCause::Schedule,
            due_at,
        });
        let conclusive = matches!(e.outcome, CheckOutcome::Proven | CheckOutcome::Absent);
        self.change_held(|held| {
            held.unreachable_since = if conclusive { None } else { held.unreachable_since.or(Some(e.at)) };
        });
    }

    fn contested(&mut self, e: &ContestOpened) {
        self.state = ClaimState::Contesting(Contest {
            holder_claim_id: e.holder_claim_id,
            cause: e.cause,
            opened_at: e.at,
            ends_at: e.ends_at,
            answer: None,
        });
        self.schedule_check(e.next_check_at);
    }

    fn granted(&mut self, e: &OwnershipGranted) {
        self.state = ClaimState::Held(Held {
            since: e.at,
            locked: false,
            awaits_activation: e.awaits_activation,
            unreachable_since: None,
        });
        self.step = 0;
        self.schedule_check(e.next_check_at);
    }

    fn missing(&mut self, e: &ProofMissing) {
        let Some(held) = self.held().copied() else { return };
        if e.cause == MissingCause::Absent {
            // The check that found the absence was the first of its schedule.
            self.step = 1;
        }
        let risk = AtRisk { cause: e.cause, since: e.at, lapses_at: e.lapses_at };
        self.state = ClaimState::AtRisk { held, risk };
    }

    fn schedule_check(&mut self, due_at: chrono::DateTime<chrono::Utc>) {
        let attempt = self.next_attempt();
        self.pending = Some(Pending { attempt, cause: CheckCause::Schedule, due_at });
        self.scheduled_at = Some(due_at);
    }

    fn end(&mut self, how: Ended, at: chrono::DateTime<chrono::Utc>) {
        (self.pending, self.scheduled_at) = (None, None);
        self.state = ClaimState::Ended { how, at };
    }

    fn change_held(&mut self, change: impl FnOnce(&mut Held)) {
        match &mut self.state {
            ClaimState::Held(held) | ClaimState::AtRisk { held, .. } => change(held),
            _ => {}
        }
    }
}
