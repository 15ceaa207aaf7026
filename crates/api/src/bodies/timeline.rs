//! The history of a claim from its events, as its own workspace sees it.
use chrono::{DateTime, Utc};
use deed_claims::{
    CheckCause, CheckOutcome, CheckRecorded, ClaimId, ContestAnswer, ContestResolution, EndReason, Event,
    ExpiryReason, MissingCause, OwnershipEvent,
};
use deed_diagnosis::Diagnosis;
use deed_store::RecordedEvent;

use super::schemas::{CauseSchema, OutcomeSchema};
use super::{Claimant, in_both_contracts};

in_both_contracts! {
    [with diagnosis::DiagnosisBody, evidence::EvidenceBody]

    /// One thing that happened.
    TimelineEntry as TimelineEntry in Workspace and AppTimelineEntry in Apps {
        /// Its place in this claim's history: 1, 2, 3 and so on.
        sequence: u64,
        at: DateTime<Utc>,
        /// What happened, for programs, such as `check.recorded`.
        #[serde(rename = "type")]
        kind: &'static str,
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
    CheckBody as Check in Workspace and AppCheck in Apps {
        attempt: u32,
        #[schema(value_type = CauseSchema)]
        cause: CheckCause,
        #[schema(value_type = OutcomeSchema)]
        outcome: CheckOutcome,
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        diagnosis: Option<DiagnosisBody>,
        evidence: EvidenceBody,
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        next_check_at: Option<DateTime<Utc>>,
    }
}

/// A timeline entry before it is rendered for a contract.
pub struct NeutralEntry<'a> {
    sequence: u64,
    at: DateTime<Utc>,
    kind: &'static str,
    message: String,
    check: Option<&'a CheckRecorded>,
    until: Option<DateTime<Utc>>,
}

macro_rules! impl_from_entry {
    ($($case:ident)*) => {$(
        impl From<NeutralEntry<'_>> for $case::TimelineEntry {
            fn from(entry: NeutralEntry<'_>) -> Self {
                let NeutralEntry { sequence, at, kind, message, check, until } = entry;
                Self { sequence, at, kind, message, check: check.map(Into::into), until }
            }
        }

        impl From<&CheckRecorded> for $case::CheckBody {
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
    )*};
}
impl_from_entry! { camel snake }

/// A page of a timeline.
pub struct TimelinePage<T> {
    /// Its entries, the oldest first.
    pub entries: Vec<T>,
    /// The cursor of the next page, when there are more entries.
    pub next: Option<String>,
}

/// Shows the history of one claim to its claimant.
pub struct Timeline {
    claim_id: ClaimId,
    claimant: Claimant,
}

impl Timeline {
    /// The timeline of one claim.
    pub fn of(claim_id: ClaimId, claimant: Claimant) -> Self {
        Self { claim_id, claimant }
    }

    /// A page of the entries after a sequence number; `events` are those of the history after that number, one more than
    /// the page holds where there are more.
    pub fn page<'a, T: From<NeutralEntry<'a>>>(
        self,
        events: &'a [RecordedEvent],
        after: u64,
        limit: usize,
    ) -> TimelinePage<T> {
        // Entries are counted by claim: the stream's versions would reveal the activity of others.
        let numbered = events.iter().zip(after + 1..);
        let page = numbered.filter_map(|(event, sequence)| self.entry(event, sequence));
        let mut page: Vec<_> = page.collect();
        let more = page.len() > limit;
        page.truncate(limit);
        let next = page.last().filter(|_| more).map(|entry| entry.sequence.to_string());
        TimelinePage { entries: page.into_iter().map(Into::into).collect(), next }
    }

    fn entry<'a>(&self, recorded: &'a RecordedEvent, sequence: u64) -> Option<NeutralEntry<'a>> {
        let Event::Ownership(event) = &recorded.event else { return None };
        let message = if event.claim_id() == self.claim_id {
            own_message(event, self.claimant)
        } else {
            contest_message(event, self.claimant)?
        };
        let (check, until) = match event {
            OwnershipEvent::CheckRecorded(e) => (Some(e), None),
            OwnershipEvent::ClaimInitiated(e) => (None, Some(e.expires_at)),
            OwnershipEvent::VerificationRequested(e) => (None, e.expires_at),
            OwnershipEvent::ContestOpened(e) => (None, e.ends_at),
            OwnershipEvent::ProofMissing(e) => (None, e.lapses_at),
            _ => (None, None),
        };
        let kind = recorded.event.routing_key();
        Some(NeutralEntry { sequence, at: event.at(), kind, message, check, until })
    }
}

/// The message to a holder about an event of a challenger's claim.
fn contest_message(event: &OwnershipEvent, who: Claimant) -> Option<String> {
    Some(match event {
        OwnershipEvent::ContestOpened(_) => format!(
            "Another {who} has proven the name too. Keep the record in place: while it stands, the name stays."
        ),
        OwnershipEvent::ContestAnswered(e) => match e.answer {
            ContestAnswer::Accept => format!("This {who} accepted that the name moves."),
            ContestAnswer::Dispute => format!("This {who} disputed the contest."),
        },
        OwnershipEvent::ContestResolved(e) => match e.resolution {
            ContestResolution::Granted => format!("The contest ended for the other {who}."),
            ContestResolution::Refused => format!("The contest ended, and this {who} keeps the name."),
        },
        _ => return None,
    })
}

/// The message to a claimant about an event of its own claim.
fn own_message(event: &OwnershipEvent, who: Claimant) -> String {
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
                .map_or_else(|| "The record was found.".to_owned(), Diagnosis::message);
        }
        OwnershipEvent::ClaimRefused(e) => return format!("The claim was refused: {}.", e.code.as_str()),
        OwnershipEvent::VerificationRequested(e) => match e.cause {
            CheckCause::First => "Verification was asked for; the DNS is watched from now on.",
            CheckCause::Manual | CheckCause::Schedule => "A check was asked for.",
        },
        OwnershipEvent::DomainVerified(_) => "The record was proven.",
        OwnershipEvent::ContestOpened(_) => {
            return format!("Another {who} has the name: a contest was opened.");
        }
        OwnershipEvent::ContestAnswered(e) => match e.answer {
            ContestAnswer::Accept => "The present holder accepted that the name moves.",
            ContestAnswer::Dispute => "The present holder disputed the contest.",
        },
        OwnershipEvent::ContestResolved(e) => match e.resolution {
            ContestResolution::Granted => return format!("The contest ended for this {who}."),
            ContestResolution::Refused => return format!("The contest ended for the other {who}."),
        },
        OwnershipEvent::OwnershipGranted(_) => return format!("This {who} has the name."),
        OwnershipEvent::DomainActivated(_) => "The name went into service.",
        OwnershipEvent::OwnershipEnded(e) => match e.reason {
            EndReason::Transferred => return format!("The name moved to another {who}."),
            EndReason::Released => "The name was given up.",
            EndReason::Lapsed => "The record stayed missing, and the name was lost.",
            EndReason::Revoked => return format!("An operator took the name from this {who}."),
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
