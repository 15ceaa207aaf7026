//! A contest for either side: how it ends and what the side can do, never who the other side is.
use chrono::{DateTime, Utc};
use deed_claims::{Claim, ClaimState, Contest, ContestAnswer, ContestCause, MissingCause, Ownership};
use serde::Serialize;
use utoipa::ToSchema;

use super::record::RecordToRemove;
use super::schemas::AnswerSchema;
use super::{Claimant, in_both_contracts};

/// On which side of a contest the reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ContestRole {
    /// It has proven the name and waits for it.
    Challenger,
    /// It has the name.
    Holder,
}

/// Why the name did not move at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ContestReason {
    /// The holder's record stands too.
    HolderRecordStands,
    /// Every holder is given a grace.
    Grace,
    /// An operator decides.
    Review,
}

/// What becomes of a contest if nothing changes until it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ContestOutcome {
    /// The holder keeps the name.
    Refused,
    /// The name moves to the challenger.
    Granted,
    /// It does not end by itself.
    OperatorDecides,
}

/// What happens at the end of a contest.
#[derive(Debug, Serialize, ToSchema)]
pub struct ContestEnd {
    /// The outcome if nothing changes until then, for programs.
    outcome: ContestOutcome,
    /// The rule, in a sentence.
    message: String,
}

/// What somebody can do to decide a contest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ContestAction {
    /// Take the other side's record out of the DNS.
    RemoveRecord,
    /// Give the claim up; for the challenger.
    Withdraw,
    /// Give the name up; for the holder.
    Release,
}

/// A way to decide a contest.
#[derive(Debug, Serialize, ToSchema)]
pub struct WayToEnd {
    action: ContestAction,
    /// What to do and what comes of it, in a sentence.
    message: String,
}

in_both_contracts! {
    /// A contest: the name has a holder, and another has proven it too.
    ContestBody as Contest in Workspace and AppContest in Apps {
        role: ContestRole,
        reason: ContestReason,
        opened_at: DateTime<Utc>,
        /// When it ends by itself; absent when an operator decides.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        ends_at: Option<DateTime<Utc>>,
        /// What the present holder has said.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<AnswerSchema>, nullable = false)]
        answer: Option<ContestAnswer>,
        /// What happens at the end.
        at_end: ContestEnd,
        /// The other side's record: its removal decides the contest. Absent when that would decide nothing.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        remove_record: Option<RecordToRemove>,
        /// What this side can do to decide it.
        ways_to_end: Vec<WayToEnd>,
    }
}

/// The requests that give a claim or a name up, such as `DELETE /v1/domains/acme.com`.
pub struct GiveUpRequests {
    /// Of a challenger.
    pub withdraw: String,
    /// Of a holder.
    pub release: String,
}

/// A contest as one side sees it.
pub struct ContestView<'a> {
    role: ContestRole,
    contest: &'a Contest,
    /// The holder's claim, where it is known.
    holder: Option<&'a Claim>,
    /// The other side's claim, where it is known.
    other: Option<&'a Claim>,
    claimant: Claimant,
    give_up: GiveUpRequests,
}

impl<'a> ContestView<'a> {
    /// The contest of a claim: the one that it opened, or the earliest one against it if it has the name.
    pub fn of(
        claim: &'a Claim,
        ownership: Option<&'a Ownership>,
        claimant: Claimant,
        give_up: impl FnOnce() -> GiveUpRequests,
    ) -> Option<Self> {
        if let ClaimState::Contesting(contest) = &claim.state {
            let holder = ownership.and_then(Ownership::holder_claim);
            let role = ContestRole::Challenger;
            return Some(Self { role, contest, holder, other: holder, claimant, give_up: give_up() });
        }
        let ownership = ownership.filter(|ownership| ownership.holding == Some(claim.id))?;
        let (other, contest) = ownership.contests().into_iter().next()?;
        let (role, holder, other) = (ContestRole::Holder, Some(claim), Some(other));
        Some(Self { role, contest, holder, other, claimant, give_up: give_up() })
    }

    fn reason(&self) -> ContestReason {
        match self.contest.cause {
            ContestCause::HolderRecordStands => ContestReason::HolderRecordStands,
            ContestCause::Grace => ContestReason::Grace,
            // Only the holder may know that the holding is locked.
            ContestCause::Review | ContestCause::Locked => ContestReason::Review,
        }
    }

    fn is_reviewed(&self) -> bool {
        let locked = self.holder.and_then(Claim::held).is_some_and(|held| held.locked);
        locked || self.contest.ends_at.is_none()
    }

    /// Whether the holder's record is absent.
    fn is_record_gone(&self) -> bool {
        let risk = self.holder.and_then(|holder| match holder.state {
            ClaimState::AtRisk { risk, .. } => Some(risk),
            _ => None,
        });
        risk.is_some_and(|risk| risk.cause == MissingCause::Absent)
    }

    fn at_end(&self) -> ContestEnd {
        use ContestOutcome::{Granted, OperatorDecides, Refused};
        let (who, holds) = (self.claimant, self.role == ContestRole::Holder);
        let accepted = self.contest.answer == Some(ContestAnswer::Accept);
        let (outcome, message) = if self.is_reviewed() {
            (OperatorDecides, "An operator decides this contest; it does not end by itself.".to_owned())
        } else if accepted && holds {
            let text = "has accepted: the name moves to the challenger as soon as the challenger's record is seen again";
            (Granted, format!("This {who} {text}."))
        } else if accepted {
            let text = "The holder has accepted: the name moves as soon as the record";
            (Granted, format!("{text} of this {who} is seen again."))
        } else if self.is_record_gone() && holds {
            let text = "record is missing: while it is, the name moves to the challenger when the contest ends, or earlier";
            (Granted, format!("This {who}'s {text}. Publish it again to keep the name."))
        } else if self.is_record_gone() {
            let text = "The holder's record is missing: if it stays missing, the name moves to this";
            (Granted, format!("{text} {who} when the contest ends, or earlier."))
        } else if holds {
            let text = "When the contest ends, the challenge is refused as long as the record of this";
            (
                Refused,
                format!(
                    "{text} {who} stands. The name moves only if this {who} accepts or its record is gone."
                ),
            )
        } else {
            let text = "When the contest ends, the challenge is refused as long as the holder's record stands. The name";
            (Refused, format!("{text} moves to this {who} only if the holder accepts or its record is gone."))
        };
        ContestEnd { outcome, message }
    }

    /// The other side's claim, where the removal of its record decides the contest.
    fn deciding_claim(&self) -> Option<&'a Claim> {
        // In a review an operator decides, so removing the holder's record does not let the challenger win; a challenger
        // without its own record loses in any case.
        self.other.filter(|_| self.role == ContestRole::Holder || !self.is_reviewed())
    }

    fn ways_to_end(&self) -> Vec<WayToEnd> {
        let (who, GiveUpRequests { withdraw, release }) = (self.claimant, &self.give_up);
        let removal = self.deciding_claim().map(|other| {
            let challenge = &other.challenge;
            let what = match (self.role, self.reason()) {
                (ContestRole::Holder, _) => "the challenge is refused at the next check".to_owned(),
                (_, ContestReason::HolderRecordStands) => {
                    format!("the name moves to this {who} at the next check")
                }
                (_, _) => format!("the name moves to this {who} when the contest ends"),
            };
            let (name, value) = (&challenge.record_name, &challenge.record_value);
            let message =
                format!("Remove the TXT record {name} with the value {value} from the DNS: {what}.");
            WayToEnd { action: ContestAction::RemoveRecord, message }
        });
        let give_up = match self.role {
            ContestRole::Challenger => WayToEnd {
                action: ContestAction::Withdraw,
                message: format!("Withdraw the claim with {withdraw}: the holder keeps the name."),
            },
            ContestRole::Holder => WayToEnd {
                action: ContestAction::Release,
                message: format!("Give the name up with {release}: it moves to the challenger."),
            },
        };
        removal.into_iter().chain([give_up]).collect()
    }
}

macro_rules! impl_from_view {
    ($($case:ident)*) => {$(
        impl From<ContestView<'_>> for $case::ContestBody {
            fn from(view: ContestView<'_>) -> Self {
                Self {
                    role: view.role,
                    reason: view.reason(),
                    opened_at: view.contest.opened_at,
                    ends_at: view.contest.ends_at,
                    answer: view.contest.answer,
                    at_end: view.at_end(),
                    remove_record: view.deciding_claim().map(RecordToRemove::of),
                    ways_to_end: view.ways_to_end(),
                }
            }
        }
    )*};
}
impl_from_view! { camel snake }

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use chrono::Duration;
    use deed_claims::{AtRisk, Clock as _, Policy};
    use deed_diagnosis::Outcome;
    use deed_store::KeyScope;
    use serde_json::json;

    use super::*;
    use crate::testing::Harness;

    const ACME: &str = "apex:acme.com";

    /// A name with a holder and a challenger, whose tokens read `HOLDERS` and `CHALLENGERS`.
    async fn contested() -> (Harness, Ownership) {
        let harness = Harness::start().await;
        for (workspace, seen) in [("ws_holder", None), ("ws_challenger", Some(Outcome::Proven))] {
            let key = harness.workspace_key(workspace, &KeyScope::ALL).await;
            harness.post("/v1/domains/claims", &key, json!({ "domain": "acme.com" })).await;
            harness.verify("/v1/domains/acme.com/verify", &key).await;
            harness.record_contested_check(ACME, workspace, Outcome::Proven, seen).await;
        }
        let mut ownership = harness.ownership(ACME).await;
        let holding = ownership.holding;
        for claim in ownership.claims.values_mut() {
            let whose = if Some(claim.id) == holding { "HOLDERS" } else { "CHALLENGERS" };
            claim.challenge.record_value = whose.into();
        }
        (harness, ownership)
    }

    fn contest(ownership: &mut Ownership) -> &mut Contest {
        let contests = ownership.claims.values_mut().filter_map(|claim| match &mut claim.state {
            ClaimState::Contesting(contest) => Some(contest),
            _ => None,
        });
        contests.into_iter().next().unwrap()
    }

    fn holder(ownership: &mut Ownership) -> &mut Claim {
        let holding = ownership.holding.unwrap();
        ownership.claims.get_mut(&holding).unwrap()
    }

    /// The contest as text, for both sides.
    fn both_sides(ownership: &Ownership, claimant: Claimant) -> String {
        let mut text = String::new();
        for claim in ownership.claims.values() {
            let give_up =
                || GiveUpRequests { withdraw: "DELETE claim".into(), release: "DELETE domain".into() };
            let view = ContestView::of(claim, Some(ownership), claimant, give_up).unwrap();
            let body = camel::ContestBody::from(view);
            writeln!(text, "{:?}: {:?}. {}", body.role, body.at_end.outcome, body.at_end.message).unwrap();
            assert_eq!(body.remove_record.is_some(), body.ways_to_end.len() == 2);
            for way in body.ways_to_end {
                writeln!(text, "  {:?}: {}", way.action, way.message).unwrap();
            }
        }
        text
    }

    type Edit = fn(&mut Ownership);

    #[actix_web::test]
    async fn describes_contest_to_both_sides() {
        let (harness, before) = contested().await;
        let changes: [(&str, Edit); 7] = [
            ("The holder's record stands", |_| {}),
            ("A grace for every holder", |o| contest(o).cause = ContestCause::Grace),
            ("An operator decides", |o| {
                let contest = contest(o);
                (contest.cause, contest.ends_at) = (ContestCause::Review, None);
            }),
            ("Locked since", |o| match &mut holder(o).state {
                ClaimState::Held(held) => held.locked = true,
                other => panic!("{other:?}"),
            }),
            ("Accepted", |o| contest(o).answer = Some(ContestAnswer::Accept)),
            ("Disputed", |o| contest(o).answer = Some(ContestAnswer::Dispute)),
            ("The holder's record is missing", |o| {
                let holder = holder(o);
                let held = *holder.held().unwrap();
                let since = holder.updated_at;
                let risk = AtRisk { cause: MissingCause::Absent, since, lapses_at: None };
                holder.state = ClaimState::AtRisk { held, risk };
            }),
        ];
        let mut text = String::new();
        for (what, change) in changes {
            let mut ownership = before.clone();
            change(&mut ownership);
            writeln!(text, "{what}\n{}", both_sides(&ownership, Claimant::Workspace)).unwrap();
        }
        insta::assert_snapshot!("both_sides", text);
        assert!(!text.contains("ws_"), "{text}");
        assert!(!both_sides(&before, Claimant::App).contains("workspace"));
        drop(harness);
    }

    #[actix_web::test]
    async fn holder_wins_when_challenger_record_is_gone() {
        let (harness, before) = contested().await;
        let named = both_sides(&before, Claimant::Workspace);
        assert!(
            named.contains("CHALLENGERS from the DNS: the challenge is refused at the next check"),
            "{named}"
        );
        harness.clock.advance(Duration::hours(1));
        harness
            .record_contested_check(ACME, "ws_challenger", crate::testing::absent(), Some(Outcome::Proven))
            .await;
        let after = harness.ownership(ACME).await;
        assert_eq!((after.holding, after.contests().len()), (before.holding, 0));
        assert!(harness.clock.now() < before.contests()[0].1.ends_at.unwrap());
    }

    #[actix_web::test]
    async fn challenger_wins_when_holder_record_is_gone() {
        let (harness, before) = contested().await;
        let named = both_sides(&before, Claimant::Workspace);
        assert!(
            named.contains("HOLDERS from the DNS: the name moves to this workspace at the next check"),
            "{named}"
        );
        harness
            .record_contested_check(ACME, "ws_challenger", Outcome::Proven, Some(crate::testing::absent()))
            .await;
        assert_ne!(harness.ownership(ACME).await.holding, before.holding);
        assert_eq!(Policy::default().contest, deed_claims::ContestPolicy::Evidence);
    }

    #[actix_web::test]
    async fn give_up_request_has_its_described_effect() {
        for (path, workspace, moves) in [
            ("/v1/domains/claims/acme.com", "ws_challenger", false),
            ("/v1/domains/acme.com", "ws_holder", true),
        ] {
            let (harness, before) = contested().await;
            let key = harness.workspace_key(workspace, &KeyScope::ALL).await;
            let read = harness.get("/v1/domains/claims/acme.com", &key).await;
            assert!(read.text.contains(&format!("with DELETE {path}:")), "{}", read.text);
            assert_eq!(harness.delete(path, &key).await.status, 200);
            assert_eq!(harness.ownership(ACME).await.holding != before.holding, moves);
        }
    }
}
