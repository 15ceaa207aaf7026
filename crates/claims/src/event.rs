//! The events, one struct per kind, with schema numbers. A shipped schema is never edited: a changed kind gets the next
//! number, and [`crate::upcast()`] gets a step to it.
mod reasons;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::app::{AppCreated, AppDeleted, AppDomainAdded, AppDomainRemoved, AppEvent, SlugFreed, SlugTaken};
use crate::name::DomainName;
use crate::{Challenge, ClaimId, Holder, Scope, upcast};
use deed_diagnosis::{Code, Diagnosis, Evidence};
pub use reasons::{
    CheckCause, CheckOutcome, ContestAnswer, ContestCause, ContestResolution, ContestResolvedBy, EndReason,
    ExpiryReason, MissingCause,
};

type At = DateTime<Utc>;

/// A stored event that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// This version does not know the kind and schema.
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
        /// The error of serde.
        #[source]
        source: serde_json::Error,
    },
}

fn unknown(kind: &str, schema: u16) -> EventError {
    EventError::Unknown { kind: kind.chars().take(64).collect(), schema }
}

/// Deserializes the payload of a known kind whose newest schema is `newest`.
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
            /// All kinds with their routing keys.
            pub const KINDS: &'static [(&'static str, &'static str)] = &[$($((stringify!($name), $route)),+),+];

            /// The newest schema of a kind; none for an unknown kind.
            pub fn newest_schema(kind: &str) -> Option<u16> {
                match kind { $($(stringify!($name) => Some($schema),)+)+ _ => None }
            }

            /// The stored kind: the name of the struct.
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

            /// Deserializes a stored event; an older schema is upcast first.
            ///
            /// # Errors
            /// When the kind or schema is unknown, or the payload does not fit.
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
    /// A claimant claimed the name and got a challenge.
    ClaimInitiated {
        /// The scope of the claim.
        scope: Scope,
        /// The claimed name: the registrable domain or the hostname.
        name: DomainName,
        /// The name as the caller requested it, in canonical form.
        requested: DomainName,
        /// The caller's region, which is only returned.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        region: Option<Arc<str>>,
        /// The claimant.
        holder: Holder,
        /// The record to publish.
        challenge: Challenge,
        /// When the claim ends unless verification is requested.
        #[serde(deserialize_with = "crate::rfc3339::deserialize")]
        expires_at: At,
    }
    /// A check was requested; the first request also starts the scheduled checks.
    VerificationRequested {
        /// The attempt that falls due at once.
        attempt: u32,
        /// The cause of the check.
        cause: CheckCause,
        /// The deadline of the claim; absent where it has none.
        #[serde(
            default,
            skip_serializing_if = "Option::is_none",
            deserialize_with = "crate::rfc3339::deserialize_option"
        )]
        expires_at: Option<At>,
    }
    /// A check was made. A failed check is data, not an error.
    CheckRecorded {
        /// The attempt that this check settles.
        attempt: u32,
        /// The cause of the check.
        cause: CheckCause,
        /// The outcome.
        outcome: CheckOutcome,
        /// The diagnosis, where it was not proven.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        diagnosis: Option<Diagnosis>,
        /// The evidence.
        evidence: Box<Evidence>,
        /// The outcome for the present holder's record, where another holder has the name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        holder_record: Option<CheckOutcome>,
        /// When the next attempt falls due; absent where no more checks are scheduled.
        #[serde(
            default,
            skip_serializing_if = "Option::is_none",
            deserialize_with = "crate::rfc3339::deserialize_option"
        )]
        next_check_at: Option<At>,
    }
    /// A check proved the record.
    DomainVerified {
        /// The attempt of that check.
        attempt: u32,
    }
    /// A claim was proven while another holder has the name.
    ContestOpened {
        /// The holder's claim.
        holder_claim_id: ClaimId,
        /// Why the name was not transferred at once.
        cause: ContestCause,
        /// When the grace period ends; absent where an operator decides.
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
    /// The present holder answered the challenger.
    ContestAnswered {
        /// The holder's claim.
        holder_claim_id: ClaimId,
        /// The answer.
        answer: ContestAnswer,
    }
    /// The contest ended.
    ContestResolved {
        /// The resolution.
        resolution: ContestResolution,
        /// The reason.
        by: ContestResolvedBy,
    }
    /// The claimant became the holder of the name.
    OwnershipGranted {
        /// The new holder.
        holder: Holder,
        /// Whether activation is pending until the TLS side is ready.
        awaits_activation: bool,
        /// When the next check falls due.
        #[serde(deserialize_with = "crate::rfc3339::deserialize")]
        next_check_at: At,
    }
    /// A hostname was activated.
    DomainActivated {}
    /// The holding ended.
    OwnershipEnded {
        /// The reason.
        reason: EndReason,
    }
    /// The proof of a held name is missing.
    ProofMissing {
        /// Why it is missing.
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
        /// The reason to expire before the deadline; absent where the deadline passed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<ExpiryReason>,
    }
    /// The claimant cancelled the claim.
    ClaimCancelled {}
    /// The claim can never succeed.
    ClaimRefused {
        /// The code of the cause.
        code: Code,
    }
    /// The holding was locked: an operator decides every contest.
    HoldingLocked {}
    /// The holding was unlocked.
    HoldingUnlocked {}
}
