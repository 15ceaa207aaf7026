//! What can be asked of an ownership, and how it refuses.
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::name::DomainName;
use crate::{Challenge, ClaimId, ContestAnswer, ContestResolution, Evidence, Holder, Outcome};

/// What to do when another holder has the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfHeldByAnother {
    /// Claim all the same: proof decides.
    Challenge,
    /// Refuse and say that the name can be claimed.
    Refuse,
}

/// Something asked of the claims on one name.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "a command lives for one decision and is never stored")]
pub enum Command {
    /// Hand out a challenge.
    Initiate {
        /// The id of the claim if it becomes one.
        claim_id: ClaimId,
        /// Who claims.
        holder: Holder,
        /// The registrable domain or the hostname, as the holder's scope wants it.
        name: DomainName,
        /// The name as it was asked for.
        requested: DomainName,
        /// Echoed.
        region: Option<Arc<str>>,
        /// The record to publish if it becomes a claim.
        challenge: Challenge,
        /// What to do when another holder has the name.
        if_held_by_another: IfHeldByAnother,
    },
    /// Check now; the first time, begin to watch.
    RequestVerification {
        /// The claim.
        claim_id: ClaimId,
    },
    /// Settle an attempt with what a check found.
    RecordCheck {
        /// The claim.
        claim_id: ClaimId,
        /// The attempt.
        attempt: u32,
        /// The verdict on the claim's own record.
        outcome: Outcome,
        /// The verdict on the present holder's record, when another holds the name.
        holder_outcome: Option<Outcome>,
        /// What was seen.
        evidence: Evidence,
    },
    /// End a claim whose deadline passed.
    Expire {
        /// The claim.
        claim_id: ClaimId,
    },
    /// Withdraw an open claim.
    Cancel {
        /// The claim.
        claim_id: ClaimId,
    },
    /// Give a held name up.
    Release {
        /// The claim.
        claim_id: ClaimId,
    },
    /// Take a held name away.
    Revoke {
        /// The claim.
        claim_id: ClaimId,
    },
    /// Put a proven hostname into service.
    Activate {
        /// The claim.
        claim_id: ClaimId,
    },
    /// Answer one challenger. An answer counts in that challenger's present contest and nowhere else.
    AnswerContest {
        /// The holder's claim.
        claim_id: ClaimId,
        /// The challenger's claim.
        challenger_id: ClaimId,
        /// The answer.
        answer: ContestAnswer,
    },
    /// Decide a contest as an operator.
    ResolveContest {
        /// The challenger's claim.
        claim_id: ClaimId,
        /// For whom.
        resolution: ContestResolution,
    },
    /// Mark a holding as in active use.
    Lock {
        /// The claim.
        claim_id: ClaimId,
    },
    /// Take the mark off.
    Unlock {
        /// The claim.
        claim_id: ClaimId,
    },
}

/// Why nothing is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is no such claim.
    #[error("there is no such claim")]
    NoSuchClaim,
    /// Another holder has the name; it can be claimed.
    #[error("another holder has the name")]
    HeldByAnother,
    /// The claimant's workspace has as many open claims on this name as one workspace may have.
    #[error("the workspace has {limit} open claims on this name already")]
    TooManyClaims {
        /// How many it may have.
        limit: usize,
    },
    /// The message is of an attempt that is settled.
    #[error("the attempt is settled already")]
    StaleAttempt,
    /// Asked again too soon.
    #[error("a check was asked for just now")]
    TooSoon {
        /// When it may be asked again.
        again_at: DateTime<Utc>,
    },
    /// The claim is over.
    #[error("the claim is over")]
    Ended,
    /// The claimant has the name.
    #[error("the name is held already")]
    AlreadyHeld,
    /// The claimant does not have the name.
    #[error("the name is not held")]
    NotHeld,
    /// The name has no contest, or its contester is not the one that the command names.
    #[error("there is no contest")]
    NoContest,
    /// The time has not come.
    #[error("it is not due yet")]
    NotDue,
}
