//! What happened to a claim, event by event, as its own workspace may see it.
use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use deed_claims::{
    CheckCause, CheckOutcome, CheckRecorded, ClaimId, ContestAnswer, ContestResolution, EndReason, Event,
    ExpiryReason, MissingCause, OwnershipEvent,
};
use deed_store::{Position, RecordedEvent};
use serde::Serialize;
use utoipa::ToSchema;

use super::evidence::EvidenceBody;
use super::view::DiagnosisBody;
use super::words::{CauseWord, OutcomeWord};

/// One thing that happened.
#[derive(Debug, Serialize, ToSchema)]
pub struct TimelineEntry {
    /// Its place in this claim's history: 1, 2, 3 and so on.
    pub sequence: u64,
    at: DateTime<Utc>,
    /// What happened, for programs, such as `check.recorded`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// What happened, in a sentence.
    message: String,
    /// With `check.recorded`: the check.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    check: Option<CheckBody>,
    /// Until when, where what happened runs out: a deadline, the end of a grace.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    until: Option<DateTime<Utc>>,
}

/// A check of the DNS.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Check)]
pub struct CheckBody {
    attempt: u32,
    #[schema(value_type = CauseWord)]
    cause: CheckCause,
    #[schema(value_type = OutcomeWord)]
    outcome: CheckOutcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    diagnosis: Option<DiagnosisBody>,
    evidence: EvidenceBody,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_check_at: Option<DateTime<Utc>>,
}

impl From<&CheckRecorded> for CheckBody {
    fn from(e: &CheckRecorded) -> Self {
        Self {
            attempt: e.attempt,
            cause: e.cause,
            outcome: e.outcome,
            diagnosis: e.diagnosis.as_ref().map(Into::into),
            evidence: (&*e.evidence).into(),
            next_check_at: e.next_check_at,
        }
    }
}

/// Reads a stream and picks what one claim may know.
pub struct Timeline {
    claim_id: ClaimId,
    // Claims that contest this one: it is told when that ends, and nothing else of them.
    challengers: BTreeSet<ClaimId>,
    // Entries so far. They are counted by claim: the stream's own numbers tell how much others do with the name.
    entries: u64,
}

impl Timeline {
    /// The timeline of one claim; to be fed with its stream from the beginning.
    pub fn of(claim_id: ClaimId) -> Self {
        Self { claim_id, challengers: BTreeSet::new(), entries: 0 }
    }

    /// The entry for the next event of the stream; none when it is not this claim's business.
    pub fn entry(&mut self, recorded: &RecordedEvent) -> Option<TimelineEntry> {
        let Event::Ownership(event) = &recorded.event else { return None };
        let message = if event.claim_id() == self.claim_id {
            own_message(event)
        } else {
            self.challengers_message(event)?
        };
        let (check, until) = match event {
            OwnershipEvent::CheckRecorded(e) => (Some(e.into()), None),
            OwnershipEvent::ClaimInitiated(e) => (None, Some(e.expires_at)),
            OwnershipEvent::VerificationRequested(e) => (None, e.expires_at),
            OwnershipEvent::ContestOpened(e) => (None, e.ends_at),
            OwnershipEvent::ProofMissing(e) => (None, e.lapses_at),
            _ => (None, None),
        };
        let kind = recorded.event.routing_key();
        self.entries += 1;
        Some(TimelineEntry { sequence: self.entries, at: event.at(), kind, message, check, until })
    }

    /// How far the log had come at the last of these events that is this claim's business.
    pub fn position(mut self, events: &[RecordedEvent]) -> Option<Position> {
        let own = events.iter().filter(|recorded| match &recorded.event {
            Event::Ownership(event) => {
                event.claim_id() == self.claim_id || self.challengers_message(event).is_some()
            }
            Event::App(_) => false,
        });
        own.map(|recorded| recorded.position).fold(None, |_, position| Some(position))
    }

    /// What the holder is told of an event of another's claim.
    fn challengers_message(&mut self, event: &OwnershipEvent) -> Option<String> {
        let text = match event {
            OwnershipEvent::ContestOpened(e) if e.holder_claim_id == self.claim_id => {
                self.challengers.insert(e.claim_id);
                "Another workspace has proven the name too. Answer the contest, or keep the record in place."
            }
            OwnershipEvent::ContestAnswered(e) if e.holder_claim_id == self.claim_id => match e.answer {
                ContestAnswer::Accept => "This workspace accepted that the name moves.",
                ContestAnswer::Dispute => "This workspace disputed the contest.",
            },
            OwnershipEvent::ContestResolved(e) if self.challengers.remove(&e.claim_id) => {
                match e.resolution {
                    ContestResolution::Granted => "The contest ended for the other workspace.",
                    ContestResolution::Refused => "The contest ended, and this workspace keeps the name.",
                }
            }
            _ => return None,
        };
        Some(text.to_owned())
    }
}

/// What a workspace is told of an event of its own claim.
fn own_message(event: &OwnershipEvent) -> String {
    let text = match event {
        OwnershipEvent::ClaimInitiated(e) => {
            return format!(
                "{} was claimed, with a record to publish at {}.",
                e.name, e.challenge.record_name
            );
        }
        OwnershipEvent::CheckRecorded(e) => {
            return e
                .diagnosis
                .as_ref()
                .map_or_else(|| "The record was found.".to_owned(), |d| d.message.clone());
        }
        OwnershipEvent::ClaimRefused(e) => return format!("The claim was refused: {}.", e.code.as_str()),
        OwnershipEvent::VerificationRequested(e) => match e.cause {
            CheckCause::First => "Verification was asked for; the DNS is watched from now on.",
            CheckCause::Manual | CheckCause::Schedule => "A check was asked for.",
        },
        OwnershipEvent::DomainVerified(_) => "The record was proven.",
        OwnershipEvent::ContestOpened(_) => "Another workspace has the name: a contest was opened.",
        OwnershipEvent::ContestAnswered(e) => match e.answer {
            ContestAnswer::Accept => "The present holder accepted that the name moves.",
            ContestAnswer::Dispute => "The present holder disputed the contest.",
        },
        OwnershipEvent::ContestResolved(e) => match e.resolution {
            ContestResolution::Granted => "The contest ended for this workspace.",
            ContestResolution::Refused => "The contest ended for the other workspace.",
        },
        OwnershipEvent::OwnershipGranted(_) => "This workspace has the name.",
        OwnershipEvent::DomainActivated(_) => "The name went into service.",
        OwnershipEvent::OwnershipEnded(e) => match e.reason {
            EndReason::Transferred => "The name moved to another workspace.",
            EndReason::Released => "The name was given up.",
            EndReason::Lapsed => "The record stayed missing, and the name was lost.",
            EndReason::Revoked => "An operator took the name from this workspace.",
        },
        OwnershipEvent::ProofMissing(e) => match e.cause {
            MissingCause::Absent => "The record is gone. Publish it again to keep the name.",
            MissingCause::Unreachable => {
                "The record could not be checked for a long time: the DNS gave no usable answer."
            }
        },
        OwnershipEvent::ProofRestored(_) => "The record is back.",
        OwnershipEvent::ClaimExpired(e) => match e.reason {
            Some(ExpiryReason::GaveWay) => {
                "Too many claims on the name had no record yet, and this one made room. Claim the name again for a new record."
            }
            None => "The record was not found in time; the claim has ended.",
        },
        OwnershipEvent::ClaimCancelled(_) => "The claim was cancelled.",
        OwnershipEvent::HoldingLocked(_) => "The name was locked: contests go to an operator.",
        OwnershipEvent::HoldingUnlocked(_) => "The name was unlocked.",
    };
    text.to_owned()
}
