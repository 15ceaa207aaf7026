//! The aggregate: every claim on one name, and who has it.
use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::name::DomainName;
use crate::{
    Challenge, CheckCause, CheckOutcome, ClaimId, ContestAnswer, ContestCause, Diagnosis, EarlierValue,
    Holder, MissingCause, Routing, RoutingState, Scope,
};

type At = DateTime<Utc>;

/// Every claim on one name and its present holder; folded from one stream.
///
/// Of ended claims the newest of each holder is kept, and at most 50 that were proven and 50 that were not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ownership {
    /// How far a proof of this name reaches; none before the first claim.
    pub scope: Option<Scope>,
    /// The name.
    pub name: Option<DomainName>,
    /// The claim whose holder has the name.
    pub holding: Option<ClaimId>,
    /// Every claim that is open, and those of the ended ones that are kept.
    pub claims: BTreeMap<ClaimId, Claim>,
}

/// One claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// Its id.
    pub id: ClaimId,
    /// Who claims.
    pub holder: Holder,
    /// The name as it was asked for.
    pub requested: DomainName,
    /// The region the caller gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Arc<str>>,
    /// The record to publish.
    pub challenge: Challenge,
    /// When it was made.
    pub initiated_at: At,
    /// When anything about it last changed.
    pub updated_at: At,
    /// When it was first proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<At>,
    /// Checks made so far.
    pub attempts: u32,
    /// The number of the last attempt that was settled; 0 before the first. Numbers may be left out.
    pub settled: u32,
    /// Where the schedule stands: scheduled checks since the last proof or the begin of watching.
    pub step: u32,
    /// The last check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_check: Option<LastCheck>,
    /// The check that is due next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Pending>,
    /// When the schedule wants the next check, whoever asks for one before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_at: Option<At>,
    /// When manual checks were asked for; the newest 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manual: Vec<At>,
    /// Where the hostname leads, as it was last seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routing: Option<LastRouting>,
    /// What the holder was told to publish for earlier claims on the name, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<EarlierValue>,
    /// Whether the last check that learnt anything saw the claim's own value at some server, proven or not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub seen: bool,
    /// Where it stands.
    pub state: ClaimState,
}

/// Where a hostname leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastRouting {
    /// What was found.
    pub routing: Routing,
    /// When.
    pub at: At,
}

/// The last check of a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastCheck {
    /// When it was recorded.
    pub at: At,
    /// What it found.
    pub outcome: CheckOutcome,
    /// The reason when it was not proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnosis: Option<Diagnosis>,
}

/// The check that is due next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pending {
    /// Its number: greater than that of any attempt before.
    pub attempt: u32,
    /// Why it is made.
    pub cause: CheckCause,
    /// When.
    pub due_at: At,
}

/// Where a claim stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ClaimState {
    /// The challenge is handed out; nobody watches yet.
    Initiated {
        /// When the claim ends unless verification is requested.
        expires_at: At,
    },
    /// The DNS is watched.
    Verifying {
        /// When the claim ends without proof.
        expires_at: At,
    },
    /// Proven; who gets the name is decided in the same breath.
    Proven,
    /// Proven while another holder has the name.
    Contesting(Contest),
    /// The claimant has the name.
    Held(Held),
    /// The claimant has the name, its proof is missing.
    AtRisk {
        /// The holding.
        held: Held,
        /// What is missing since when.
        risk: AtRisk,
    },
    /// Over.
    Ended {
        /// How.
        how: Ended,
        /// When.
        at: At,
    },
}

/// A contest, from the challenger's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contest {
    /// The claim of the present holder when the contest began.
    pub holder_claim_id: ClaimId,
    /// Why the name did not move at once.
    pub cause: ContestCause,
    /// When it began.
    pub opened_at: At,
    /// When the grace ends; none when an operator decides. Both records decide then, see [`Contest::refused_at`].
    pub ends_at: Option<At>,
    /// What the holder said.
    pub answer: Option<ContestAnswer>,
}

impl Contest {
    /// When it is refused at the latest unless the name moved: the grace once more after its end. None when an operator
    /// decides.
    pub fn refused_at(&self) -> Option<At> {
        self.ends_at.map(|end| end + (end - self.opened_at))
    }
}

/// A holding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// Since when.
    pub since: At,
    /// In active use: contests go to review.
    pub locked: bool,
    /// Waits for the TLS side's word before it is in service.
    pub awaits_activation: bool,
    /// Since when no check could learn anything.
    pub unreachable_since: Option<At>,
}

/// What is missing of a holding's proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AtRisk {
    /// What is known.
    pub cause: MissingCause,
    /// Since when.
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
    /// The claimant withdrew.
    Cancelled,
    /// It lost a contest or can never succeed.
    Refused,
    /// The name moved to another holder.
    Transferred,
    /// The holder gave the name up.
    Released,
    /// The proof stayed missing.
    Lapsed,
    /// An operator took the name.
    Revoked,
}

/// Work that a claim needs at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// What.
    pub kind: DueKind,
    /// For checks the attempt, otherwise 0.
    pub attempt: u32,
    /// When.
    pub at: DateTime<Utc>,
    /// The event itself asks for the work, so the row is only for the case that its message is lost.
    pub announced: bool,
}

/// What has to be done for a claim at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DueKind {
    /// Look at the DNS.
    Check,
    /// End a claim whose deadline passed.
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
    /// The number of an attempt that nobody has been asked to make yet.
    pub(crate) fn next_attempt(&self) -> u32 {
        self.pending.map_or(self.settled, |pending| pending.attempt).saturating_add(1)
    }

    /// Whether anything can still happen to it.
    pub fn is_open(&self) -> bool {
        !matches!(self.state, ClaimState::Ended { .. })
    }

    /// Whether the hostname was last seen to lead anywhere but to its target.
    pub fn is_misrouted(&self) -> bool {
        self.routing.as_ref().is_some_and(|last| last.routing.state != RoutingState::Ok)
    }

    /// Whether its holder has the name.
    pub fn is_held(&self) -> bool {
        self.held().is_some()
    }

    /// The holding, where there is one.
    pub fn held(&self) -> Option<&Held> {
        match &self.state {
            ClaimState::Held(held) | ClaimState::AtRisk { held, .. } => Some(held),
            _ => None,
        }
    }

    /// Whether it is open and neither proven nor seen at any server: what costs its maker nothing to have.
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

    /// Everything that has to be done for it, and when.
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

    /// Open contests, the earliest first. A contest may outlast the holding it began with, but no new grant.
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
