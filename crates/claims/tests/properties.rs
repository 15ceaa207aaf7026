//! What holds for every history that commands can make.
mod given;

use chrono::Duration;
use deed_claims::{
    ClaimState, Code, Command, ContestAnswer, ContestPolicy, ContestResolution, Event, IfHeldByAnother,
    Outcome, Ownership, OwnershipEvent, Policy,
};
use given::{Story, claim, evidence, initiate, not_proven, workspace};
use proptest::prelude::*;

/// One step of a random history.
#[derive(Debug, Clone)]
enum Step {
    Wait(i64),
    Initiate(u8, u8, bool),
    Request(u8),
    Check(u8, u8, Option<u8>, bool),
    Expire(u8),
    Cancel(u8),
    Release(u8),
    Revoke(u8),
    Answer(u8, bool),
    Resolve(u8, bool),
    Lock(u8, bool),
    Activate(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let id = 0_u8..12;
    prop_oneof![
        3 => (0_i64..400_000).prop_map(Step::Wait),
        4 => (id.clone(), 0_u8..4, any::<bool>()).prop_map(|(n, h, r)| Step::Initiate(n, h, r)),
        4 => id.clone().prop_map(Step::Request),
        8 => (id.clone(), 0_u8..6, proptest::option::of(0_u8..6), prop::bool::weighted(0.1))
            .prop_map(|(n, o, h, stale)| Step::Check(n, o, h, stale)),
        1 => id.clone().prop_map(Step::Expire),
        1 => id.clone().prop_map(Step::Cancel),
        1 => id.clone().prop_map(Step::Release),
        1 => id.clone().prop_map(Step::Revoke),
        1 => (id.clone(), any::<bool>()).prop_map(|(n, a)| Step::Answer(n, a)),
        1 => (id.clone(), any::<bool>()).prop_map(|(n, a)| Step::Resolve(n, a)),
        1 => (id.clone(), any::<bool>()).prop_map(|(n, a)| Step::Lock(n, a)),
        1 => id.prop_map(Step::Activate),
    ]
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

fn command(story: &Story, step: &Step) -> Option<Command> {
    let holders = ["a", "b", "c", "d"];
    Some(match *step {
        Step::Wait(_) => return None,
        // An id is used once, as entropy gives it.
        Step::Initiate(n, ..) if story.log.iter().any(|e| e.claim_id() == claim(n)) => return None,
        Step::Initiate(n, h, refuse) => {
            let what = if refuse { IfHeldByAnother::Refuse } else { IfHeldByAnother::Challenge };
            initiate(n, workspace(holders[usize::from(h)]), what)
        }
        Step::Request(n) => Command::RequestVerification { claim_id: claim(n) },
        Step::Check(n, own, holder, stale) => Command::RecordCheck {
            claim_id: claim(n),
            attempt: if stale { 0 } else { story.pending_attempt(n).unwrap_or(1) },
            outcome: outcome(own),
            holder_outcome: holder.map(outcome),
            evidence: evidence(),
        },
        Step::Expire(n) => Command::Expire { claim_id: claim(n) },
        Step::Cancel(n) => Command::Cancel { claim_id: claim(n) },
        Step::Release(n) => Command::Release { claim_id: claim(n) },
        Step::Revoke(n) => Command::Revoke { claim_id: claim(n) },
        Step::Answer(n, accept) => {
            let answer = if accept { ContestAnswer::Accept } else { ContestAnswer::Dispute };
            Command::AnswerContest { claim_id: claim(n), answer }
        }
        Step::Resolve(n, grant) => {
            let resolution = if grant { ContestResolution::Granted } else { ContestResolution::Refused };
            Command::ResolveContest { claim_id: claim(n), resolution }
        }
        Step::Lock(n, true) => Command::Lock { claim_id: claim(n) },
        Step::Lock(n, false) => Command::Unlock { claim_id: claim(n) },
        Step::Activate(n) => Command::Activate { claim_id: claim(n) },
    })
}

fn policy() -> impl Strategy<Value = Policy> {
    prop_oneof![
        Just(ContestPolicy::Evidence),
        Just(ContestPolicy::Immediate),
        Just(ContestPolicy::Grace),
        Just(ContestPolicy::Review)
    ]
    .prop_map(|contest| Policy { contest, ..Policy::default() })
}

fn held_claims(ownership: &Ownership) -> Vec<deed_claims::ClaimId> {
    ownership.claims.values().filter(|c| c.is_held()).map(|c| c.id).collect()
}

/// Whether a claim was proven before it was granted, by a check of its own record.
fn proven_before(log: &[OwnershipEvent], id: deed_claims::ClaimId) -> bool {
    log.iter().any(|e| matches!(e, OwnershipEvent::DomainVerified(v) if v.claim_id == id))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn every_history_keeps_the_promises(policy in policy(), steps in prop::collection::vec(step(), 1..80)) {
        let mut story = Story::with(policy);
        for step in &steps {
            if let Step::Wait(seconds) = step {
                story.now += Duration::seconds(*seconds);
            }
            let Some(command) = command(&story, step) else { continue };
            let before = story.ownership.clone();
            let told = story.log.len();
            let result = story.when(command);
            if result.is_err() {
                prop_assert_eq!(&story.ownership, &before, "a refused command changes nothing");
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
            for event in &story.log[told..] {
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
        }
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
