//! Attempts to take a name from its holder, or to keep its owner from claiming it.
//!
//! | attempt | the attacker got | the owner saw |
//! |---|---|---|
//! | `waits_for_a_silent_holder` | refused after 72 h | a contest, then the name kept |
//! | `waits_for_a_disputing_holder` | refused after 72 h | the same |
//! | `keeps_the_holders_record_from_being_seen` | refused after 144 h | the same |
//! | `looks_while_the_record_is_gone_for_a_moment` | the name under `evidence`, nothing under `grace` | transferred; a contest, then the name kept |
//! | `contests_from_two_workspaces` | refused, both | two contests, then the name kept |
//! | `claims_again_after_each_refusal` | refused, each time with a new record | a contest each time, the name kept |
//! | `uses_what_was_accepted_for_another` | nothing | the one that was accepted gets the name |
//! | `contests_a_holding_that_gets_locked` | nothing | an operator decides |
//! | `opens_fifty_claims_with_fifty_apps` | three claims | let in |
//! | `opens_sixty_claims_from_sixty_workspaces` | fifty claims at most | let in, as often as they claim |
//! | `floods_with_claims_it_never_verifies` | claims that give way to each other | a watched claim that stays |
//! | `floods_with_watched_claims_of_few_workspaces` | claims that give way to each other | a claim that stays, watched or not |
//! | `floods_with_watched_claims_of_many_workspaces` | the owner's unpublished claim ends | expired, let in at once; what is published is safe |
//! | `floods_after_the_record_was_seen` | nothing of what was seen gave way | verified |
//! | `floods_while_the_servers_are_silent` | the same | the same |
//! | `floods_a_name_that_is_held_and_contested` | nothing | holding and contest stay |
//! | `publishes_the_token_of_a_cancelled_claim` | not proven | – |
//! | `publishes_the_token_of_an_expired_claim` | not proven | – |
//! | `publishes_the_token_of_a_claim_that_gave_way` | not proven | – |
//! | `publishes_the_token_of_a_lapsed_holding` | not proven | – |
//! | `relies_on_the_holders_record` | not proven | – |
//! | `fills_the_fold_with_ended_claims` | fifty remembered | the end of its own holding, still remembered |
#![expect(clippy::unwrap_used, reason = "a story that cannot be told fails its test")]
mod given;

use std::ops::Range;

use chrono::Duration;
use deed_claims::{
    Code, Command, ContestAnswer, ContestPolicy, ContestResolvedBy, Context, EarlierValue, ExpiryReason,
    IfHeldByAnother, Outcome, OwnershipEvent, Policy, Rejection, Status, judge_within,
};
use given::{Story, absent, app, challenge, claim, initiate, seen, unreachable};

/// The owner holds the name through claim 1; the attacker's claim 2 is proven beside it.
fn attacked(contest: ContestPolicy) -> Story {
    let mut story = Story::with(Policy { contest, ..Policy::default() }).held_by(1, "owner");
    story.watch(2, "attacker");
    story.check_both(2, Outcome::Proven, Some(Outcome::Proven)).unwrap();
    assert_eq!(story.status(2), Some(Status::Contested));
    story
}

/// The attacker's record stands, and the owner's is as told, until the contest of claim `n` is over.
fn wait_for_the_end(mut story: Story, n: u8, owner: &Outcome) -> Story {
    let begin = story.now;
    while story.status(n) == Some(Status::Contested) {
        story = story.until_next_check(n);
        story.check_both(n, Outcome::Proven, Some(owner.clone())).unwrap();
        assert!(story.now - begin < Duration::days(30), "the contest never ends");
    }
    story
}

#[track_caller]
fn owner_keeps(story: &Story, by: ContestResolvedBy) {
    assert_eq!(
        (story.status(1), story.status(2), story.resolved_by()),
        (Some(Status::Verified), Some(Status::Refused), Some(by))
    );
}

#[test]
fn waits_for_a_silent_holder() {
    let story = wait_for_the_end(attacked(ContestPolicy::Evidence), 2, &Outcome::Proven);
    owner_keeps(&story, ContestResolvedBy::HolderRecordStands);
}

#[test]
fn waits_for_a_disputing_holder() {
    let mut story = attacked(ContestPolicy::Evidence);
    story.answer(1, 2, ContestAnswer::Dispute).unwrap();
    owner_keeps(&wait_for_the_end(story, 2, &Outcome::Proven), ContestResolvedBy::Disputed);
}

#[test]
fn keeps_the_holders_record_from_being_seen() {
    let story = wait_for_the_end(attacked(ContestPolicy::Evidence), 2, &unreachable());
    owner_keeps(&story, ContestResolvedBy::HolderRecordUnknown);
    assert_eq!(story.now, given::start() + Duration::hours(144));
}

#[test]
fn looks_while_the_record_is_gone_for_a_moment() {
    let mut story = attacked(ContestPolicy::Evidence).until_next_check(2);
    story.check_both(2, Outcome::Proven, Some(absent())).unwrap();
    assert_eq!((story.status(1), story.status(2)), (Some(Status::Transferred), Some(Status::Verified)));
    // A deployment that does not want that gives every holder the grace to put it back.
    let mut story = attacked(ContestPolicy::Grace).until_next_check(2);
    story.check_both(2, Outcome::Proven, Some(absent())).unwrap();
    owner_keeps(&wait_for_the_end(story, 2, &Outcome::Proven), ContestResolvedBy::HolderRecordStands);
}

#[test]
fn contests_from_two_workspaces() {
    let mut story = attacked(ContestPolicy::Evidence);
    story.watch(3, "accomplice");
    story.check_both(3, Outcome::Proven, Some(Outcome::Proven)).unwrap();
    let story = wait_for_the_end(story, 2, &Outcome::Proven);
    assert_eq!(story.status(3), Some(Status::Contested), "each contest is one of its own");
    let story = wait_for_the_end(story, 3, &Outcome::Proven);
    owner_keeps(&story, ContestResolvedBy::HolderRecordStands);
    assert_eq!(story.status(3), Some(Status::Refused));
}

#[test]
fn claims_again_after_each_refusal() {
    let mut story = wait_for_the_end(attacked(ContestPolicy::Evidence), 2, &Outcome::Proven);
    for n in 3..8 {
        story.watch(n, "attacker");
        assert_ne!(challenge(n).record_value, challenge(n - 1).record_value);
        story.check_both(n, Outcome::Proven, Some(Outcome::Proven)).unwrap();
        let begin = story.now;
        story = wait_for_the_end(story, n, &Outcome::Proven);
        assert_eq!((story.status(1), story.status(n)), (Some(Status::Verified), Some(Status::Refused)));
        assert_eq!(story.now - begin, Duration::hours(72));
    }
    assert_eq!(story.ownership.claims.len(), 2, "of the attacker's claims the last is remembered");
}

#[test]
fn uses_what_was_accepted_for_another() {
    let mut story = attacked(ContestPolicy::Evidence);
    story.watch(3, "buyer");
    story.check_both(3, Outcome::Proven, Some(Outcome::Proven)).unwrap();
    let mut story = story.until_next_check(3);
    story.check(3, unreachable()).unwrap();
    assert_eq!(story.answer(1, 3, ContestAnswer::Accept).unwrap(), ["ContestAnswered"]);
    let mut story = story.until_next_check(2);
    story.check_both(2, Outcome::Proven, Some(Outcome::Proven)).unwrap();
    assert!(story.has(1));
    let mut story = story.until_next_check(3);
    story.check_both(3, Outcome::Proven, Some(Outcome::Proven)).unwrap();
    assert!(story.has(3));
    assert_eq!(story.status(2), Some(Status::Refused));
}

#[test]
fn contests_a_holding_that_gets_locked() {
    let mut story = attacked(ContestPolicy::Evidence);
    story.when(Command::Lock { claim_id: claim(1) }).unwrap();
    for owner in [absent(), Outcome::Proven, unreachable(), absent()] {
        story = story.after(Duration::hours(72));
        story.check_both(2, Outcome::Proven, Some(owner)).unwrap();
        assert_eq!((story.status(1), story.status(2)), (Some(Status::Verified), Some(Status::Contested)));
    }
}

/// What claims of these numbers gave way.
fn gave_way(story: &Story) -> Vec<u8> {
    let number = |event: &OwnershipEvent| match event {
        OwnershipEvent::ClaimExpired(e) if e.reason == Some(ExpiryReason::GaveWay) => {
            Some(e.claim_id.as_bytes()[0])
        }
        _ => None,
    };
    story.log.iter().filter_map(number).collect()
}

/// A claim of a workspace each.
fn flood(story: &mut Story, numbers: Range<u8>, watched: bool) {
    for n in numbers {
        story.now += Duration::seconds(1);
        story.initiate(n, &format!("flood{n}")).unwrap();
        if watched {
            story.request(n).unwrap();
        }
    }
}

#[test]
fn opens_fifty_claims_with_fifty_apps() {
    let mut story = Story::default();
    let mut opens = |n: u8, of: &str| story.when(initiate(n, app(of, n), IfHeldByAnother::Challenge)).is_ok();
    let opened = (1..51).filter(|n| opens(*n, "attacker")).count();
    assert_eq!(opened, 3);
    assert!(opens(100, "owner"));
    assert!(gave_way(&story).is_empty());
    let refused = story.when(initiate(4, app("attacker", 4), IfHeldByAnother::Challenge));
    assert_eq!(refused, Err(Rejection::TooManyClaims { limit: 3 }));
    // One that is over makes room for another.
    story.when(Command::Cancel { claim_id: claim(1) }).unwrap();
    assert!(story.when(initiate(4, app("attacker", 4), IfHeldByAnother::Challenge)).is_ok());
}

#[test]
fn opens_sixty_claims_from_sixty_workspaces() {
    let mut story = Story::default();
    flood(&mut story, 1..61, false);
    assert_eq!(gave_way(&story), (1..11).collect::<Vec<u8>>(), "the oldest first");
    for n in [100, 101, 102] {
        // The owner comes late, and again, and is let in.
        assert_eq!(story.initiate(n, "owner").unwrap(), ["ClaimExpired", "ClaimInitiated"]);
        story.when(Command::Cancel { claim_id: claim(n) }).unwrap();
        flood(&mut story, 58 + n..59 + n, false);
    }
    let open = story.ownership.claims.values().filter(|claim| claim.is_open()).count();
    assert_eq!(open, 50);
}

#[test]
fn floods_with_claims_it_never_verifies() {
    let mut story = Story::default();
    story.watch(1, "owner");
    flood(&mut story, 2..201, false);
    assert_eq!(story.status(1), Some(Status::Verifying));
    assert!(!gave_way(&story).contains(&1));
}

#[test]
fn floods_with_watched_claims_of_few_workspaces() {
    for watched in [true, false] {
        let mut story = Story::default();
        story.when(initiate(1, app("owner", 1), IfHeldByAnother::Challenge)).unwrap();
        if watched {
            story.request(1).unwrap();
        }
        // Seventeen workspaces open three each and put another in the place of each that gives way.
        for n in 2..201 {
            story.now += Duration::seconds(1);
            let holder = app(&format!("flood{}", n % 17), n);
            if story.when(initiate(n, holder, IfHeldByAnother::Challenge)).is_ok() {
                story.request(n).unwrap();
            }
        }
        assert!(!gave_way(&story).is_empty());
        assert!(!gave_way(&story).contains(&1), "the owner has fewer than any of them");
    }
}

#[test]
fn floods_with_watched_claims_of_many_workspaces() {
    let mut story = Story::default();
    story.watch(1, "owner");
    story.check(1, absent()).unwrap();
    flood(&mut story, 2..61, true);
    // Nothing tells it from the others, and it is the oldest.
    assert_eq!(story.status(1), Some(Status::Expired));
    assert_eq!(gave_way(&story).first(), Some(&1));
    story.watch(100, "owner");
    assert_eq!(story.check_seen(100).unwrap(), ["CheckRecorded"]);
    flood(&mut story, 101..201, true);
    assert_eq!(story.status(100), Some(Status::Verifying));
    let mut story = story.until_next_check(100);
    story.check(100, Outcome::Proven).unwrap();
    assert!(story.has(100));
}

#[test]
fn floods_after_the_record_was_seen() {
    for watched in [true, false] {
        let mut story = Story::default();
        story.watch(1, "owner");
        story.check_seen(1).unwrap();
        flood(&mut story, 2..201, watched);
        assert!(!gave_way(&story).contains(&1));
        let open = story.ownership.claims.values().filter(|claim| claim.is_open()).count();
        assert_eq!(open, 51, "what was seen does not count");
        // What is gone again is like what never was.
        story.check(1, absent()).unwrap();
        flood(&mut story, 201..255, true);
        assert!(gave_way(&story).contains(&1));
    }
}

#[test]
fn floods_while_the_servers_are_silent() {
    let mut story = Story::default();
    story.watch(1, "owner");
    story.check_seen(1).unwrap();
    let mut story = story.until_next_check(1);
    story.check(1, unreachable()).unwrap();
    flood(&mut story, 2..201, true);
    assert_eq!(story.status(1), Some(Status::Verifying));
}

#[test]
fn floods_a_name_that_is_held_and_contested() {
    let mut story = attacked(ContestPolicy::Evidence);
    flood(&mut story, 3..201, true);
    assert!(!gave_way(&story).iter().any(|n| *n < 3));
    assert_eq!((story.status(1), story.status(2)), (Some(Status::Verified), Some(Status::Contested)));
    assert_eq!(story.initiate(201, "latecomer").unwrap(), ["ClaimExpired", "ClaimInitiated"]);
}

/// Claim `new` of the holder of claim `old`, whose record still stands: what a check of it says.
fn check_with_the_record_of(story: &mut Story, old: u8, new: u8) -> Vec<&'static str> {
    let late = Command::RecordCheck {
        claim_id: claim(old),
        attempt: story.ownership.claims.get(&claim(old)).map_or(1, |claim| claim.settled + 1),
        outcome: Outcome::Proven,
        holder_outcome: None,
        evidence: given::evidence_of(old),
    };
    assert_eq!(story.when(late.clone()), Err(Rejection::StaleAttempt), "it is over");
    story.watch(new, "attacker");
    assert_eq!(story.when(late), Err(Rejection::StaleAttempt), "and forgotten");
    let earlier = EarlierValue {
        value: challenge(old).record_value,
        issued_at: "2026-05-03T10:00:00Z".parse().unwrap(),
    };
    let context = Context { earlier: vec![earlier], ..Context::default() };
    let outcome =
        judge_within(&challenge(new), &context, &seen::with(&[challenge(old).record_value.as_bytes()]));
    assert_eq!(outcome.code(), Some(Code::ValueOfEarlierClaim));
    let events = story.check(new, outcome).unwrap();
    assert_eq!(story.ownership.holding, None);
    events
}

#[test]
fn publishes_the_token_of_a_cancelled_claim() {
    let mut story = Story::default();
    story.watch(1, "attacker");
    story.when(Command::Cancel { claim_id: claim(1) }).unwrap();
    assert_eq!(check_with_the_record_of(&mut story, 1, 2), ["CheckRecorded"]);
}

#[test]
fn publishes_the_token_of_an_expired_claim() {
    let mut story = Story::default();
    story.watch(1, "attacker");
    let mut story = story.after(Duration::days(7));
    story.when(Command::Expire { claim_id: claim(1) }).unwrap();
    assert_eq!(check_with_the_record_of(&mut story, 1, 2), ["CheckRecorded"]);
}

#[test]
fn publishes_the_token_of_a_claim_that_gave_way() {
    let mut story = Story::default();
    story.watch(1, "attacker");
    flood(&mut story, 3..61, true);
    assert_eq!(story.status(1), Some(Status::Expired));
    assert_eq!(check_with_the_record_of(&mut story, 1, 2), ["CheckRecorded"]);
}

#[test]
fn publishes_the_token_of_a_lapsed_holding() {
    let mut story = Story::default().held_by(1, "attacker").until_next_check(1);
    story.check(1, absent()).unwrap();
    let mut story = story.after(Duration::hours(72));
    story.check(1, absent()).unwrap();
    assert_eq!(story.status(1), Some(Status::Lapsed));
    assert_eq!(check_with_the_record_of(&mut story, 1, 2), ["CheckRecorded"]);
}

#[test]
fn relies_on_the_holders_record() {
    let mut story = Story::default().held_by(1, "owner");
    story.watch(2, "attacker");
    let owners = seen::with(&[challenge(1).record_value.as_bytes()]);
    let outcome = judge_within(&challenge(2), &Context::default(), &owners);
    assert_eq!(outcome.code(), Some(Code::WrongValue));
    story.check_both(2, outcome, Some(Outcome::Proven)).unwrap();
    assert!(story.has(1));
    assert!(!story.ownership.claims[&claim(2)].seen, "what was seen is the other's");
}

#[test]
fn fills_the_fold_with_ended_claims() {
    let mut story = Story::default().held_by(1, "owner");
    story.when(Command::Release { claim_id: claim(1) }).unwrap();
    let give_up = |story: &mut Story, n: u8, holder| {
        story.now += Duration::seconds(1);
        story.when(initiate(n, holder, IfHeldByAnother::Challenge)).unwrap();
        story.when(Command::Cancel { claim_id: claim(n) }).unwrap();
        assert_eq!(story.status(n), Some(Status::Cancelled), "what has just ended is there to be told");
    };
    for n in 2..12 {
        give_up(&mut story, n, given::workspace(&format!("neighbour{n}")));
    }
    // Those of one workspace push each other out, not the neighbours'.
    for n in 12..201 {
        give_up(&mut story, n, app("attacker", n));
    }
    assert!((2..12).all(|n| story.status(n).is_some()));
    // Those of as many workspaces push the neighbours out at last, but never who had the name.
    for n in 201..255 {
        give_up(&mut story, n, given::workspace(&format!("flood{n}")));
    }
    assert_eq!(story.status(1), Some(Status::Released));
    assert_eq!(story.ownership.claims.len(), 51);
    // The fold is the same whether it is made at once or went through its stored form.
    let refolded = story.log.iter().fold(deed_claims::Ownership::default(), |state, event| {
        let stored = serde_json::to_string(&state).unwrap();
        serde_json::from_str::<deed_claims::Ownership>(&stored).unwrap().evolve(event)
    });
    assert_eq!(refolded, story.ownership);
}

#[test]
fn a_holding_is_remembered_while_it_is_contested() {
    let mut story = Story::default().held_by(1, "owner");
    for n in 2..70 {
        story.watch(n, &format!("challenger{n}"));
        story.check_both(n, Outcome::Proven, Some(Outcome::Proven)).unwrap();
    }
    story = story.after(Duration::minutes(10));
    for n in 2..70 {
        story.check(n, unreachable()).unwrap();
    }
    story.when(Command::Release { claim_id: claim(1) }).unwrap();
    story = story.after(Duration::hours(4));
    for n in 3..70 {
        story.check(n, absent()).unwrap();
    }
    assert_eq!((story.status(1), story.status(2)), (Some(Status::Released), Some(Status::Contested)));
    assert_eq!(story.ownership.claims.len(), 51);
}
