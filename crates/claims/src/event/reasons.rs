//! The causes, outcomes and reasons in the payloads of events.
use serde::{Deserialize, Serialize};

/// The cause of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckCause {
    /// Verification was requested for the first time.
    First,
    /// A manual check was requested.
    Manual,
    /// The check was scheduled.
    Schedule,
}

/// The outcome of a check in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckOutcome {
    /// The record is proven.
    Proven,
    /// Authoritative servers say that the record does not exist.
    Absent,
    /// Something that only the user can change prevents the proof.
    Blocked,
    /// The check was inconclusive.
    Unknown,
    /// The claim can never be proven.
    Refused,
}

/// The cause of a contest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContestCause {
    /// The holder's record exists too, or its absence was not confirmed.
    HolderRecordStands,
    /// The policy gives every holder a grace period.
    Grace,
    /// The policy has every contest reviewed by an operator.
    Review,
    /// The holding is locked.
    Locked,
}

/// The present holder's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContestAnswer {
    /// The name may be transferred.
    Accept,
    /// The holder still claims the name.
    Dispute,
}

/// The resolution of a contest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContestResolution {
    /// The challenger gets the name.
    Granted,
    /// The challenger does not get the name.
    Refused,
}

/// The reason of a contest resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContestResolvedBy {
    /// The holder's record is absent.
    HolderRecordRemoved,
    /// The challenger's record is absent.
    ChallengerRecordRemoved,
    /// The second grace period ended, and the challenger's record was not proven.
    ChallengerUnproven,
    /// The holder accepted.
    HolderAccepted,
    /// The grace period ended without a dispute. Only in logs of older versions.
    GraceEnded,
    /// The grace period ended with a dispute, and the holder's record still exists.
    Disputed,
    /// The grace period ended without an answer, and the holder's record still exists.
    HolderRecordStands,
    /// The second grace period ended, and the absence of the holder's record was not confirmed.
    HolderRecordUnknown,
    /// The holding ended.
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
    /// The name was transferred to another holder.
    Transferred,
    /// The holder released it.
    Released,
    /// The record stayed absent for the grace period.
    Lapsed,
    /// An operator revoked it.
    Revoked,
}

/// Why a claim expired before its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpiryReason {
    /// The claim gave way to a newer one, since the name had too many unseen claims.
    GaveWay,
}

/// Why a proof is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingCause {
    /// Servers say that the record does not exist.
    Absent,
    /// No check was conclusive for a long time.
    Unreachable,
}
