//! What holds for every history that commands can make.
mod given;

use chrono::Duration;
use deed_claims::{
    CheckOutcome, Claim, ClaimId, ClaimState, Code, Command, ContestAnswer, ContestPolicy, ContestResolution,
    ContestResolvedBy, EndReason, Event, ExpiryReason, Holder, IfHeldByAnother, Outcome, Ownership,
    OwnershipEvent, Policy, Rejection, WorkspaceId,
};
use given::{Story, app, claim, evidence, evidence_of, initiate, not_proven};
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

/// A name that is held and contested, and what holder, challengers, operators and time do with it.
fn duel() -> impl Strategy<Value = Vec<Step>> {
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

fn command(story: &Story, step: &Step) -> Option<Command> {
    // What is done by a holder and in a contest is mostly meant for those there are.
    let holding = |n: u8| story.ownership.holding.filter(|_| n < 12).unwrap_or(claim(n));
    Some(match *step {
        Step::Wait(_) => return None,
        // An id is used once, as entropy gives it.
        Step::Initiate(n, ..) if story.log.iter().any(|e| e.claim_id() == claim(n)) => return None,
        Step::Initiate(n, h, refuse) => {
            let what = if refuse { IfHeldByAnother::Refuse } else { IfHeldByAnother::Challenge };
            initiate(n, holder(h), what)
        }
        Step::Request(n) => Command::RequestVerification { claim_id: claim(n) },
        Step::Check { n, own, holder, stale, seen } => Command::RecordCheck {
            claim_id: claim(n),
            attempt: if stale { 0 } else { story.pending_attempt(n).unwrap_or(1) },
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

/// Steps taken one after the other, with what each of them changed.
fn tell(
    policy: Policy,
    steps: &[Step],
    mut told: impl FnMut(&Commanded<'_>) -> Result<(), TestCaseError>,
) -> Result<Story, TestCaseError> {
    let mut story = Story::with(policy);
    for step in steps {
        if let Step::Wait(seconds) = step {
            story.now += Duration::seconds(*seconds);
        }
        let Some(command) = command(&story, step) else { continue };
        let (before, length) = (story.ownership.clone(), story.log.len());
        let rejected = story.when(command.clone()).err();
        told(&Commanded { story: &story, before: &before, events: &story.log[length..], command, rejected })?;
    }
    Ok(story)
}

/// One command and what came of it.
struct Commanded<'a> {
    story: &'a Story,
    before: &'a Ownership,
    events: &'a [OwnershipEvent],
    command: Command,
    rejected: Option<Rejection>,
}

/// What is known of the holder's record, and what the holder said to challengers.
#[derive(Default)]
struct Holding {
    id: Option<ClaimId>,
    last_look: Option<CheckOutcome>,
    /// By challenger: the answer of this holder in the present contest.
    answers: std::collections::BTreeMap<ClaimId, ContestAnswer>,
}

impl Holding {
    fn evolve(&mut self, event: &OwnershipEvent) {
        match event {
            OwnershipEvent::OwnershipGranted(e) => {
                *self =
                    Self { id: Some(e.claim_id), last_look: Some(CheckOutcome::Proven), ..Self::default() };
            }
            OwnershipEvent::OwnershipEnded(e) if self.id == Some(e.claim_id) => *self = Self::default(),
            OwnershipEvent::CheckRecorded(e) if self.id == Some(e.claim_id) => {
                self.last_look = Some(e.outcome);
            }
            OwnershipEvent::CheckRecorded(e) => self.last_look = e.holder_record.or(self.last_look),
            OwnershipEvent::ContestOpened(e) => {
                self.answers.remove(&e.claim_id);
            }
            OwnershipEvent::ContestAnswered(e) if self.id == Some(e.holder_claim_id) => {
                self.answers.insert(e.claim_id, e.answer);
            }
            _ => {}
        }
    }

    /// Whether the holding may end so, after the events of the same decision that came before.
    fn may_end(&self, told: &Commanded<'_>, reason: EndReason, earlier: &[OwnershipEvent]) -> bool {
        let gone = self.last_look == Some(CheckOutcome::Absent);
        let locked = told.before.holder_claim().and_then(Claim::held).is_some_and(|held| held.locked);
        let granted = earlier.iter().rev().find_map(|event| match event {
            OwnershipEvent::ContestResolved(e) => Some((e.claim_id, e.by)),
            _ => None,
        });
        match reason {
            EndReason::Released => matches!(told.command, Command::Release { .. }),
            EndReason::Revoked => matches!(told.command, Command::Revoke { .. }),
            EndReason::Lapsed => gone,
            EndReason::Transferred => match granted {
                Some((_, ContestResolvedBy::Operator)) => {
                    matches!(told.command, Command::ResolveContest { .. })
                }
                _ if locked => false,
                Some((challenger, ContestResolvedBy::HolderAccepted)) => {
                    self.answers.get(&challenger) == Some(&ContestAnswer::Accept)
                }
                Some((_, by)) => by == ContestResolvedBy::HolderRecordRemoved && gone,
                None => match told.story.policy.contest {
                    ContestPolicy::Immediate => true,
                    ContestPolicy::Evidence => gone,
                    ContestPolicy::Grace | ContestPolicy::Review => false,
                },
            },
        }
    }
}

/// Claims that count for a cap: open, and their deadline has not passed.
fn running(told: &Commanded<'_>, state: &Ownership) -> Vec<Claim> {
    let now = told.story.now;
    state.claims.values().filter(|c| c.is_open() && !c.is_overdue(now)).cloned().collect()
}

fn of(claims: &[Claim], workspace: &WorkspaceId) -> usize {
    claims.iter().filter(|c| c.holder.workspace() == workspace && !c.is_held()).count()
}

/// What has to hold of a command that claims the name.
fn lets_in(told: &Commanded<'_>) -> Result<(), TestCaseError> {
    let Command::Initiate { holder, if_held_by_another, .. } = &told.command else {
        // Room is made for newcomers alone.
        let gave_way =
            |e: &OwnershipEvent| matches!(e, OwnershipEvent::ClaimExpired(e) if e.reason.is_some());
        prop_assert!(!told.events.iter().any(gave_way));
        return Ok(());
    };
    let (policy, newcomer) = (&told.story.policy, holder.workspace());
    let before = running(told, told.before);
    match told.rejected {
        Some(Rejection::HeldByAnother) => prop_assert_eq!(*if_held_by_another, IfHeldByAnother::Refuse),
        Some(Rejection::TooManyClaims { limit }) => {
            prop_assert_eq!(limit, policy.open_claims_per_claimant);
            prop_assert!(of(&before, newcomer) >= limit, "refused for what others have");
        }
        Some(other) => prop_assert!(false, "{other:?}"),
        None => {}
    }
    if !told.events.iter().any(|e| matches!(e, OwnershipEvent::ClaimInitiated(_))) {
        return Ok(());
    }
    let after = running(told, &told.story.ownership);
    prop_assert!(of(&after, newcomer) <= policy.open_claims_per_claimant);
    prop_assert!(after.iter().filter(|c| c.is_unseen()).count() <= policy.open_claims_per_name);
    for event in told.events {
        let OwnershipEvent::ClaimExpired(e) = event else { continue };
        let claim = &told.before.claims[&e.claim_id];
        match e.reason {
            None => prop_assert!(claim.holder == *holder && claim.is_overdue(told.story.now)),
            Some(ExpiryReason::GaveWay) => {
                let unproven =
                    matches!(claim.state, ClaimState::Initiated { .. } | ClaimState::Verifying { .. });
                prop_assert!(unproven && !claim.seen, "{:?} gave way", claim.state);
                let unseen: Vec<Claim> = before.iter().filter(|c| c.is_unseen()).cloned().collect();
                let share = |workspace| of(&unseen, workspace);
                prop_assert!(
                    claim.holder.workspace() == newcomer || share(claim.holder.workspace()) > share(newcomer),
                    "gave way to a workspace that has as many"
                );
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn a_name_is_lost_only_by_absence_or_by_word(
        policy in policy(),
        steps in prop_oneof![4 => duel(), 1 => prop::collection::vec(step(), 1..120)],
    ) {
        let mut holding = Holding::default();
        tell(policy, &steps, |told| {
            for (index, event) in told.events.iter().enumerate() {
                if let OwnershipEvent::OwnershipEnded(e) = event {
                    prop_assert_eq!(holding.id, Some(e.claim_id));
                    let may = holding.may_end(told, e.reason, &told.events[..index]);
                    prop_assert!(may, "{:?} after a look that said {:?}", e.reason, holding.last_look);
                }
                if let (OwnershipEvent::ContestAnswered(e), Command::AnswerContest { challenger_id, .. }) =
                    (event, &told.command)
                {
                    prop_assert_eq!(e.claim_id, *challenger_id, "answered for another");
                }
                holding.evolve(event);
            }
            Ok(())
        })?;
    }

    #[test]
    fn newcomers_are_let_in_and_the_seen_stay(policy in policy(), steps in prop::collection::vec(step(), 1..120)) {
        tell(policy, &steps, lets_in)?;
    }

    #[test]
    fn every_history_keeps_the_promises(policy in policy(), steps in prop::collection::vec(step(), 1..80)) {
        let story = tell(policy, &steps, |told| {
            let Commanded { story, before, events, rejected, .. } = told;
            if rejected.is_some() {
                prop_assert_eq!(&story.ownership, *before, "a refused command changes nothing");
            }
            // At most one holder, and the holder is the one that is recorded.
            let held = held_claims(&story.ownership);
            prop_assert!(held.len() <= 1);
            prop_assert_eq!(held.first().copied(), story.ownership.holding);
            // Nobody gets a name without proof.
            if let Some(holding) = story.ownership.holding {
                prop_assert!(proven_before(&story.log, holding));
            }
            // Between events nothing stays merely proven.
            prop_assert!(story.ownership.claims.values().all(|c| c.state != ClaimState::Proven));
            // A terminal claim emits nothing.
            for event in *events {
                let was_ended = before.claims.get(&event.claim_id()).is_some_and(|c| !c.is_open());
                prop_assert!(!was_ended, "{event:?}");
            }
            // Work is due for every claim that can still change by itself, never for one that is over.
            for claim in story.ownership.claims.values() {
                prop_assert_eq!(claim.due().is_empty(), !claim.is_open(), "{:?}", claim);
                if let Some(pending) = claim.pending {
                    prop_assert!(pending.attempt > claim.settled);
                }
            }
            Ok(())
        })?;
        // Folding is deterministic, and every event survives its JSON.
        let mut folded = Ownership::default();
        for event in &story.log {
            let event = Event::from(event.clone());
            let json = event.payload().unwrap();
            let back = Event::from_parts(event.kind(), event.schema(), &json).unwrap();
            prop_assert_eq!(&back, &event);
            let Event::Ownership(inner) = back else { unreachable!() };
            folded = folded.evolve(&inner);
        }
        prop_assert_eq!(&folded, &story.ownership);
        // So does the state.
        let json = serde_json::to_string(&folded).unwrap();
        prop_assert_eq!(serde_json::from_str::<Ownership>(&json).unwrap(), folded);
    }

    #[test]
    fn evolve_is_total(events in prop::collection::vec(0_usize..1000, 0..30), seed in prop::collection::vec(step(), 10..60)) {
        // Events of a real history in any order and number never panic.
        let mut story = Story::default();
        for step in &seed {
            if let Some(command) = command(&story, step) {
                let _ = story.when(command);
            }
        }
        let mut state = Ownership::default();
        for pick in events {
            if let Some(event) = story.log.get(pick % story.log.len().max(1)) {
                state = state.evolve(event);
            }
        }
    }
}
