//! How a contest ends: every row of the table in `docs/adr/0008-a-disputed-contest.md`.
#![expect(clippy::unwrap_used, reason = "a story that cannot be told fails its test")]
mod given;

use chrono::Duration;
use deed_claims::{
    ClaimState, Code, Command, ContestAnswer, ContestCause, ContestPolicy, ContestResolution,
    ContestResolvedBy, EndReason, Ended, Outcome, OwnershipEnded, OwnershipEvent, OwnershipGranted, Policy,
    Rejection,
};
use given::{Story, absent, claim, not_proven, start, unreachable, workspace};

const NOTHING: [&str; 0] = [];
const OPENED: [&str; 3] = ["CheckRecorded", "DomainVerified", "ContestOpened"];
const MOVED: [&str; 4] = ["CheckRecorded", "ContestResolved", "OwnershipEnded", "OwnershipGranted"];
const REFUSED: [&str; 2] = ["CheckRecorded", "ContestResolved"];

fn grace() -> Duration {
    Policy::default().contest_grace
}

/// Claim 1 of `a` has the name; claim 2 of `b` is watched.
fn challenged(contest: ContestPolicy) -> Story {
    let mut story = Story::with(Policy { contest, ..Policy::default() }).held_by(1, "a");
    story.watch(2, "b");
    story
}

/// Claim 2 has been proven while the record of claim 1 stands.
fn contested() -> Story {
    contested_under(ContestPolicy::Evidence)
}

fn contested_under(contest: ContestPolicy) -> Story {
    let mut story = challenged(contest);
    assert_eq!(story.check_both(2, Outcome::Proven, Some(Outcome::Proven)).unwrap(), OPENED);
    story
}

fn lock(story: &mut Story) {
    story.when(Command::Lock { claim_id: claim(1) }).unwrap();
}

fn operator(story: &mut Story, resolution: ContestResolution) -> Vec<&'static str> {
    story.when(Command::ResolveContest { claim_id: claim(2), resolution }).unwrap()
}

/// Both records are looked at when the schedule says so, until the contest is over; how long it took.
fn run(mut story: Story, own: &Outcome, holder: &Outcome) -> (Story, Duration) {
    let begin = story.now;
    while matches!(story.state(2), ClaimState::Contesting(_)) {
        story = story.until_next_check(2);
        story.check_both(2, own.clone(), Some(holder.clone())).unwrap();
        assert!(story.now - begin < Duration::days(30), "the contest never ends");
    }
    let took = story.now - begin;
    (story, took)
}

#[track_caller]
fn keeps(story: &Story, by: ContestResolvedBy) {
    assert!(story.has(1));
    assert_eq!((story.ended(2), story.resolved_by()), (Some(Ended::Refused), Some(by)));
}

#[track_caller]
fn loses(story: &Story, by: ContestResolvedBy) {
    assert!(story.has(2));
    assert_eq!((story.ended(1), story.resolved_by()), (Some(Ended::Transferred), Some(by)));
}

#[test]
fn moves_at_once_when_the_record_is_gone_already() {
    let mut story = challenged(ContestPolicy::Evidence);
    assert_eq!(
        story.check_both(2, Outcome::Proven, Some(absent())).unwrap(),
        ["CheckRecorded", "DomainVerified", "OwnershipEnded", "OwnershipGranted"]
    );
    assert!(story.has(2));
    assert_eq!(story.ended(1), Some(Ended::Transferred));
}

#[test]
fn opens_while_the_record_stands() {
    let story = contested();
    let ClaimState::Contesting(contest) = story.state(2) else { panic!("no contest") };
    assert_eq!(contest.cause, ContestCause::HolderRecordStands);
    assert_eq!(contest.ends_at, Some(start() + grace()));
    assert_eq!(contest.refused_at(), Some(start() + grace() * 2));
    assert!(story.has(1));
}

#[test]
fn opens_while_the_record_cannot_be_seen() {
    for unseen in [Some(unreachable()), Some(not_proven(Code::InconsistentServers)), None] {
        let mut story = challenged(ContestPolicy::Evidence);
        assert_eq!(story.check_both(2, Outcome::Proven, unseen).unwrap(), OPENED);
        assert!(story.has(1));
    }
}

#[test]
fn moves_when_the_record_goes() {
    let mut story = contested().until_next_check(2);
    assert_eq!(story.check_both(2, Outcome::Proven, Some(absent())).unwrap(), MOVED);
    loses(&story, ContestResolvedBy::HolderRecordRemoved);
}

#[test]
fn is_refused_when_the_challengers_record_goes() {
    let mut story = contested().until_next_check(2);
    // Whatever has become of the holder's record: nobody gets a name without one of their own.
    assert_eq!(story.check_both(2, absent(), Some(absent())).unwrap(), REFUSED);
    keeps(&story, ContestResolvedBy::ChallengerRecordRemoved);
}

#[test]
fn moves_when_the_holder_accepts() {
    let mut story = contested();
    assert_eq!(
        story.answer(1, 2, ContestAnswer::Accept).unwrap(),
        ["ContestAnswered", "ContestResolved", "OwnershipEnded", "OwnershipGranted"]
    );
    loses(&story, ContestResolvedBy::HolderAccepted);
}

#[test]
fn acceptance_waits_for_the_challengers_record() {
    let mut story = contested().until_next_check(2);
    story.check(2, unreachable()).unwrap();
    assert_eq!(story.answer(1, 2, ContestAnswer::Accept).unwrap(), ["ContestAnswered"]);
    assert!(story.has(1));
    let mut story = story.until_next_check(2);
    assert_eq!(story.check_both(2, Outcome::Proven, Some(Outcome::Proven)).unwrap(), MOVED);
    loses(&story, ContestResolvedBy::HolderAccepted);
}

#[test]
fn acceptance_can_be_taken_back_until_the_name_moves() {
    let mut story = contested().until_next_check(2);
    story.check(2, unreachable()).unwrap();
    story.answer(1, 2, ContestAnswer::Accept).unwrap();
    story.answer(1, 2, ContestAnswer::Dispute).unwrap();
    assert_eq!(story.answer(1, 2, ContestAnswer::Dispute).unwrap(), NOTHING);
    let (story, took) = run(story, &Outcome::Proven, &Outcome::Proven);
    keeps(&story, ContestResolvedBy::Disputed);
    assert!(took <= grace());
}

/// Claims 2 and 3 contest claim 1, whose record is said to be gone and then could not be seen.
fn contested_twice_at_risk() -> Story {
    let mut story = Story::default().held_by(1, "a").until_next_check(1);
    story.check(1, absent()).unwrap();
    for (n, holder) in [(2, "b"), (3, "c")] {
        story.watch(n, holder);
        assert_eq!(story.check_both(n, Outcome::Proven, Some(unreachable())).unwrap(), OPENED);
    }
    story
}

#[test]
fn leaves_the_name_to_the_challenger_when_the_holder_leaves() {
    let released = |mut story: Story| {
        let events = story.when(Command::Release { claim_id: claim(1) }).unwrap();
        (story, events, Ended::Released)
    };
    let revoked = |mut story: Story| {
        let events = story.when(Command::Revoke { claim_id: claim(1) }).unwrap();
        (story, events, Ended::Revoked)
    };
    let lapsed = |mut story: Story| {
        story = story.after(Policy::default().drift_grace);
        let mut events = story.check(1, absent()).unwrap();
        assert_eq!(events.remove(0), "CheckRecorded");
        (story, events, Ended::Lapsed)
    };
    for leaves in [released, revoked, lapsed] {
        let (story, events, how) = leaves(contested_twice_at_risk());
        assert_eq!(events, ["OwnershipEnded", "ContestResolved", "OwnershipGranted", "ContestResolved"]);
        assert!(story.has(2), "the earliest of them");
        assert_eq!((story.ended(1), story.ended(3)), (Some(how), Some(Ended::Refused)));
    }
}

#[test]
fn leaves_the_name_to_nobody_whose_record_was_not_seen() {
    let mut story = contested().until_next_check(2);
    story.check(2, unreachable()).unwrap();
    assert_eq!(story.when(Command::Release { claim_id: claim(1) }).unwrap(), ["OwnershipEnded"]);
    assert_eq!(story.ownership.holding, None);
    // The next one whose record is seen gets it, and contests with the former holder are over.
    story.watch(3, "c");
    assert_eq!(
        story.check(3, Outcome::Proven).unwrap(),
        ["CheckRecorded", "DomainVerified", "OwnershipGranted", "ContestResolved"]
    );
    assert_eq!(story.ended(2), Some(Ended::Refused));
}

#[test]
fn is_refused_when_another_challenger_gets_the_name() {
    let mut story = contested();
    story.watch(3, "c");
    story.check_both(3, Outcome::Proven, Some(Outcome::Proven)).unwrap();
    let mut story = story.until_next_check(3);
    story.check_both(3, Outcome::Proven, Some(absent())).unwrap();
    assert!(story.has(3));
    assert_eq!(story.ended(2), Some(Ended::Refused));
    assert_eq!(story.resolved_by(), Some(ContestResolvedBy::Superseded));
}

#[test]
fn is_refused_at_the_end_when_the_holder_is_silent() {
    let (story, took) = run(contested(), &Outcome::Proven, &Outcome::Proven);
    keeps(&story, ContestResolvedBy::HolderRecordStands);
    assert_eq!(took, grace());
}

#[test]
fn is_refused_at_the_end_when_the_holder_disputes() {
    let mut story = contested();
    assert_eq!(story.answer(1, 2, ContestAnswer::Dispute).unwrap(), ["ContestAnswered"]);
    let (story, took) = run(story, &Outcome::Proven, &Outcome::Proven);
    keeps(&story, ContestResolvedBy::Disputed);
    assert_eq!(took, grace());
}

#[test]
fn moves_at_the_end_when_the_record_is_gone() {
    for answer in [None, Some(ContestAnswer::Dispute)] {
        let mut story = contested();
        if let Some(answer) = answer {
            story.answer(1, 2, answer).unwrap();
        }
        let mut story = story.after(grace());
        assert_eq!(story.check_both(2, Outcome::Proven, Some(absent())).unwrap(), MOVED);
        loses(&story, ContestResolvedBy::HolderRecordRemoved);
    }
}

#[test]
fn goes_on_after_the_end_while_the_record_cannot_be_seen() {
    for unseen in [unreachable(), not_proven(Code::DnssecBogus)] {
        let mut story = contested().after(grace());
        assert_eq!(story.check_both(2, Outcome::Proven, Some(unseen)).unwrap(), ["CheckRecorded"]);
        assert!(story.has(1));
        let mut gone = story.clone().until_next_check(2);
        assert_eq!(gone.check_both(2, Outcome::Proven, Some(absent())).unwrap(), MOVED);
        let mut stands = story.until_next_check(2);
        assert_eq!(stands.check_both(2, Outcome::Proven, Some(Outcome::Proven)).unwrap(), REFUSED);
        keeps(&stands, ContestResolvedBy::HolderRecordStands);
    }
}

#[test]
fn is_refused_when_the_record_stays_unseen() {
    for answer in [None, Some(ContestAnswer::Dispute)] {
        let mut story = contested();
        if let Some(answer) = answer {
            story.answer(1, 2, answer).unwrap();
        }
        let (story, took) = run(story, &Outcome::Proven, &unreachable());
        keeps(&story, ContestResolvedBy::HolderRecordUnknown);
        assert_eq!(took, grace() * 2);
    }
}

#[test]
fn is_refused_when_the_challenger_stays_unseen() {
    let (story, took) = run(contested(), &unreachable(), &absent());
    keeps(&story, ContestResolvedBy::ChallengerUnproven);
    assert_eq!(took, grace() * 2);
    assert!(story.ownership.claims[&claim(2)].attempts < 600);
}

#[test]
fn policy_grace_waits_though_the_record_is_gone() {
    let mut story = challenged(ContestPolicy::Grace);
    assert_eq!(story.check_both(2, Outcome::Proven, Some(absent())).unwrap(), OPENED);
    let (story, took) = run(story, &Outcome::Proven, &absent());
    loses(&story, ContestResolvedBy::HolderRecordRemoved);
    assert_eq!(took, grace());
}

#[test]
fn policy_grace_lets_the_holder_put_the_record_back() {
    let mut story = challenged(ContestPolicy::Grace);
    story.check_both(2, Outcome::Proven, Some(absent())).unwrap();
    let (story, took) = run(story, &Outcome::Proven, &Outcome::Proven);
    keeps(&story, ContestResolvedBy::HolderRecordStands);
    assert_eq!(took, grace());
}

#[test]
fn policy_grace_refuses_when_the_record_stays_unseen() {
    let (story, took) = run(contested_under(ContestPolicy::Grace), &Outcome::Proven, &unreachable());
    keeps(&story, ContestResolvedBy::HolderRecordUnknown);
    assert_eq!(took, grace() * 2);
}

#[test]
fn policy_immediate_moves_at_once() {
    let mut story = challenged(ContestPolicy::Immediate);
    assert_eq!(
        story.check_both(2, Outcome::Proven, Some(Outcome::Proven)).unwrap(),
        ["CheckRecorded", "DomainVerified", "OwnershipEnded", "OwnershipGranted"]
    );
}

#[test]
fn policy_review_waits_for_an_operator() {
    for resolution in [ContestResolution::Granted, ContestResolution::Refused] {
        let mut story = contested_under(ContestPolicy::Review).after(Duration::days(30));
        for holder in [Outcome::Proven, absent(), unreachable()] {
            assert_eq!(story.check_both(2, Outcome::Proven, Some(holder)).unwrap(), ["CheckRecorded"]);
            story = story.until_next_check(2);
        }
        assert_eq!(story.answer(1, 2, ContestAnswer::Accept).unwrap(), ["ContestAnswered"]);
        operator(&mut story, resolution);
        match resolution {
            ContestResolution::Granted => loses(&story, ContestResolvedBy::Operator),
            ContestResolution::Refused => keeps(&story, ContestResolvedBy::Operator),
        }
    }
}

#[test]
fn a_locked_holding_waits_for_an_operator() {
    for policy in [ContestPolicy::Immediate, ContestPolicy::Evidence, ContestPolicy::Grace] {
        let mut story = challenged(policy);
        lock(&mut story);
        assert_eq!(story.check_both(2, Outcome::Proven, Some(absent())).unwrap(), OPENED);
        let mut story = story.after(Duration::days(30));
        assert_eq!(story.check_both(2, Outcome::Proven, Some(absent())).unwrap(), ["CheckRecorded"]);
        assert_eq!(
            operator(&mut story, ContestResolution::Granted),
            ["ContestResolved", "OwnershipEnded", "OwnershipGranted"]
        );
    }
}

#[test]
fn a_lock_during_a_contest_waits_for_an_operator() {
    let mut story = contested();
    lock(&mut story);
    let mut story = story.until_next_check(2);
    assert_eq!(story.check_both(2, Outcome::Proven, Some(absent())).unwrap(), ["CheckRecorded"]);
    assert_eq!(story.answer(1, 2, ContestAnswer::Accept).unwrap(), ["ContestAnswered"]);
    let mut story = story.after(grace() * 3);
    assert_eq!(story.check_both(2, Outcome::Proven, Some(absent())).unwrap(), ["CheckRecorded"]);
    assert!(story.has(1));
    operator(&mut story, ContestResolution::Refused);
    keeps(&story, ContestResolvedBy::Operator);
}

#[test]
fn an_unlocked_holding_is_under_the_rules_again() {
    for (holder, moves) in [(Outcome::Proven, false), (absent(), true)] {
        let mut story = contested();
        lock(&mut story);
        let mut story = story.after(grace());
        story.check_both(2, Outcome::Proven, Some(holder.clone())).unwrap();
        story.when(Command::Unlock { claim_id: claim(1) }).unwrap();
        let mut story = story.until_next_check(2);
        story.check_both(2, Outcome::Proven, Some(holder)).unwrap();
        assert_eq!(story.has(2), moves);
    }
}

#[test]
fn an_answer_is_for_one_challenger_only() {
    let mut story = contested();
    story.watch(3, "c");
    story.check_both(3, Outcome::Proven, Some(Outcome::Proven)).unwrap();
    let mut story = story.until_next_check(2);
    story.check(2, unreachable()).unwrap();
    // What is accepted for one that cannot be seen at present is not taken by the other.
    assert_eq!(story.answer(1, 2, ContestAnswer::Accept).unwrap(), ["ContestAnswered"]);
    let mut story = story.until_next_check(3);
    story.check_both(3, Outcome::Proven, Some(Outcome::Proven)).unwrap();
    assert!(story.has(1));
    // One that has left is answered no more, and nobody stands in for it.
    story.when(Command::Cancel { claim_id: claim(2) }).unwrap();
    assert_eq!(story.answer(1, 2, ContestAnswer::Accept), Err(Rejection::NoContest));
    assert_eq!(story.answer(2, 3, ContestAnswer::Accept), Err(Rejection::Ended));
    assert_eq!(story.answer(3, 3, ContestAnswer::Accept), Err(Rejection::NotHeld));
    assert!(story.has(1));
}

#[test]
fn an_answer_does_not_count_in_a_later_contest() {
    let mut story = contested().until_next_check(2);
    story.check(2, unreachable()).unwrap();
    story.answer(1, 2, ContestAnswer::Accept).unwrap();
    let mut story = story.until_next_check(2);
    story.check(2, absent()).unwrap();
    assert_eq!(story.ended(2), Some(Ended::Refused));
    story.watch(3, "b");
    assert_eq!(story.check_both(3, Outcome::Proven, Some(Outcome::Proven)).unwrap(), OPENED);
    let ClaimState::Contesting(contest) = story.state(3) else { panic!("no contest") };
    assert_eq!(contest.answer, None);
    assert!(story.has(1));
}

/// Logs of earlier versions may hold it: a grant while a contest with the former holder went on.
#[test]
fn a_contest_begins_anew_with_the_next_holder() {
    let mut story = contested().until_next_check(2);
    story.check(2, unreachable()).unwrap();
    story.answer(1, 2, ContestAnswer::Accept).unwrap();
    story.initiate(3, "c").unwrap();
    let at = story.now;
    let moved: [OwnershipEvent; 2] = [
        OwnershipEnded { claim_id: claim(1), reason: EndReason::Transferred, at }.into(),
        OwnershipGranted {
            claim_id: claim(3),
            holder: workspace("c"),
            awaits_activation: false,
            next_check_at: at + Duration::days(7),
            at,
        }
        .into(),
    ];
    story.ownership = moved.iter().fold(story.ownership, deed_claims::Ownership::evolve);
    assert_eq!(story.answer(3, 2, ContestAnswer::Accept), Err(Rejection::NoContest));
    let mut story = story.until_next_check(2);
    assert_eq!(
        story.check_both(2, Outcome::Proven, Some(Outcome::Proven)).unwrap(),
        ["CheckRecorded", "ContestOpened"]
    );
    let ClaimState::Contesting(contest) = story.state(2) else { panic!("no contest") };
    assert_eq!((contest.holder_claim_id, contest.answer), (claim(3), None));
    assert!(story.has(3));
}

#[test]
fn the_schedule_looks_at_both_ends() {
    let mut story = contested();
    for end in [start() + grace(), start() + grace() * 2] {
        story.now = end - Duration::seconds(10);
        story.check_both(2, Outcome::Proven, Some(unreachable())).unwrap();
        story = story.until_next_check(2);
        assert_eq!(story.now, end);
    }
}

/// Each row of the decision names its test, and each test here is named there.
#[test]
fn the_decision_has_a_test_for_every_row() {
    let decision = include_str!("../../../docs/adr/0008-a-disputed-contest.md");
    let source = include_str!("contests.rs");
    let named: Vec<&str> = decision
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains('`'))
        .flat_map(|row| row.rsplit('|').nth(1).unwrap().split(','))
        .map(|name| name.trim().trim_matches('`'))
        .collect();
    for name in &named {
        assert!(source.contains(&format!("\nfn {name}()")), "no test {name}");
    }
    let tests = source.match_indices("#[test]\nfn ").map(|(at, begin)| {
        let rest = &source[at + begin.len()..];
        &rest[..rest.find('(').unwrap()]
    });
    let missing: Vec<&str> = tests
        .filter(|test| !named.contains(test) && *test != "the_decision_has_a_test_for_every_row")
        .collect();
    assert_eq!(missing, NOTHING, "tests that no row names");
}
