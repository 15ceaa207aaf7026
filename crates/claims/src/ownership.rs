//! The aggregate: all claims on one name, and the present holding.
use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::name::DomainName;
use crate::{
    Challenge, CheckCause, CheckOutcome, ClaimId, ContestAnswer, ContestCause, Holder, MissingCause, Scope,
};
use deed_diagnosis::{Diagnosis, EarlierValue, Routing, RoutingState};

type At = DateTime<Utc>;

/// All claims on one name and the present holding, folded from one stream.
///
/// Of the ended claims the newest of each holder is kept, and at most 50 that were proven and 50 that were not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ownership {
    /// The scope of the name; none before the first claim.
    pub scope: Option<Scope>,
    /// The name.
    pub name: Option<DomainName>,
    /// The claim of the present holder.
    pub holding: Option<ClaimId>,
    /// All open claims, and the ended ones that are kept.
    pub claims: BTreeMap<ClaimId, Claim>,
}

/// One claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// The id.
    pub id: ClaimId,
    /// The claimant.
    pub holder: Holder,
    /// The name as the caller requested it.
    pub requested: DomainName,
    /// The region the caller gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Arc<str>>,
    /// The record to publish.
    pub challenge: Challenge,
    /// When the claim was made.
    pub initiated_at: At,
    /// The time of its last event.
    pub updated_at: At,
    /// When it was first proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<At>,
    /// Checks recorded so far.
    pub attempts: u32,
    /// The number of the last settled attempt; 0 before the first. Numbers may be skipped.
    pub settled: u32,
    /// The step of the schedule: scheduled checks since the last proof or the first request.
    pub step: u32,
    /// The last check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_check: Option<LastCheck>,
    /// The next check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Pending>,
    /// The time of the next scheduled check, whatever manual checks are requested before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_at: Option<At>,
    /// When manual checks were requested; the newest 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manual: Vec<At>,
    /// The last routing of the hostname.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routing: Option<LastRouting>,
    /// What the holder was told to publish for earlier claims on the name, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<EarlierValue>,
    /// Whether the last conclusive check saw the claim's value on any server, proven or not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub seen: bool,
    /// The state.
    pub state: ClaimState,
}

/// The routing of a hostname at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastRouting {
    /// The routing.
    pub routing: Routing,
    /// When it was recorded.
    pub at: At,
}

/// The last check of a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastCheck {
    /// When it was recorded.
    pub at: At,
    /// Its outcome.
    pub outcome: CheckOutcome,
    /// The diagnosis, where it was not proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnosis: Option<Diagnosis>,
}

/// The next check of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pending {
    /// Its number, greater than that of every earlier attempt.
    pub attempt: u32,
    /// Its cause.
    pub cause: CheckCause,
    /// When it falls due.
    pub due_at: At,
}

/// The place of a claim in its life cycle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ClaimState {
    /// The challenge is issued; no checks are made yet.
    Initiated {
        /// When the claim ends unless verification is requested.
        expires_at: At,
    },
    /// Checks are made on schedule.
    Verifying {
        /// When the claim ends without proof.
        expires_at: At,
    },
    /// Proven; the same append decides who gets the name.
    Proven,
    /// Proven while another holder has the name.
    Contesting(Contest),
    /// The claimant has the name.
    Held(Held),
    /// The claimant has the name, and its proof is missing.
    AtRisk {
        /// The holding.
        held: Held,
        /// What is missing, and since when.
        risk: AtRisk,
    },
    /// The claim has ended.
    Ended {
        /// How it ended.
        how: Ended,
        /// When it ended.
        at: At,
    },
}

/// A contest, from the challenger's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contest {
    /// The claim of the present holder when the contest began.
    pub holder_claim_id: ClaimId,
    /// Why the name was not transferred at once.
    pub cause: ContestCause,
    /// When it was opened.
    pub opened_at: At,
    /// When the grace period ends and both records decide, see [`Contest::refused_at`]; none where an operator decides.
    pub ends_at: Option<At>,
    /// The holder's answer.
    pub answer: Option<ContestAnswer>,
}

impl Contest {
    /// When the contest is refused at the latest: one more grace period after its end. None where an operator decides.
    pub fn refused_at(&self) -> Option<At> {
        self.ends_at.map(|end| end + (end - self.opened_at))
    }
}

/// A holding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// When it was granted.
    pub since: At,
    /// Whether it is in active use, so that an operator decides every contest.
    pub locked: bool,
    /// Whether activation is pending until the TLS side is ready.
    pub awaits_activation: bool,
    /// Since when no check was conclusive.
    pub unreachable_since: Option<At>,
}

/// Why a holding is at risk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AtRisk {
    /// Why the proof is missing.
    pub cause: MissingCause,
    /// When it was first missing.
    pub since: At,
    /// When the holding may lapse.
    pub lapses_at: Option<At>,
}

/// How a claim ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// The deadline passed without proof.
    Expired,
    /// The claimant cancelled it.
    Cancelled,
    /// It lost a contest or can never succeed.
    Refused,
    /// The name was transferred to another holder.
    Transferred,
    /// The holder released the name.
    Released,
    /// The record stayed absent for the grace period.
    Lapsed,
    /// An operator revoked the holding.
    Revoked,
}

/// Work that falls due for a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The kind of work.
    pub kind: DueKind,
    /// The attempt of a check; 0 for other work.
    pub attempt: u32,
    /// When it falls due.
    pub at: DateTime<Utc>,
    /// Whether the message of the event itself starts the work, so that due work is needed only if that message is
    /// lost.
    pub announced: bool,
}

/// The kind of due work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DueKind {
    /// Make a check.
    Check,
    /// Expire a claim whose deadline has passed.
    Expire,
}

impl DueKind {
    /// The stable text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Expire => "expire",
        }
    }
}

impl Claim {
    /// The number of the next new attempt.
    pub(crate) fn next_attempt(&self) -> u32 {
        self.pending.map_or(self.settled, |pending| pending.attempt).saturating_add(1)
    }

    /// Whether the claim has not ended.
    pub fn is_open(&self) -> bool {
        !matches!(self.state, ClaimState::Ended { .. })
    }

    /// Whether the last routing of the hostname was not to its target.
    pub fn is_misrouted(&self) -> bool {
        self.routing.as_ref().is_some_and(|last| last.routing.state != RoutingState::Ok)
    }

    /// Whether the claimant holds the name.
    pub fn is_held(&self) -> bool {
        self.held().is_some()
    }

    /// The holding, where the claimant has one.
    pub fn held(&self) -> Option<&Held> {
        match &self.state {
            ClaimState::Held(held) | ClaimState::AtRisk { held, .. } => Some(held),
            _ => None,
        }
    }

    /// Whether the claim is open, not proven, and its record was never seen: a claim that costs its claimant nothing.
    pub fn is_unseen(&self) -> bool {
        matches!(self.state, ClaimState::Initiated { .. } | ClaimState::Verifying { .. }) && !self.seen
    }

    /// The deadline of a claim that is not proven yet.
    pub fn expires_at(&self) -> Option<At> {
        match self.state {
            ClaimState::Initiated { expires_at } | ClaimState::Verifying { expires_at } => Some(expires_at),
            _ => None,
        }
    }

    /// Whether its deadline has passed, recorded or not.
    pub fn is_overdue(&self, at: At) -> bool {
        self.expires_at().is_some_and(|end| at >= end)
    }

    /// All due work of the claim.
    pub fn due(&self) -> Vec<Due> {
        let check = self.pending.filter(|_| self.is_open()).map(|pending| Due {
            kind: DueKind::Check,
            attempt: pending.attempt,
            at: pending.due_at,
            announced: pending.cause != CheckCause::Schedule,
        });
        let expire =
            self.expires_at().map(|at| Due { kind: DueKind::Expire, attempt: 0, at, announced: false });
        check.into_iter().chain(expire).collect()
    }
}

impl Ownership {
    /// The claim of the present holder.
    pub fn holder_claim(&self) -> Option<&Claim> {
        self.holding.and_then(|id| self.claims.get(&id))
    }

    /// The newest claim of a holder, open or ended.
    pub fn claim_of(&self, holder: &Holder) -> Option<&Claim> {
        let of = || self.claims.values().filter(|c| c.holder == *holder);
        of().find(|c| c.is_open()).or_else(|| of().max_by_key(|c| (c.initiated_at, c.id)))
    }

    /// Open contests, the earliest first. A contest may outlast the holding that it began with, but not the next grant.
    pub fn contests(&self) -> Vec<(&Claim, &Contest)> {
        let mut open: Vec<_> = self
            .claims
            .values()
            .filter_map(|claim| match &claim.state {
                ClaimState::Contesting(contest) => Some((claim, contest)),
                _ => None,
            })
            .collect();
        open.sort_by_key(|(claim, contest)| (contest.opened_at, claim.id));
        open
    }
}
