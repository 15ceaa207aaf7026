//! Everything that can have happened: past tense, one struct each, schema-numbered. A shipped schema is never edited: a
//! kind that has to change gets the next number, and [`crate::upcast`] a step to it.
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::app::{AppCreated, AppDeleted, AppDomainAdded, AppDomainRemoved, AppEvent, SlugFreed, SlugTaken};
use crate::name::DomainName;
use crate::{Challenge, ClaimId, Code, Diagnosis, Evidence, Holder, Scope, upcast};

type At = DateTime<Utc>;

/// A stored event that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// The kind and schema are not known to this version.
    #[error("unknown event {kind} schema {schema}")]
    Unknown {
        /// The kind as stored.
        kind: String,
        /// The schema number as stored.
        schema: u16,
    },
    /// The payload does not fit its kind.
    #[error("the payload of {kind} cannot be read")]
    Payload {
        /// The kind as stored.
        kind: &'static str,
        /// What serde says.
        #[source]
        source: serde_json::Error,
    },
}

fn unknown(kind: &str, schema: u16) -> EventError {
    EventError::Unknown { kind: kind.chars().take(64).collect(), schema }
}

/// Reads the payload of a known kind, whose newest schema is `newest`.
fn read<E: DeserializeOwned>(
    payload: &str,
    kind: &'static str,
    schema: u16,
    newest: u16,
) -> Result<E, EventError> {
    let read = if schema == newest {
        serde_json::from_str(payload)
    } else if (1..newest).contains(&schema) {
        serde_json::from_str(payload)
            .map(|value| upcast(kind, schema, value))
            .and_then(serde_json::from_value)
    } else {
        return Err(unknown(kind, schema));
    };
    read.map_err(|source| EventError::Payload { kind, source })
}

macro_rules! events {
    ($($group:ident($inner:ident): $($name:ident = $route:literal $schema:literal),+;)+) => {
        /// Any event of the log.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Event {
            /// About claims on one name and its holder.
            Ownership(OwnershipEvent),
            /// About an app or a slug.
            App(AppEvent),
        }

        impl Event {
            /// Every kind with its routing key.
            pub const KINDS: &'static [(&'static str, &'static str)] = &[$($((stringify!($name), $route)),+),+];

            /// The newest schema of a kind; none for a kind that this version does not know.
            pub fn newest_schema(kind: &str) -> Option<u16> {
                match kind { $($(stringify!($name) => Some($schema),)+)+ _ => None }
            }

            /// The kind as stored: the name of the struct.
            pub fn kind(&self) -> &'static str {
                match self { $($(Self::$group($inner::$name(_)) => stringify!($name)),+),+ }
            }

            /// The routing key on the bus.
            pub fn routing_key(&self) -> &'static str {
                match self { $($(Self::$group($inner::$name(_)) => $route),+),+ }
            }

            /// The schema number of the payload: the newest of its kind.
            pub fn schema(&self) -> u16 {
                match self { $($(Self::$group($inner::$name(_)) => $schema),+),+ }
            }

            /// The payload as JSON.
            ///
            /// # Errors
            /// Never for events made by this crate; serde's signature allows one.
            pub fn payload(&self) -> Result<String, serde_json::Error> {
                match self { $($(Self::$group($inner::$name(e)) => serde_json::to_string(e)),+),+ }
            }

            /// Reads a stored event; one of an older schema is brought to the newest first.
            ///
            /// # Errors
            /// When the kind is unknown, the schema newer than this version, or the payload does not fit.
            pub fn from_parts(kind: &str, schema: u16, payload: &str) -> Result<Self, EventError> {
                match kind {
                    $($(stringify!($name) => read(payload, stringify!($name), schema, $schema)
                        .map(|e| Self::$group($inner::$name(e))),)+)+
                    _ => Err(unknown(kind, schema)),
                }
            }
        }

        $($(impl From<$name> for $inner { fn from(e: $name) -> Self { Self::$name(e) } }
            impl From<$name> for Event { fn from(e: $name) -> Self { Self::$group($inner::$name(e)) } })+
        impl From<$inner> for Event { fn from(e: $inner) -> Self { Self::$group(e) } })+
    };
}

events! {
    Ownership(OwnershipEvent):
        ClaimInitiated = "claim.initiated" 1,
        VerificationRequested = "verification.requested" 1,
        CheckRecorded = "check.recorded" 2,
        DomainVerified = "domain.verified" 1,
        ContestOpened = "contest.opened" 1,
        ContestAnswered = "contest.answered" 1,
        ContestResolved = "contest.resolved" 1,
        OwnershipGranted = "ownership.granted" 1,
        DomainActivated = "domain.activated" 1,
        OwnershipEnded = "ownership.ended" 1,
        ProofMissing = "proof.missing" 1,
        ProofRestored = "proof.restored" 1,
        ClaimExpired = "claim.expired" 1,
        ClaimCancelled = "claim.cancelled" 1,
        ClaimRefused = "claim.refused" 1,
        HoldingLocked = "holding.locked" 1,
        HoldingUnlocked = "holding.unlocked" 1;
    App(AppEvent):
        AppCreated = "app.created" 1,
        AppDomainAdded = "app.domain_added" 1,
        AppDomainRemoved = "app.domain_removed" 1,
        AppDeleted = "app.deleted" 1,
        SlugTaken = "slug.taken" 1,
        SlugFreed = "slug.freed" 1;
}

/// An event in the stream of a contested name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is documented at the struct it carries")]
pub enum OwnershipEvent {
    ClaimInitiated(ClaimInitiated),
    VerificationRequested(VerificationRequested),
    CheckRecorded(CheckRecorded),
    DomainVerified(DomainVerified),
    ContestOpened(ContestOpened),
    ContestAnswered(ContestAnswered),
    ContestResolved(ContestResolved),
    OwnershipGranted(OwnershipGranted),
    DomainActivated(DomainActivated),
    OwnershipEnded(OwnershipEnded),
    ProofMissing(ProofMissing),
    ProofRestored(ProofRestored),
    ClaimExpired(ClaimExpired),
    ClaimCancelled(ClaimCancelled),
    ClaimRefused(ClaimRefused),
    HoldingLocked(HoldingLocked),
    HoldingUnlocked(HoldingUnlocked),
}

impl OwnershipEvent {
    /// The claim the event is about.
    pub fn claim_id(&self) -> ClaimId {
        match self {
            Self::ClaimInitiated(e) => e.claim_id,
            Self::VerificationRequested(e) => e.claim_id,
            Self::CheckRecorded(e) => e.claim_id,
            Self::DomainVerified(e) => e.claim_id,
            Self::ContestOpened(e) => e.claim_id,
            Self::ContestAnswered(e) => e.claim_id,
            Self::ContestResolved(e) => e.claim_id,
            Self::OwnershipGranted(e) => e.claim_id,
            Self::DomainActivated(e) => e.claim_id,
            Self::OwnershipEnded(e) => e.claim_id,
            Self::ProofMissing(e) => e.claim_id,
            Self::ProofRestored(e) => e.claim_id,
            Self::ClaimExpired(e) => e.claim_id,
            Self::ClaimCancelled(e) => e.claim_id,
            Self::ClaimRefused(e) => e.claim_id,
            Self::HoldingLocked(e) => e.claim_id,
            Self::HoldingUnlocked(e) => e.claim_id,
        }
    }

    /// When it happened.
    pub fn at(&self) -> At {
        match self {
            Self::ClaimInitiated(e) => e.at,
            Self::VerificationRequested(e) => e.at,
            Self::CheckRecorded(e) => e.at,
            Self::DomainVerified(e) => e.at,
            Self::ContestOpened(e) => e.at,
            Self::ContestAnswered(e) => e.at,
            Self::ContestResolved(e) => e.at,
            Self::OwnershipGranted(e) => e.at,
            Self::DomainActivated(e) => e.at,
            Self::OwnershipEnded(e) => e.at,
            Self::ProofMissing(e) => e.at,
            Self::ProofRestored(e) => e.at,
            Self::ClaimExpired(e) => e.at,
            Self::ClaimCancelled(e) => e.at,
            Self::ClaimRefused(e) => e.at,
            Self::HoldingLocked(e) => e.at,
            Self::HoldingUnlocked(e) => e.at,
        }
    }
}

macro_rules! payloads {
    ($($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $ty:ty),* $(,)? })+) => {
        $($(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            /// The claim.
            pub claim_id: ClaimId,
            $($(#[$fdoc])* pub $field: $ty,)*
            /// When it happened.
            #[serde(deserialize_with = "crate::rfc3339::deserialize")]
            pub at: At,
        })+
    };
}

payloads! {
    /// A holder claimed the name and was handed a challenge.
    ClaimInitiated {
        /// How far the proof reaches.
        scope: Scope,
        /// The name that is claimed: the registrable domain or the hostname.
        name: DomainName,
        /// The name as it was asked for, canonical.
        requested: DomainName,
        /// The region the caller gave, echoed and nothing more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        region: Option<Arc<str>>,
        /// Who claims.
        holder: Holder,
        /// The record to publish.
        challenge: Challenge,
        /// When the claim ends unless verification is requested.
        #[serde(deserialize_with = "crate::rfc3339::deserialize")]
        expires_at: At,
    }
    /// Somebody asked for a check now; the first time, watching begins.
    VerificationRequested {
        /// The attempt that falls due at once.
        attempt: u32,
        /// Why.
        cause: CheckCause,
        /// Until when the claim is watched; absent where nothing is watched to a deadline.
        #[serde(
            default,
            skip_serializing_if = "Option::is_none",
            deserialize_with = "crate::rfc3339::deserialize_option"
        )]
        expires_at: Option<At>,
    }
    /// A check was made. A failed one is data, not an error.
    CheckRecorded {
        /// The attempt that this check settles.
        attempt: u32,
        /// Why it was made.
        cause: CheckCause,
        /// What it found.
        outcome: CheckOutcome,
        /// The reason when it was not proven.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        diagnosis: Option<Diagnosis>,
        /// What was seen.
        evidence: Box<Evidence>,
        /// The present holder's record, where a contest looked at it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        holder_record: Option<CheckOutcome>,
        /// When attempt + 1 falls due; absent when the claim is no longer checked.
        #[serde(
            default,
            skip_serializing_if = "Option::is_none",
            deserialize_with = "crate::rfc3339::deserialize_option"
        )]
        next_check_at: Option<At>,
    }
    /// The record was proven to stand.
    DomainVerified {
        /// The attempt that proved it.
        attempt: u32,
    }
    /// A proven claim meets a present holder.
    ContestOpened {
        /// The holder's claim.
        holder_claim_id: ClaimId,
        /// Why it did not move at once.
        cause: ContestCause,
        /// When the grace ends; absent when an operator decides.
        #[serde(
            default,
            skip_serializing_if = "Option::is_none",
            deserialize_with = "crate::rfc3339::deserialize_option"
        )]
        ends_at: Option<At>,
        /// When the next check falls due.
        #[serde(deserialize_with = "crate::rfc3339::deserialize")]
        next_check_at: At,
    }
    /// The present holder answered.
    ContestAnswered {
        /// The holder's claim.
        holder_claim_id: ClaimId,
        /// The answer.
        answer: ContestAnswer,
    }
    /// The contest is over.
    ContestResolved {
        /// For whom.
        resolution: ContestResolution,
        /// By what.
        by: ContestResolvedBy,
    }
    /// The claim's holder has the name from now on.
    OwnershipGranted {
        /// The new holder.
        holder: Holder,
        /// Whether a grant needs the TLS side's word before it is in service.
        awaits_activation: bool,
        /// When the holding is checked again.
        #[serde(deserialize_with = "crate::rfc3339::deserialize")]
        next_check_at: At,
    }
    /// A hostname went into service.
    DomainActivated {}
    /// The holding is over.
    OwnershipEnded {
        /// Why.
        reason: EndReason,
    }
    /// A held name's proof is missing.
    ProofMissing {
        /// What is known.
        cause: MissingCause,
        /// When the holding may lapse; absent while the servers are only unreachable.
        #[serde(
            default,
            skip_serializing_if = "Option::is_none",
            deserialize_with = "crate::rfc3339::deserialize_option"
        )]
        lapses_at: Option<At>,
    }
    /// The proof is back, with the same token.
    ProofRestored {}
    /// The claim ended without proof.
    ClaimExpired {
        /// Why before its deadline; absent when the deadline passed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<ExpiryReason>,
    }
    /// The claimant withdrew.
    ClaimCancelled {}
    /// The claim can never succeed.
    ClaimRefused {
        /// Why.
        code: Code,
    }
    /// The holding is in active use: a contest goes to review.
    HoldingLocked {}
    /// The lock is gone.
    HoldingUnlocked {}
}

/// Why a check is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckCause {
    /// Verification was requested for the first time.
    First,
    /// Somebody asked again.
    Manual,
    /// The schedule.
    Schedule,
}

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckOutcome {
    /// The record stands.
    Proven,
    /// Servers that know say that it is not there.
    Absent,
    /// Something stands in the way that only the user can change.
    Blocked,
    /// Nothing could be learnt.
    Unknown,
    /// It never can be.
    Refused,
}

/// Why a contest was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContestCause {
    /// The holder's record stands too, or could not be seen to be gone.
    HolderRecordStands,
    /// The deployment gives every holder a grace.
    Grace,
    /// The deployment has every contest reviewed.
    Review,
    /// The holding is locked.
    Locked,
}

/// The present holder's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContestAnswer {
    /// The name may move.
    Accept,
    /// The name is still theirs.
    Dispute,
}

/// For whom a contest ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContestResolution {
    /// The challenger gets the name.
    Granted,
    /// The challenger does not.
    Refused,
}

/// What ended a contest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContestResolvedBy {
    /// The holder's record is gone.
    HolderRecordRemoved,
    /// The challenger's record is gone.
    ChallengerRecordRemoved,
    /// The grace ended long ago and the challenger's record could not be seen to stand.
    ChallengerUnproven,
    /// The holder accepted.
    HolderAccepted,
    /// The grace ended without a dispute and the name moved. Older logs have it; nothing is decided so any more.
    GraceEnded,
    /// The grace ended, disputed, with the holder's record still standing.
    Disputed,
    /// The grace ended without an answer, with the holder's record still standing.
    HolderRecordStands,
    /// The grace ended, was given once more, and the holder's record could not be seen to be gone.
    HolderRecordUnknown,
    /// The holder gave the name up or lost it.
    HolderLeft,
    /// Another challenger got the name.
    Superseded,
    /// An operator decided.
    Operator,
}

/// Why a holding ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// It moved to another holder.
    Transferred,
    /// The holder gave it up.
    Released,
    /// The proof stayed missing.
    Lapsed,
    /// An operator took it.
    Revoked,
}

/// Why a claim expired before its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpiryReason {
    /// Too many claims on the name were unproven, and a newer one needed the room.
    GaveWay,
}

/// What is known of a missing proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingCause {
    /// Servers say that the record is gone.
    Absent,
    /// Nothing could be learnt for long.
    Unreachable,
}
