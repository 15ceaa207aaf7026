//! Commands to an ownership, and the rejections.
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::name::DomainName;
use crate::{Challenge, ClaimId, ContestAnswer, ContestResolution, Holder};
use deed_diagnosis::{Evidence, Outcome};

/// What to do when another holder has the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfHeldByAnother {
    /// Make the claim; proof decides.
    Challenge,
    /// Reject, so that the caller can offer to challenge the holder.
    Refuse,
}

/// A command to the claims on one name.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "a command exists for one decision and is never stored")]
pub enum Command {
    /// Make a claim with its challenge.
    Initiate {
        /// The id of the new claim, if one is made.
        claim_id: ClaimId,
        /// The claimant.
        holder: Holder,
        /// The registrable domain or the hostname, by the scope of the holder.
        name: DomainName,
        /// The name as the caller requested it.
        requested: DomainName,
        /// The caller's region, which is only returned.
        region: Option<Arc<str>>,
        /// The challenge of the new claim, if one is made.
        challenge: Challenge,
        /// What to do when another holder has the name.
        if_held_by_another: IfHeldByAnother,
    },
    /// Make a check now; the first request also starts the scheduled checks.
    RequestVerification {
        /// The claim.
        claim_id: ClaimId,
    },
    /// Settle an attempt with the outcome of a check.
    RecordCheck {
        /// The claim.
        claim_id: ClaimId,
        /// The attempt.
        attempt: u32,
        /// The outcome for the claim's own record.
        outcome: Outcome,
        /// The outcome for the present holder's record, where another holder has the name.
        holder_outcome: Option<Outcome>,
        /// The evidence of the check.
        evidence: Evidence,
    },
    /// Expire a claim whose deadline has passed.
    Expire {
        /// The claim.
        claim_id: ClaimId,
    },
    /// Cancel an open claim.
    Cancel {
        /// The claim.
        claim_id: ClaimId,
    },
    /// Release a held name.
    Release {
        /// The claim.
        claim_id: ClaimId,
    },
    /// Revoke a holding, as an operator.
    Revoke {
        /// The claim.
        claim_id: ClaimId,
    },
    /// Activate a proven hostname.
    Activate {
        /// The claim.
        claim_id: ClaimId,
    },
    /// Answer one challenger. The answer counts only in that challenger's present contest.
    AnswerContest {
        /// The holder's claim.
        claim_id: ClaimId,
        /// The challenger's claim.
        challenger_id: ClaimId,
        /// The answer.
        answer: ContestAnswer,
    },
    /// Resolve a contest, as an operator.
    ResolveContest {
        /// The challenger's claim.
        claim_id: ClaimId,
        /// The resolution.
        resolution: ContestResolution,
    },
    /// Lock a holding: it is in active use.
    Lock {
        /// The claim.
        claim_id: ClaimId,
    },
    /// Unlock a holding.
    Unlock {
        /// The claim.
        claim_id: ClaimId,
    },
}

/// Why a command is not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is no such claim.
    #[error("there is no such claim")]
    NoSuchClaim,
    /// Another holder has the name, and the command does not challenge.
    #[error("another holder has the name")]
    HeldByAnother,
    /// The claimant's workspace has the most open claims that one workspace may have on this name.
    #[error("the workspace has {limit} open claims on this name already")]
    TooManyClaims {
        /// The limit.
        limit: usize,
    },
    /// The attempt is already settled.
    #[error("the attempt is settled already")]
    StaleAttempt,
    /// A manual check was requested too soon after the last one.
    #[error("a check was asked for just now")]
    TooSoon {
        /// The earliest time of the next request.
        again_at: DateTime<Utc>,
    },
    /// The claim has ended.
    #[error("the claim is over")]
    Ended,
    /// The claimant has the name.
    #[error("the name is held already")]
    AlreadyHeld,
    /// The claimant does not have the name.
    #[error("the name is not held")]
    NotHeld,
    /// There is no contest with this challenger.
    #[error("there is no contest")]
    NoContest,
    /// The deadline has not passed.
    #[error("it is not due yet")]
    NotDue,
}
