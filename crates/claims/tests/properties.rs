//! Properties of `Ownership` that hold for every sequence of commands.
mod given;

use chrono::Duration;
use deed_claims::{
    CheckOutcome, Claim, ClaimId, ClaimState, Command, ContestAnswer, ContestPolicy, ContestResolution,
    ContestResolvedBy, EndReason, Event, ExpiryReason, Holder, IfHeldByAnother, Ownership, OwnershipEvent,
    Policy, Rejection, WorkspaceId,
};
use deed_diagnosis::{Code, Outcome};
use given::{Scenario, app, claim, evidence, evidence_of, initiate, not_proven};
use proptest::prelude::*;

/// One step of a random history.
#[derive(Debug, Clone)]
enum Step {
    Wait(i64),
    Initiate(u8, u8, bool),
    Request(u8),
    Check { n: u8, own: u8, holder: Option<u8>, stale: bool, seen: bool },
    Expire(u8),
    Cancel(u8),
    Release(u8),
    Revoke(u8),
    Answer(u8, u8, bool),
    Resolve(u8, bool),
    Lock(u8, bool),
    Activate(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let id = 0_u8..16;
    let checked =
        (id.clone(), 0_u8..6, proptest::option::of(0_u8..6), prop::bool::weighted(0.1), any::<bool>());
    prop_oneof![
        3 => (0_i64..400_000).prop_map(Step::Wait),
        5 => (id.clone(), 0_u8..9, any::<bool>()).prop_map(|(n, h, r)| Step::Initiate(n, h, r)),
        4 => id.clone().prop_map(Step::Request),
        9 => checked.prop_map(|(n, own, holder, stale, seen)| Step::Check { n, own, holder, stale, seen }),
        1 => id.clone().prop_map(Step::Expire),
        1 => id.clone().prop_map(Step::Cancel),
        1 => id.clone().prop_map(Step::Release),
        1 => id.clone().prop_map(Step::Revoke),
        2 => (id.clone(), id.clone(), any::<bool>()).prop_map(|(n, m, a)| Step::Answer(n, m, a)),
        1 => (id.clone(), any::<bool>()).prop_map(|(n, a)| Step::Resolve(n, a)),
        1 => (id.clone(), any::<bool>()).prop_map(|(n, a)| Step::Lock(n, a)),
        1 => id.prop_map(Step::Activate),
    ]
}

/// Histories of a name that is held and contested.
fn contested_history() -> impl Strategy<Value = Vec<Step>> {
    let opening = |n: u8| {
        let check = Step::Check { n, own: 0, holder: Some(0), stale: false, seen: true };
        [Step::Initiate(n, n, false), Step::Request(n), check]
    };
    let id = || 0_u8..5;
    let check = (id(), prop_oneof![3 => Just(0_u8), 2 => 2_u8..5], proptest::option::of(0_u8..5));
    let turn = prop_oneof![
        3 => prop_oneof![Just(600_i64), Just(14_400), Just(259_200)].prop_map(Step::Wait),
        9 => check.prop_map(|(n, own, holder)| Step::Check { n, own, holder, stale: false, seen: true }),
        1 => (id(), id()).prop_map(|(n, h)| Step::Initiate(n, h, false)),
        1 => id().prop_map(Step::Request),
        1 => id().prop_map(Step::Release),
        1 => id().prop_map(Step::Cancel),
        1 => (id(), id(), any::<bool>()).prop_map(|(n, m, a)| Step::Answer(n, m, a)),
        1 => (id(), any::<bool>()).prop_map(|(n, a)| Step::Lock(n, a)),
    ];
    prop::collection::vec(turn, 1..40).prop_map(move |turns| {
        let begin = (0..3).flat_map(opening);
        begin.chain(turns).collect()
    })
}

fn outcome(n: u8) -> Outcome {
    match n {
        0 | 1 => Outcome::Proven,
        2 => not_proven(Code::RecordNotFound),
        3 => not_proven(Code::Timeout),
        4 => not_proven(Code::BlockedAddress),
        _ => not_proven(Code::Internal),
    }
}

/// Three workspaces with three apps each.
fn holder(n: u8) -> Holder {
    app(["a", "b", "c"][usize::from(n % 3)], n)
}

fn command(scenario: &Scenario, step: &Step) -> Option<Command> {
    // Most commands of holders are for the present holding.
    let holding = |n: u8| scenario.ownership.holding.filter(|_| n < 12).unwrap_or(claim(n));
    Some(match *step {
        Step::Wait(_) => return None,
        // Ids are random and therefore used once.
        Step::Initiate(n, ..) if scenario.log.iter().any(|e| e.claim_id() == claim(n)) => return None,
        Step::Initiate(n, h, refuse) => {
            let what = if refuse { IfHeldByAnother::Refuse } else { IfHeldByAnother::Challenge };
            initiate(n, holder(h), what)
        }
        Step::Request(n) => Command::RequestVerification { claim_id: claim(n) },
        Step::Check { n, own, holder, stale, seen } => Command::RecordCheck {
            claim_id: claim(n),
            attempt: if stale { 0 } else { scenario.pending_attempt(n).unwrap_or(1) },
            outcome: outcome(own),
            holder_outcome: holder.map(outcome),
            evidence: if seen { evidence_of(n) } else { evidence() },
        },
        Step::Expire(n) => Command::Expire { claim_id: claim(n) },
        Step::Cancel(n) => Command::Cancel { claim_id: claim(n) },
        Step::Release(n) => Command::Release { claim_id: claim(n) },
        Step::Revoke(n) => Command::Revoke { claim_id: claim(n) },
        Step::Answer(n, m, accept) => {
            let answer = if accept { ContestAnswer::Accept } else { ContestAnswer::Dispute };
            Command::AnswerContest { claim_id: holding(n), challenger_id: claim(m), answer }
        }
        Step::Resolve(n, grant) => {
            let resolution = if grant { ContestResolution::Granted } else { ContestResolution::Refused };
            Command::ResolveContest { claim_id: claim(n), resolution }
        }
        Step::Lock(n, true) => Command::Lock { claim_id: holding(n) },
        Step::Lock(n, false) => Command::Unlock { claim_id: holding(n) },
        Step::Activate(n) => Command::Activate { claim_id: claim(n) },
    })
}

fn policy() -> impl Strategy<Value = Policy> {
    let contest = prop_oneof![
        3 => Just(ContestPolicy::Evidence),
        1 => Just(ContestPolicy::Immediate),
        2 => Just(ContestPolicy::Grace),
        1 => Just(ContestPolicy::Review)
    ];
    (contest, 1_usize..4, 1_usize..5).prop_map(|(contest, claimant, name)| Policy {
        contest,
        open_claims_per_claimant: claimant,
        open_claims_per_name: name,
        ..Policy::default()
    })
}

fn held_claims(ownership: &Ownership) -> Vec<ClaimId> {
    ownership.claims.values().filter(|c| c.is_held()).map(|c| c.id).collect()
}

/// Whether a claim was proven before it was granted, by a check of its own record.
fn proven_before(log: &[OwnershipEvent], id: ClaimId) -> bool {
    log.iter().any(|e| matches!(e, OwnershipEvent::DomainVerified(v) if v.claim_id == id))
}

/// Runs steps one after the other and checks each transition.
fn run_steps(
    policy: Policy,
    steps: &[Step],
    mut check: impl FnMut(&Transition<'_>) -> Result<(), TestCaseError>,
) -> Result<Scenario, TestCaseError> {
    let mut scenario = Scenario::with(policy);
    for step in steps {
        if let Step::Wait(seconds) = step {
            scenario.now += Duration::seconds(*seconds);
        }
        let Some(command) = command(&scenario, step) else { continue };
        let (before, length) = (scenario.ownership.clone(), scenario.log.len());
        let rejected = scenario.when(command.clone()).err();
        let events = &scenario.log[length..];
        check(&Transition { scenario: &scenario, before: &before, events, command, rejected })?;
    }
    Ok(scenario)
}

/// One command with the state before it and its result.
struct Transition<'a> {
    scenario: &'a Scenario,
    before: &'a Ownership,
    events: &'a [OwnershipEvent],
    command: Command,
    rejected: Option<Rejection>,
}

/// The last outcome of the holder's record, and the holder's answers to challengers.
#[derive(Default)]
struct HoldingView {
    id: Option<ClaimId>,
    last_outcome: Option<CheckOutcome>,
    /// By challenger: the answer of this holder in the present contest.
    answers: std::collections::BTreeMap<ClaimId, ContestAnswer>,
}

impl HoldingView {
    fn evolve(&mut self, event: &OwnershipEvent) {
        match event {
            OwnershipEvent::OwnershipGranted(e) => {
                *self = Self {
                    id: Some(e.claim_id),
                    last_outcome: Some(CheckOutcome::Proven),
                    ..Self::default()
                };
            }
            OwnershipEvent::OwnershipEnded(e) if self.id == Some(e.claim_id) => *self = Self::default(),
            OwnershipEvent::CheckRecorded(e) if self.id == Some(e.claim_id) => {
                self.last_outcome = Some(e.outcome);
            }
            OwnershipEvent::CheckRecorded(e) => self.last_outcome = e.holder_record.or(self.last_outcome),
            OwnershipEvent::ContestOpened(e) => {
                self.answers.remove(&e.claim_id);
            }
            OwnershipEvent::ContestAnswered(e) if self.id == Some(e.holder_claim_id) => {
                self.answers.insert(e.claim_id, e.answer);
            }
            _ => {}
        }
    }

    /// Whether the holding may end for this reason, after the earlier events of the same decision.
    fn may_end(&self, transition: &Transition<'_>, reason: EndReason, earlier: &[OwnershipEvent]) -> bool {
        let gone = self.last_outcome == Some(CheckOutcome::Absent);
        let locked = transition.before.holder_claim().and_then(Claim::held).is_some_and(|held| held.locked);
        let granted = earlier.iter().rev().find_map(|event| match event {
            OwnershipEvent::ContestResolved(e) => Some((e.claim_id, e.by)),
            _ => None,
        });
        match reason {
            EndReason::Released => matches!(transition.command, Command::Release { .. }),
            EndReason::Revoked => matches!(transition.command, Command::Revoke { .. }),
            EndReason::Lapsed => gone,
            EndReason::Transferred => match granted {
                Some((_, ContestResolvedBy::Operator)) => {
                    matches!(transition.command, Command::ResolveContest { .. })
                }
                _ if locked => false,
                Some((challenger, ContestResolvedBy::HolderAccepted)) => {
                    self.answers.get(&challenger) == Some(&ContestAnswer::Accept)
                }
                Some((_, by)) => by == ContestResolvedBy::HolderRecordRemoved && gone,
                None => match transition.scenario.policy.contest {
                    ContestPolicy::Immediate => true,
                    ContestPolicy::Evidence => gone,
                    ContestPolicy::Grace | ContestPolicy::Review => false,
                },
            },
        }
    }
}

/// Claims that count towards a limit: open, and not overdue.
fn running(transition: &Transition<'_>, state: &Ownership) -> Vec<Claim> {
    let now = transition.scenario.now;
    state.claims.values().filter(|c| c.is_open() && !c.is_overdue(now)).cloned().collect()
}

fn count_of(claims: &[Claim], workspace: &WorkspaceId) -> usize {
    claims.iter().filter(|c| c.holder.workspace() == workspace && !c.is_held()).count()
}

/// The invariants of a command that claims the name.
fn check_newcomer(transition: &Transition<'_>) -> Result<(), TestCaseError> {
    let Command::Initiate { holder, if_held_by_another, .. } = &transition.command else {
        // Claims give way to newcomers only.
        let gave_way =
            |e: &OwnershipEvent| matches!(e, OwnershipEvent::ClaimExpired(e) if e.reason.is_some());
        prop_assert!(!transition.events.iter().any(gave_way));
        return Ok(());
    };
    let (policy, newcomer) = (&transition.scenario.policy, holder.workspace());
    let before = running(transition, transition.before);
    match transition.rejected {
        Some(Rejection::HeldByAnother) => prop_assert_eq!(*if_held_by_another, IfHeldByAnother::Refuse),
        Some(Rejection::TooManyClaims { limit }) => {
            prop_assert_eq!(limit, policy.open_claims_per_claimant);
            prop_assert!(count_of(&before, newcomer) >= limit, "rejected because of the claims of others");
        }
        Some(other) => prop_assert!(false, "{other:?}"),
        None => {}
    }
    if !transition.events.iter().any(|e| matches!(e, OwnershipEvent::ClaimInitiated(_))) {
        return Ok(());
    }
    let after = running(transition, &transition.scenario.ownership);
    prop_assert!(count_of(&after, newcomer) <= policy.open_claims_per_claimant);
    prop_assert!(after.iter().filter(|c| c.is_unseen()).count() <= policy.open_claims_per_name);
    for event in transition.events {
        let OwnershipEvent::ClaimExpired(e) = event else { continue };
        let claim = &transition.before.claims[&e.claim_id];
        match e.reason {
            None => prop_assert!(claim.holder == *holder && claim.is_overdue(transition.scenario.now)),
            Some(ExpiryReason::GaveWay) => {
                let unproven =
                    matches!(claim.state, ClaimState::Initiated { .. } | ClaimState::Verifying { .. });
                prop_assert!(unproven && !claim.seen, "{:?} gave way", claim.state);
                let unseen: Vec<Claim> = before.iter().filter(|c| c.is_unseen()).cloned().collect();
                let share = |workspace| count_of(&unseen, workspace);
                prop_assert!(
                    claim.holder.workspace() == newcomer || share(claim.holder.workspace()) > share(newcomer),
                    "gave way to a workspace with as many claims"
                );
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn name_is_lost_only_by_absence_or_decision(
        policy in policy(),
        steps in prop_oneof![4 => contested_history(), 1 => prop::collection::vec(step(), 1..120)],
    ) {
        let mut holding = HoldingView::default();
        run_steps(policy, &steps, |transition| {
            for (index, event) in transition.events.iter().enumerate() {
                if let OwnershipEvent::OwnershipEnded(e) = event {
                    prop_assert_eq!(holding.id, Some(e.claim_id));
                    let may = holding.may_end(transition, e.reason, &transition.events[..index]);
                    prop_assert!(may, "{:?} after the outcome {:?}", e.reason, holding.last_outcome);
                }
                if let (OwnershipEvent::ContestAnswered(e), Command::AnswerContest { challenger_id, .. }) =
                    (event, &transition.command)
                {
                    prop_assert_eq!(e.claim_id, *challenger_id, "answered another challenger");
                }
                holding.evolve(event);
            }
            Ok(())
        })?;
    }

    #[test]
    fn newcomers_are_let_in_and_seen_claims_stay(policy in policy(), steps in prop::collection::vec(step(), 1..120)) {
        run_steps(policy, &steps, check_newcomer)?;
    }

    #[test]
    fn every_history_keeps_the_invariants(policy in policy(), steps in prop::collection::vec(step(), 1..80)) {
        let scenario = run_steps(policy, &steps, |transition| {
            let Transition { scenario, before, events, rejected, .. } = transition;
            if rejected.is_some() {
                prop_assert_eq!(&scenario.ownership, *before, "a rejected command changes nothing");
            }
            // There is at most one holder, and it is the recorded one.
            let held = held_claims(&scenario.ownership);
            prop_assert!(held.len() <= 1);
            prop_assert_eq!(held.first().copied(), scenario.ownership.holding);
            // Every holder has a proof.
            if let Some(holding) = scenario.ownership.holding {
                prop_assert!(proven_before(&scenario.log, holding));
            }
            // No claim stays proven without a grant or a contest.
            prop_assert!(scenario.ownership.claims.values().all(|c| c.state != ClaimState::Proven));
            // An ended claim has no more events.
            for event in *events {
                let was_ended = before.claims.get(&event.claim_id()).is_some_and(|c| !c.is_open());
                prop_assert!(!was_ended, "{event:?}");
            }
            // An open claim always has due work, an ended one never.
            for claim in scenario.ownership.claims.values() {
                prop_assert_eq!(claim.due().is_empty(), !claim.is_open(), "{:?}", claim);
                if let Some(pending) = claim.pending {
                    prop_assert!(pending.attempt > claim.settled);
                }
            }
            Ok(())
        })?;
        // The fold is deterministic, and every event round-trips through JSON.
        let mut folded = Ownership::default();
        for event in &scenario.log {
            let event = Event::from(event.clone());
            let json = event.payload().unwrap();
            let back = Event::from_parts(event.kind(), event.schema(), &json).unwrap();
            prop_assert_eq!(&back, &event);
            let Event::Ownership(inner) = back else { unreachable!() };
            folded = folded.evolve(&inner);
        }
        prop_assert_eq!(&folded, &scenario.ownership);
        // The state round-trips as well.
        let json = serde_json::to_string(&folded).unwrap();
        prop_assert_eq!(serde_json::from_str::<Ownership>(&json).unwrap(), folded);
    }

    #[test]
    fn evolve_is_total(events in prop::collection::vec(0_usize..1000, 0..30), seed in prop::collection::vec(step(), 10..60)) {
        // Events of a real history in any order and number never cause a panic.
        let mut scenario = Scenario::default();
        for step in &seed {
            if let Some(command) = command(&scenario, step) {
                let _ = scenario.when(command);
            }
        }
        let mut state = Ownership::default();
        for pick in events {
            if let Some(event) = scenario.log.get(pick % scenario.log.len().max(1)) {
                state = state.evolve(event);
            }
        }
    }
}
