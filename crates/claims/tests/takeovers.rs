//! Attacks: attempts to take a name from its holder, or to keep its owner from claiming it.
//!
//! | attack | result for the attacker | result for the owner |
//! |---|---|---|
//! | `waits_for_a_silent_holder` | refused after 72 h | a contest, then the name kept |
//! | `waits_for_a_disputing_holder` | refused after 72 h | the same |
//! | `keeps_the_holders_record_from_being_seen` | refused after 144 h | the same |
//! | `looks_while_the_record_is_gone_for_a_moment` | the name under `evidence`, nothing under `grace` | transferred; a contest, then the name kept |
//! | `contests_from_two_workspaces` | refused, both | two contests, then the name kept |
//! | `claims_again_after_each_refusal` | refused each time, with a new record | a contest each time, the name kept |
//! | `uses_what_was_accepted_for_another` | nothing | the accepted challenger gets the name |
//! | `contests_a_holding_that_gets_locked` | nothing | an operator decides |
//! | `opens_fifty_claims_with_fifty_apps` | three claims | can claim |
//! | `opens_sixty_claims_from_sixty_workspaces` | fifty claims at most | can claim, each time |
//! | `floods_with_claims_it_never_verifies` | claims that give way to each other | a watched claim that stays |
//! | `floods_with_watched_claims_of_few_workspaces` | claims that give way to each other | a claim that stays, watched or not |
//! | `floods_with_watched_claims_of_many_workspaces` | the owner's unpublished claim ends | expired, can claim at once; a published record is safe |
//! | `floods_after_the_record_was_seen` | no seen claim gives way | verified |
//! | `floods_while_the_servers_are_silent` | the same | the same |
//! | `floods_a_name_that_is_held_and_contested` | nothing | holding and contest stay |
//! | `publishes_the_token_of_a_cancelled_claim` | not proven | – |
//! | `publishes_the_token_of_an_expired_claim` | not proven | – |
//! | `publishes_the_token_of_a_claim_that_gave_way` | not proven | – |
//! | `publishes_the_token_of_a_lapsed_holding` | not proven | – |
//! | `relies_on_the_holders_record` | not proven | – |
//! | `fills_the_fold_with_ended_claims` | fifty claims kept | its own ended holding is kept |
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod given;

use std::ops::Range;

use chrono::Duration;
use deed_claims::{
    Command, ContestAnswer, ContestPolicy, ContestResolvedBy, ExpiryReason, IfHeldByAnother, OwnershipEvent,
    Policy, Rejection, Status,
};
use deed_diagnosis::{Code, Context, EarlierValue, Outcome, judge_within};
use given::{Scenario, absent, answer, app, challenge, claim, initiate, observed, unreachable};

/// The owner holds the name through claim 1; the attacker's claim 2 is proven beside it.
fn attacked(contest: ContestPolicy) -> Scenario {
    let mut scenario = Scenario::with(Policy { contest, ..Policy::default() }).held_by(1, "owner");
    scenario.watch(2, "attacker");
    scenario.check_both(2, Outcome::Proven, Some(Outcome::Proven)).unwrap();
    assert_eq!(scenario.status(2), Some(Status::Contested));
    scenario
}

/// Makes checks that prove the attacker's record and have this outcome for the owner's, until the contest of claim `n`
/// is over.
fn wait_for_the_end(mut scenario: Scenario, n: u8, owner: &Outcome) -> Scenario {
    let begin = scenario.now;
    while scenario.status(n) == Some(Status::Contested) {
        scenario = scenario.until_next_check(n);
        scenario.check_both(n, Outcome::Proven, Some(owner.clone())).unwrap();
        assert!(scenario.now - begin < Duration::days(30), "the contest never ends");
    }
    scenario
}

#[track_caller]
fn owner_keeps(scenario: &Scenario, by: ContestResolvedBy) {
    assert_eq!(
        (scenario.status(1), scenario.status(2), scenario.resolved_by()),
        (Some(Status::Verified), Some(Status::Refused), Some(by))
    );
}

#[test]
fn waits_for_a_silent_holder() {
    let scenario = wait_for_the_end(attacked(ContestPolicy::Evidence), 2, &Outcome::Proven);
    owner_keeps(&scenario, ContestResolvedBy::HolderRecordStands);
}

#[test]
fn waits_for_a_disputing_holder() {
    let mut scenario = attacked(ContestPolicy::Evidence);
    scenario.answer(1, 2, ContestAnswer::Dispute).unwrap();
    owner_keeps(&wait_for_the_end(scenario, 2, &Outcome::Proven), ContestResolvedBy::Disputed);
}

#[test]
fn keeps_the_holders_record_from_being_seen() {
    let scenario = wait_for_the_end(attacked(ContestPolicy::Evidence), 2, &unreachable());
    owner_keeps(&scenario, ContestResolvedBy::HolderRecordUnknown);
    assert_eq!(scenario.now, given::start() + Duration::hours(144));
}

#[test]
fn looks_while_the_record_is_gone_for_a_moment() {
    let mut scenario = attacked(ContestPolicy::Evidence).until_next_check(2);
    scenario.check_both(2, Outcome::Proven, Some(absent())).unwrap();
    assert_eq!((scenario.status(1), scenario.status(2)), (Some(Status::Transferred), Some(Status::Verified)));
    // The policy `grace` gives every holder time to restore the record.
    let mut scenario = attacked(ContestPolicy::Grace).until_next_check(2);
    scenario.check_both(2, Outcome::Proven, Some(absent())).unwrap();
    owner_keeps(&wait_for_the_end(scenario, 2, &Outcome::Proven), ContestResolvedBy::HolderRecordStands);
}

#[test]
fn contests_from_two_workspaces() {
    let mut scenario = attacked(ContestPolicy::Evidence);
    scenario.watch(3, "accomplice");
    scenario.check_both(3, Outcome::Proven, Some(Outcome::Proven)).unwrap();
    let scenario = wait_for_the_end(scenario, 2, &Outcome::Proven);
    assert_eq!(scenario.status(3), Some(Status::Contested), "the contests are independent");
    let scenario = wait_for_the_end(scenario, 3, &Outcome::Proven);
    owner_keeps(&scenario, ContestResolvedBy::HolderRecordStands);
    assert_eq!(scenario.status(3), Some(Status::Refused));
}

#[test]
fn claims_again_after_each_refusal() {
    let mut scenario = wait_for_the_end(attacked(ContestPolicy::Evidence), 2, &Outcome::Proven);
    for n in 3..8 {
        scenario.watch(n, "attacker");
        assert_ne!(challenge(n).record_value, challenge(n - 1).record_value);
        scenario.check_both(n, Outcome::Proven, Some(Outcome::Proven)).unwrap();
        let begin = scenario.now;
        scenario = wait_for_the_end(scenario, n, &Outcome::Proven);
        assert_eq!((scenario.status(1), scenario.status(n)), (Some(Status::Verified), Some(Status::Refused)));
        assert_eq!(scenario.now - begin, Duration::hours(72));
    }
    assert_eq!(scenario.ownership.claims.len(), 2, "only the last of the attacker's claims is kept");
}

#[test]
fn uses_what_was_accepted_for_another() {
    let mut scenario = attacked(ContestPolicy::Evidence);
    scenario.watch(3, "buyer");
    scenario.check_both(3, Outcome::Proven, Some(Outcome::Proven)).unwrap();
    let mut scenario = scenario.until_next_check(3);
    scenario.check(3, unreachable()).unwrap();
    assert_eq!(scenario.answer(1, 3, ContestAnswer::Accept).unwrap(), ["ContestAnswered"]);
    let mut scenario = scenario.until_next_check(2);
    scenario.check_both(2, Outcome::Proven, Some(Outcome::Proven)).unwrap();
    assert!(scenario.has(1));
    let mut scenario = scenario.until_next_check(3);
    scenario.check_both(3, Outcome::Proven, Some(Outcome::Proven)).unwrap();
    assert!(scenario.has(3));
    assert_eq!(scenario.status(2), Some(Status::Refused));
}

#[test]
fn contests_a_holding_that_gets_locked() {
    let mut scenario = attacked(ContestPolicy::Evidence);
    scenario.when(Command::Lock { claim_id: claim(1) }).unwrap();
    for owner in [absent(), Outcome::Proven, unreachable(), absent()] {
        scenario = scenario.after(Duration::hours(72));
        scenario.check_both(2, Outcome::Proven, Some(owner)).unwrap();
        assert_eq!(
            (scenario.status(1), scenario.status(2)),
            (Some(Status::Verified), Some(Status::Contested))
        );
    }
}

/// The numbers of the claims that gave way.
fn gave_way(scenario: &Scenario) -> Vec<u8> {
    let number = |event: &OwnershipEvent| match event {
        OwnershipEvent::ClaimExpired(e) if e.reason == Some(ExpiryReason::GaveWay) => {
            Some(e.claim_id.as_bytes()[0])
        }
        _ => None,
    };
    scenario.log.iter().filter_map(number).collect()
}

/// Makes one claim for each of many workspaces.
fn flood(scenario: &mut Scenario, numbers: Range<u8>, watched: bool) {
    for n in numbers {
        scenario.now += Duration::seconds(1);
        scenario.initiate(n, &format!("flood{n}")).unwrap();
        if watched {
            scenario.request(n).unwrap();
        }
    }
}

#[test]
fn opens_fifty_claims_with_fifty_apps() {
    let mut scenario = Scenario::default();
    let mut opens =
        |n: u8, of: &str| scenario.when(initiate(n, app(of, n), IfHeldByAnother::Challenge)).is_ok();
    let opened = (1..51).filter(|n| opens(*n, "attacker")).count();
    assert_eq!(opened, 3);
    assert!(opens(100, "owner"));
    assert!(gave_way(&scenario).is_empty());
    let refused = scenario.when(initiate(4, app("attacker", 4), IfHeldByAnother::Challenge));
    assert_eq!(refused, Err(Rejection::TooManyClaims { limit: 3 }));
    // An ended claim makes room for another.
    scenario.when(Command::Cancel { claim_id: claim(1) }).unwrap();
    assert!(scenario.when(initiate(4, app("attacker", 4), IfHeldByAnother::Challenge)).is_ok());
}

#[test]
fn opens_sixty_claims_from_sixty_workspaces() {
    let mut scenario = Scenario::default();
    flood(&mut scenario, 1..61, false);
    assert_eq!(gave_way(&scenario), (1..11).collect::<Vec<u8>>(), "the oldest first");
    for n in [100, 101, 102] {
        // The owner can claim at any time, and again.
        assert_eq!(scenario.initiate(n, "owner").unwrap(), ["ClaimExpired", "ClaimInitiated"]);
        scenario.when(Command::Cancel { claim_id: claim(n) }).unwrap();
        flood(&mut scenario, 58 + n..59 + n, false);
    }
    let open = scenario.ownership.claims.values().filter(|claim| claim.is_open()).count();
    assert_eq!(open, 50);
}

#[test]
fn floods_with_claims_it_never_verifies() {
    let mut scenario = Scenario::default();
    scenario.watch(1, "owner");
    flood(&mut scenario, 2..201, false);
    assert_eq!(scenario.status(1), Some(Status::Verifying));
    assert!(!gave_way(&scenario).contains(&1));
}

#[test]
fn floods_with_watched_claims_of_few_workspaces() {
    for watched in [true, false] {
        let mut scenario = Scenario::default();
        scenario.when(initiate(1, app("owner", 1), IfHeldByAnother::Challenge)).unwrap();
        if watched {
            scenario.request(1).unwrap();
        }
        // Seventeen workspaces open three claims each, and replace each one that gives way.
        for n in 2..201 {
            scenario.now += Duration::seconds(1);
            let holder = app(&format!("flood{}", n % 17), n);
            if scenario.when(initiate(n, holder, IfHeldByAnother::Challenge)).is_ok() {
                scenario.request(n).unwrap();
            }
        }
        assert!(!gave_way(&scenario).is_empty());
        assert!(!gave_way(&scenario).contains(&1), "the owner has fewer than any of them");
    }
}

#[test]
fn floods_with_watched_claims_of_many_workspaces() {
    let mut scenario = Scenario::default();
    scenario.watch(1, "owner");
    scenario.check(1, absent()).unwrap();
    flood(&mut scenario, 2..61, true);
    // It does not differ from the others, and is the oldest.
    assert_eq!(scenario.status(1), Some(Status::Expired));
    assert_eq!(gave_way(&scenario).first(), Some(&1));
    scenario.watch(100, "owner");
    assert_eq!(scenario.check_seen(100).unwrap(), ["CheckRecorded"]);
    flood(&mut scenario, 101..201, true);
    assert_eq!(scenario.status(100), Some(Status::Verifying));
    let mut scenario = scenario.until_next_check(100);
    scenario.check(100, Outcome::Proven).unwrap();
    assert!(scenario.has(100));
}

#[test]
fn floods_after_the_record_was_seen() {
    for watched in [true, false] {
        let mut scenario = Scenario::default();
        scenario.watch(1, "owner");
        scenario.check_seen(1).unwrap();
        flood(&mut scenario, 2..201, watched);
        assert!(!gave_way(&scenario).contains(&1));
        let open = scenario.ownership.claims.values().filter(|claim| claim.is_open()).count();
        assert_eq!(open, 51, "a seen claim does not count");
        // A record that is absent again counts as never seen.
        scenario.check(1, absent()).unwrap();
        flood(&mut scenario, 201..255, true);
        assert!(gave_way(&scenario).contains(&1));
    }
}

#[test]
fn floods_while_the_servers_are_silent() {
    let mut scenario = Scenario::default();
    scenario.watch(1, "owner");
    scenario.check_seen(1).unwrap();
    let mut scenario = scenario.until_next_check(1);
    scenario.check(1, unreachable()).unwrap();
    flood(&mut scenario, 2..201, true);
    assert_eq!(scenario.status(1), Some(Status::Verifying));
}

#[test]
fn floods_a_name_that_is_held_and_contested() {
    let mut scenario = attacked(ContestPolicy::Evidence);
    flood(&mut scenario, 3..201, true);
    assert!(!gave_way(&scenario).iter().any(|n| *n < 3));
    assert_eq!((scenario.status(1), scenario.status(2)), (Some(Status::Verified), Some(Status::Contested)));
    assert_eq!(scenario.initiate(201, "latecomer").unwrap(), ["ClaimExpired", "ClaimInitiated"]);
}

/// Checks claim `new` of the holder of claim `old`, while only the record of `old` is published; the events.
fn check_with_the_record_of(scenario: &mut Scenario, old: u8, new: u8) -> Vec<&'static str> {
    let late = Command::RecordCheck {
        claim_id: claim(old),
        attempt: scenario.ownership.claims.get(&claim(old)).map_or(1, |claim| claim.settled + 1),
        outcome: Outcome::Proven,
        holder_outcome: None,
        evidence: given::evidence_of(old),
    };
    assert_eq!(scenario.when(late.clone()), Err(Rejection::StaleAttempt), "it has ended");
    scenario.watch(new, "attacker");
    assert_eq!(scenario.when(late), Err(Rejection::StaleAttempt), "it is no longer kept");
    let earlier = EarlierValue {
        value: challenge(old).record_value,
        issued_at: "2026-05-03T10:00:00Z".parse().unwrap(),
    };
    let context = Context { earlier: vec![earlier], ..Context::default() };
    let outcome =
        judge_within(&challenge(new), &context, &observed(vec![answer(1, &[&*challenge(old).record_value])]));
    assert_eq!(outcome.code(), Some(Code::ValueOfEarlierClaim));
    let events = scenario.check(new, outcome).unwrap();
    assert_eq!(scenario.ownership.holding, None);
    events
}

#[test]
fn publishes_the_token_of_a_cancelled_claim() {
    let mut scenario = Scenario::default();
    scenario.watch(1, "attacker");
    scenario.when(Command::Cancel { claim_id: claim(1) }).unwrap();
    assert_eq!(check_with_the_record_of(&mut scenario, 1, 2), ["CheckRecorded"]);
}

#[test]
fn publishes_the_token_of_an_expired_claim() {
    let mut scenario = Scenario::default();
    scenario.watch(1, "attacker");
    let mut scenario = scenario.after(Duration::days(7));
    scenario.when(Command::Expire { claim_id: claim(1) }).unwrap();
    assert_eq!(check_with_the_record_of(&mut scenario, 1, 2), ["CheckRecorded"]);
}

#[test]
fn publishes_the_token_of_a_claim_that_gave_way() {
    let mut scenario = Scenario::default();
    scenario.watch(1, "attacker");
    flood(&mut scenario, 3..61, true);
    assert_eq!(scenario.status(1), Some(Status::Expired));
    assert_eq!(check_with_the_record_of(&mut scenario, 1, 2), ["CheckRecorded"]);
}

#[test]
fn publishes_the_token_of_a_lapsed_holding() {
    let mut scenario = Scenario::default().held_by(1, "attacker").until_next_check(1);
    scenario.check(1, absent()).unwrap();
    let mut scenario = scenario.after(Duration::hours(72));
    scenario.check(1, absent()).unwrap();
    assert_eq!(scenario.status(1), Some(Status::Lapsed));
    assert_eq!(check_with_the_record_of(&mut scenario, 1, 2), ["CheckRecorded"]);
}

#[test]
fn relies_on_the_holders_record() {
    let mut scenario = Scenario::default().held_by(1, "owner");
    scenario.watch(2, "attacker");
    let owners = observed(vec![answer(1, &[&*challenge(1).record_value])]);
    let outcome = judge_within(&challenge(2), &Context::default(), &owners);
    assert_eq!(outcome.code(), Some(Code::WrongValue));
    scenario.check_both(2, outcome, Some(Outcome::Proven)).unwrap();
    assert!(scenario.has(1));
    assert!(!scenario.ownership.claims[&claim(2)].seen, "the record belongs to the other claim");
}

#[test]
fn fills_the_fold_with_ended_claims() {
    let mut scenario = Scenario::default().held_by(1, "owner");
    scenario.when(Command::Release { claim_id: claim(1) }).unwrap();
    let give_up = |scenario: &mut Scenario, n: u8, holder| {
        scenario.now += Duration::seconds(1);
        scenario.when(initiate(n, holder, IfHeldByAnother::Challenge)).unwrap();
        scenario.when(Command::Cancel { claim_id: claim(n) }).unwrap();
        assert_eq!(scenario.status(n), Some(Status::Cancelled), "the latest ended claim is kept");
    };
    for n in 2..12 {
        give_up(&mut scenario, n, given::workspace(&format!("neighbour{n}")));
    }
    // Claims of one workspace evict each other, not those of the neighbours.
    for n in 12..201 {
        give_up(&mut scenario, n, app("attacker", n));
    }
    assert!((2..12).all(|n| scenario.status(n).is_some()));
    // Claims of as many workspaces evict the neighbours in the end, but never the former holder.
    for n in 201..255 {
        give_up(&mut scenario, n, given::workspace(&format!("flood{n}")));
    }
    assert_eq!(scenario.status(1), Some(Status::Released));
    assert_eq!(scenario.ownership.claims.len(), 51);
    // The fold is the same when it goes through its stored form after each event.
    let refolded = scenario.log.iter().fold(deed_claims::Ownership::default(), |state, event| {
        let stored = serde_json::to_string(&state).unwrap();
        serde_json::from_str::<deed_claims::Ownership>(&stored).unwrap().evolve(event)
    });
    assert_eq!(refolded, scenario.ownership);
}

#[test]
fn former_holding_is_kept_while_it_is_contested() {
    let mut scenario = Scenario::default().held_by(1, "owner");
    for n in 2..70 {
        scenario.watch(n, &format!("challenger{n}"));
        scenario.check_both(n, Outcome::Proven, Some(Outcome::Proven)).unwrap();
    }
    scenario = scenario.after(Duration::minutes(10));
    for n in 2..70 {
        scenario.check(n, unreachable()).unwrap();
    }
    scenario.when(Command::Release { claim_id: claim(1) }).unwrap();
    scenario = scenario.after(Duration::hours(4));
    for n in 3..70 {
        scenario.check(n, absent()).unwrap();
    }
    assert_eq!((scenario.status(1), scenario.status(2)), (Some(Status::Released), Some(Status::Contested)));
    assert_eq!(scenario.ownership.claims.len(), 51);
}
