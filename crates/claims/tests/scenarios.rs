//! What happens to claims, told as stories.
mod given;

use chrono::Duration;
use deed_claims::{
    Activation, CheckCause, ClaimState, Code, Command, DueKind, Ended, IfHeldByAnother, MissingCause,
    Outcome, Policy, Rejection,
};
use given::{Story, absent, claim, initiate, not_proven, start, unreachable, workspace};

#[test]
fn a_claim_is_initiated_watched_proven_and_held() {
    let mut story = Story::default();
    assert_eq!(story.initiate(1, "a").unwrap(), ["ClaimInitiated"]);
    assert!(matches!(story.state(1), ClaimState::Initiated { .. }));
    assert_eq!(story.request(1).unwrap(), ["VerificationRequested"]);
    assert_eq!(story.check(1, absent()).unwrap(), ["CheckRecorded"]);
    let mut story = story.until_next_check(1);
    assert_eq!(
        story.check(1, Outcome::Proven).unwrap(),
        ["CheckRecorded", "DomainVerified", "OwnershipGranted"]
    );
    assert_eq!(story.ownership.holding, Some(claim(1)));
    assert_eq!(story.ownership.claims[&claim(1)].verified_at, Some(story.now));
}

#[test]
fn claiming_again_while_open_gives_the_same_challenge_and_appends_nothing() {
    let mut story = Story::default();
    story.initiate(1, "a").unwrap();
    assert_eq!(story.initiate(2, "a").unwrap(), [] as [&str; 0]);
    assert_eq!(story.ownership.claim_of(&workspace("a")).unwrap().id, claim(1));
}

#[test]
fn a_claim_that_ended_is_followed_by_a_new_one_with_a_new_token() {
    let mut story = Story::default();
    story.initiate(1, "a").unwrap();
    story.when(Command::Cancel { claim_id: claim(1) }).unwrap();
    assert_eq!(story.ended(1), Some(Ended::Cancelled));
    assert_eq!(story.initiate(2, "a").unwrap(), ["ClaimInitiated"]);
    assert!(!story.ownership.claims.contains_key(&claim(1)));
    assert_ne!(given::challenge(1).token, story.ownership.claims[&claim(2)].challenge.token);
}

#[test]
fn a_claim_nobody_asked_to_verify_ends_at_its_deadline() {
    let mut story = Story::default();
    story.initiate(1, "a").unwrap();
    assert_eq!(story.when(Command::Expire { claim_id: claim(1) }), Err(Rejection::NotDue));
    let mut story = story.after(Duration::days(7));
    assert_eq!(story.when(Command::Expire { claim_id: claim(1) }).unwrap(), ["ClaimExpired"]);
}

#[test]
fn watching_ends_seven_days_after_it_began() {
    let mut story = Story::default();
    story.initiate(1, "a").unwrap();
    let mut story = story.after(Duration::days(6));
    story.request(1).unwrap();
    let mut checks = 0;
    while story.pending_attempt(1).is_some() {
        story = story.until_next_check(1);
        story.check(1, absent()).unwrap();
        checks += 1;
    }
    assert!((50..=75).contains(&checks), "{checks}");
    let due = story.ownership.claims[&claim(1)].due();
    assert_eq!(due.iter().map(|d| d.kind).collect::<Vec<_>>(), [DueKind::Expire]);
    assert_eq!(due[0].at, start() + Duration::days(13));
}

#[test]
fn a_manual_check_is_refused_when_asked_too_soon_and_does_not_reset_the_schedule() {
    let mut story = Story::default();
    story.initiate(1, "a").unwrap();
    story.request(1).unwrap();
    story.check(1, absent()).unwrap();
    let again_at = story.now + Duration::seconds(10);
    assert_eq!(story.request(1), Err(Rejection::TooSoon { again_at }));
    for _ in 0..5 {
        story = story.until_next_check(1);
        story.check(1, absent()).unwrap();
    }
    let step = story.ownership.claims[&claim(1)].step;
    let mut story = story.after(Duration::seconds(11));
    assert_eq!(story.request(1).unwrap(), ["VerificationRequested"]);
    assert_eq!(story.ownership.claims[&claim(1)].pending.unwrap().cause, CheckCause::Manual);
    story.check(1, absent()).unwrap();
    assert_eq!(story.ownership.claims[&claim(1)].step, step);
}

#[test]
fn at_most_ten_manual_checks_an_hour() {
    let mut story = Story::default();
    story.initiate(1, "a").unwrap();
    for _ in 0..10 {
        story.request(1).unwrap();
        story.check(1, absent()).unwrap();
        story = story.after(Duration::seconds(30));
    }
    let again_at = start() + Duration::hours(1);
    assert_eq!(story.request(1), Err(Rejection::TooSoon { again_at }));
    let mut story = story.after(Duration::hours(1));
    assert!(story.request(1).is_ok());
}

#[test]
fn a_settled_attempt_cannot_be_settled_again() {
    let mut story = Story::default();
    story.initiate(1, "a").unwrap();
    story.request(1).unwrap();
    story.check(1, absent()).unwrap();
    let stale = Command::RecordCheck {
        claim_id: claim(1),
        attempt: 1,
        outcome: Outcome::Proven,
        holder_outcome: None,
        evidence: given::evidence(),
    };
    assert_eq!(story.when(stale), Err(Rejection::StaleAttempt));
}

#[test]
fn our_own_trouble_leaves_no_trace() {
    let mut story = Story::default();
    story.initiate(1, "a").unwrap();
    story.request(1).unwrap();
    let before = story.ownership.clone();
    assert_eq!(story.check(1, not_proven(Code::Internal)).unwrap(), [] as [&str; 0]);
    assert_eq!(story.ownership, before);
}

#[test]
fn a_name_that_may_no_longer_be_claimed_refuses_the_claim() {
    let mut story = Story::default();
    story.initiate(1, "a").unwrap();
    story.request(1).unwrap();
    assert_eq!(story.check(1, not_proven(Code::NameRefused)).unwrap(), ["CheckRecorded", "ClaimRefused"]);
    assert_eq!(story.ended(1), Some(Ended::Refused));
}

#[test]
fn a_held_name_is_offered_for_claiming_where_the_caller_wants_to_know() {
    let mut story = Story::default().held_by(1, "a");
    let ask = initiate(2, workspace("b"), IfHeldByAnother::Refuse);
    assert_eq!(story.when(ask), Err(Rejection::HeldByAnother));
    let own = initiate(3, workspace("a"), IfHeldByAnother::Refuse);
    assert_eq!(story.when(own).unwrap(), [] as [&str; 0]);
    // An open claim of one's own does not make the name one's own.
    story.initiate(2, "b").unwrap();
    let again = initiate(4, workspace("b"), IfHeldByAnother::Refuse);
    assert_eq!(story.when(again), Err(Rejection::HeldByAnother));
}

#[test]
fn a_missing_record_puts_a_holding_at_risk_and_the_same_record_restores_it() {
    let mut story = Story::default().held_by(1, "a").until_next_check(1);
    assert_eq!(story.check(1, absent()).unwrap(), ["CheckRecorded", "ProofMissing"]);
    let next = story.ownership.claims[&claim(1)].pending.unwrap().due_at - story.now;
    assert!((9..=11).contains(&next.num_minutes()), "{next}");
    let mut story = story.until_next_check(1);
    assert_eq!(story.check(1, Outcome::Proven).unwrap(), ["CheckRecorded", "ProofRestored"]);
    assert!(matches!(story.state(1), ClaimState::Held(_)));
}

#[test]
fn a_record_that_stays_missing_lapses_the_holding_after_the_grace() {
    let mut story = Story::default().held_by(1, "a").until_next_check(1);
    story.check(1, absent()).unwrap();
    let missing_since = story.now;
    while story.ownership.holding.is_some() {
        story = story.until_next_check(1);
        story.check(1, absent()).unwrap();
    }
    assert_eq!(story.now, missing_since + Duration::hours(72));
    assert_eq!(story.ended(1), Some(Ended::Lapsed));
}

#[test]
fn trouble_on_the_way_never_lapses_a_holding() {
    let mut story = Story::default().held_by(1, "a").until_next_check(1);
    story.check(1, absent()).unwrap();
    let mut story = story.after(Duration::days(100));
    assert_eq!(story.check(1, unreachable()).unwrap(), ["CheckRecorded"]);
    assert_eq!(story.ownership.holding, Some(claim(1)));
}

#[test]
fn servers_unreachable_for_a_fortnight_are_said_to_be_a_risk_and_nothing_more() {
    let mut story = Story::default().held_by(1, "a").until_next_check(1);
    let begin = story.now;
    let mut events = story.check(1, unreachable()).unwrap();
    while !events.contains(&"ProofMissing") {
        story = story.until_next_check(1);
        events = story.check(1, unreachable()).unwrap();
    }
    assert!(story.now - begin >= Duration::days(14));
    let ClaimState::AtRisk { risk, .. } = story.state(1) else { panic!("not at risk") };
    assert_eq!((risk.cause, risk.lapses_at), (MissingCause::Unreachable, None));
}

#[test]
fn asking_for_a_check_of_a_held_name_starts_nothing() {
    let mut story = Story::default().held_by(1, "a");
    assert_eq!(story.request(1).unwrap(), [] as [&str; 0]);
}

#[test]
fn a_manual_check_never_demotes_a_holding_at_risk_but_may_restore_it() {
    let mut story = Story::default().held_by(1, "a").until_next_check(1);
    story.check(1, absent()).unwrap();
    let mut story = story.after(Duration::days(4));
    story.request(1).unwrap();
    assert_eq!(story.check(1, absent()).unwrap(), ["CheckRecorded"]);
    assert_eq!(story.ownership.holding, Some(claim(1)));
    let mut story = story.after(Duration::minutes(1));
    story.request(1).unwrap();
    assert_eq!(story.check(1, Outcome::Proven).unwrap(), ["CheckRecorded", "ProofRestored"]);
}

#[test]
fn hostnames_wait_for_the_tls_side_where_the_deployment_says_so() {
    let policy = Policy { activation: Activation::External, ..Policy::default() };
    let mut story = Story::with(policy);
    let app = deed_claims::Holder::App {
        workspace_id: "a".parse().unwrap(),
        app_id: deed_claims::AppId::from_bytes([1; 10]),
    };
    story.when(initiate(1, app, IfHeldByAnother::Challenge)).unwrap();
    story.request(1).unwrap();
    story.check(1, Outcome::Proven).unwrap();
    assert!(story.ownership.claims[&claim(1)].held().unwrap().awaits_activation);
    assert_eq!(story.when(Command::Activate { claim_id: claim(1) }).unwrap(), ["DomainActivated"]);
    assert_eq!(story.when(Command::Activate { claim_id: claim(1) }).unwrap(), [] as [&str; 0]);
}

#[test]
fn a_look_that_began_before_a_manual_request_does_not_settle_it() {
    let mut story = Story::default();
    story.initiate(1, "a").unwrap();
    story.request(1).unwrap();
    story.check(1, absent()).unwrap();
    let mut story = story.until_next_check(1);
    let scheduled = story.pending_attempt(1).unwrap();
    story.request(1).unwrap();
    let late = Command::RecordCheck {
        claim_id: claim(1),
        attempt: scheduled,
        outcome: absent(),
        holder_outcome: None,
        evidence: given::evidence(),
    };
    assert_eq!(story.when(late), Err(Rejection::StaleAttempt));
    assert!(story.check(1, Outcome::Proven).unwrap().contains(&"OwnershipGranted"));
}

#[test]
fn asking_again_and_again_does_not_keep_a_name_whose_record_is_gone() {
    let mut story = Story::default().held_by(1, "a").until_next_check(1);
    story.check(1, absent()).unwrap();
    let missing_since = story.now;
    while story.ownership.holding.is_some() {
        // Whoever asks cannot keep the schedule's own checks from being made when they fall due.
        story = story.after(Duration::minutes(7));
        if story.ownership.claims[&claim(1)].pending.is_some_and(|p| p.due_at <= story.now) {
            story.check(1, absent()).unwrap();
        }
        if story.request(1).is_ok() {
            story.check(1, absent()).unwrap();
        }
        assert!(story.now - missing_since < Duration::hours(80), "the holding never lapses");
    }
    assert_eq!(story.ended(1), Some(Ended::Lapsed));
}

#[test]
fn a_manual_check_leaves_the_schedule_as_it_was() {
    let mut story = Story::default();
    story.initiate(1, "a").unwrap();
    story.request(1).unwrap();
    for _ in 0..12 {
        story.check(1, absent()).unwrap();
        story = story.until_next_check(1);
    }
    story.check(1, absent()).unwrap();
    let scheduled = story.ownership.claims[&claim(1)].pending.unwrap().due_at;
    let mut story = story.after(Duration::seconds(20));
    story.request(1).unwrap();
    story.check(1, absent()).unwrap();
    assert_eq!(story.ownership.claims[&claim(1)].pending.unwrap().due_at, scheduled);
}
