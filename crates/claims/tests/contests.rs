//! The end of contests: every row of the table in `docs/adr/0008-a-disputed-contest.md`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod given;

use chrono::Duration;
use deed_claims::{
    ClaimState, Command, ContestAnswer, ContestCause, ContestPolicy, ContestResolution, ContestResolvedBy,
    EndReason, Ended, OwnershipEnded, OwnershipEvent, OwnershipGranted, Policy, Rejection,
};
use deed_diagnosis::{Code, Outcome};
use given::{Scenario, absent, claim, not_proven, start, unreachable, workspace};

const NOTHING: [&str; 0] = [];
const OPENED: [&str; 3] = ["CheckRecorded", "DomainVerified", "ContestOpened"];
const MOVED: [&str; 4] = ["CheckRecorded", "ContestResolved", "OwnershipEnded", "OwnershipGranted"];
const REFUSED: [&str; 2] = ["CheckRecorded", "ContestResolved"];

fn grace() -> Duration {
    Policy::default().contest_grace
}

/// Claim 1 of `a` has the name; claim 2 of `b` is watched.
fn challenged(contest: ContestPolicy) -> Scenario {
    let mut scenario = Scenario::with(Policy { contest, ..Policy::default() }).held_by(1, "a");
    scenario.watch(2, "b");
    scenario
}

/// Claim 2 has been proven while the record of claim 1 stands.
fn contested() -> Scenario {
    contested_under(ContestPolicy::Evidence)
}

fn contested_under(contest: ContestPolicy) -> Scenario {
    let mut scenario = challenged(contest);
    assert_eq!(scenario.check_both(2, Outcome::Proven, Some(Outcome::Proven)).unwrap(), OPENED);
    scenario
}

fn lock(scenario: &mut Scenario) {
    scenario.when(Command::Lock { claim_id: claim(1) }).unwrap();
}

fn operator(scenario: &mut Scenario, resolution: ContestResolution) -> Vec<&'static str> {
    scenario.when(Command::ResolveContest { claim_id: claim(2), resolution }).unwrap()
}

/// Makes every check when it falls due, with these outcomes, until the contest is over; its duration.
fn run(mut scenario: Scenario, own: &Outcome, holder: &Outcome) -> (Scenario, Duration) {
    let begin = scenario.now;
    while matches!(scenario.state(2), ClaimState::Contesting(_)) {
        scenario = scenario.until_next_check(2);
        scenario.check_both(2, own.clone(), Some(holder.clone())).unwrap();
        assert!(scenario.now - begin < Duration::days(30), "the contest never ends");
    }
    let took = scenario.now - begin;
    (scenario, took)
}

#[track_caller]
fn keeps(scenario: &Scenario, by: ContestResolvedBy) {
    assert!(scenario.has(1));
    assert_eq!((scenario.ended(2), scenario.resolved_by()), (Some(Ended::Refused), Some(by)));
}

#[track_caller]
fn loses(scenario: &Scenario, by: ContestResolvedBy) {
    assert!(scenario.has(2));
    assert_eq!((scenario.ended(1), scenario.resolved_by()), (Some(Ended::Transferred), Some(by)));
}

#[test]
fn moves_at_once_when_the_record_is_gone_already() {
    let mut scenario = challenged(ContestPolicy::Evidence);
    assert_eq!(
        scenario.check_both(2, Outcome::Proven, Some(absent())).unwrap(),
        ["CheckRecorded", "DomainVerified", "OwnershipEnded", "OwnershipGranted"]
    );
    assert!(scenario.has(2));
    assert_eq!(scenario.ended(1), Some(Ended::Transferred));
}

#[test]
fn opens_while_the_record_stands() {
    let scenario = contested();
    let ClaimState::Contesting(contest) = scenario.state(2) else { panic!("no contest") };
    assert_eq!(contest.cause, ContestCause::HolderRecordStands);
    assert_eq!(contest.ends_at, Some(start() + grace()));
    assert_eq!(contest.refused_at(), Some(start() + grace() * 2));
    assert!(scenario.has(1));
}

#[test]
fn opens_while_the_record_cannot_be_seen() {
    for unseen in [Some(unreachable()), Some(not_proven(Code::InconsistentServers)), None] {
        let mut scenario = challenged(ContestPolicy::Evidence);
        assert_eq!(scenario.check_both(2, Outcome::Proven, unseen).unwrap(), OPENED);
        assert!(scenario.has(1));
    }
}

#[test]
fn moves_when_the_record_goes() {
    let mut scenario = contested().until_next_check(2);
    assert_eq!(scenario.check_both(2, Outcome::Proven, Some(absent())).unwrap(), MOVED);
    loses(&scenario, ContestResolvedBy::HolderRecordRemoved);
}

#[test]
fn is_refused_when_the_challengers_record_goes() {
    let mut scenario = contested().until_next_check(2);
    // Whatever the holder's record is, a challenger needs a record of its own.
    assert_eq!(scenario.check_both(2, absent(), Some(absent())).unwrap(), REFUSED);
    keeps(&scenario, ContestResolvedBy::ChallengerRecordRemoved);
}

#[test]
fn moves_when_the_holder_accepts() {
    let mut scenario = contested();
    assert_eq!(
        scenario.answer(1, 2, ContestAnswer::Accept).unwrap(),
        ["ContestAnswered", "ContestResolved", "OwnershipEnded", "OwnershipGranted"]
    );
    loses(&scenario, ContestResolvedBy::HolderAccepted);
}

#[test]
fn acceptance_waits_for_the_challengers_record() {
    let mut scenario = contested().until_next_check(2);
    scenario.check(2, unreachable()).unwrap();
    assert_eq!(scenario.answer(1, 2, ContestAnswer::Accept).unwrap(), ["ContestAnswered"]);
    assert!(scenario.has(1));
    let mut scenario = scenario.until_next_check(2);
    assert_eq!(scenario.check_both(2, Outcome::Proven, Some(Outcome::Proven)).unwrap(), MOVED);
    loses(&scenario, ContestResolvedBy::HolderAccepted);
}

#[test]
fn acceptance_can_be_taken_back_until_the_name_moves() {
    let mut scenario = contested().until_next_check(2);
    scenario.check(2, unreachable()).unwrap();
    scenario.answer(1, 2, ContestAnswer::Accept).unwrap();
    scenario.answer(1, 2, ContestAnswer::Dispute).unwrap();
    assert_eq!(scenario.answer(1, 2, ContestAnswer::Dispute).unwrap(), NOTHING);
    let (scenario, took) = run(scenario, &Outcome::Proven, &Outcome::Proven);
    keeps(&scenario, ContestResolvedBy::Disputed);
    assert!(took <= grace());
}

/// Claims 2 and 3 contest claim 1, whose record was absent and then unreachable.
fn contested_twice_at_risk() -> Scenario {
    let mut scenario = Scenario::default().held_by(1, "a").until_next_check(1);
    scenario.check(1, absent()).unwrap();
    for (n, holder) in [(2, "b"), (3, "c")] {
        scenario.watch(n, holder);
        assert_eq!(scenario.check_both(n, Outcome::Proven, Some(unreachable())).unwrap(), OPENED);
    }
    scenario
}

#[test]
fn leaves_the_name_to_the_challenger_when_the_holder_leaves() {
    let released = |mut scenario: Scenario| {
        let events = scenario.when(Command::Release { claim_id: claim(1) }).unwrap();
        (scenario, events, Ended::Released)
    };
    let revoked = |mut scenario: Scenario| {
        let events = scenario.when(Command::Revoke { claim_id: claim(1) }).unwrap();
        (scenario, events, Ended::Revoked)
    };
    let lapsed = |mut scenario: Scenario| {
        scenario = scenario.after(Policy::default().drift_grace);
        let mut events = scenario.check(1, absent()).unwrap();
        assert_eq!(events.remove(0), "CheckRecorded");
        (scenario, events, Ended::Lapsed)
    };
    for leaves in [released, revoked, lapsed] {
        let (scenario, events, how) = leaves(contested_twice_at_risk());
        assert_eq!(events, ["OwnershipEnded", "ContestResolved", "OwnershipGranted", "ContestResolved"]);
        assert!(scenario.has(2), "the earliest of them");
        assert_eq!((scenario.ended(1), scenario.ended(3)), (Some(how), Some(Ended::Refused)));
    }
}

#[test]
fn leaves_the_name_to_nobody_whose_record_was_not_seen() {
    let mut scenario = contested().until_next_check(2);
    scenario.check(2, unreachable()).unwrap();
    assert_eq!(scenario.when(Command::Release { claim_id: claim(1) }).unwrap(), ["OwnershipEnded"]);
    assert_eq!(scenario.ownership.holding, None);
    // The next proven claim gets the name, and contests with the former holder end.
    scenario.watch(3, "c");
    assert_eq!(
        scenario.check(3, Outcome::Proven).unwrap(),
        ["CheckRecorded", "DomainVerified", "OwnershipGranted", "ContestResolved"]
    );
    assert_eq!(scenario.ended(2), Some(Ended::Refused));
}

#[test]
fn is_refused_when_another_challenger_gets_the_name() {
    let mut scenario = contested();
    scenario.watch(3, "c");
    scenario.check_both(3, Outcome::Proven, Some(Outcome::Proven)).unwrap();
    let mut scenario = scenario.until_next_check(3);
    scenario.check_both(3, Outcome::Proven, Some(absent())).unwrap();
    assert!(scenario.has(3));
    assert_eq!(scenario.ended(2), Some(Ended::Refused));
    assert_eq!(scenario.resolved_by(), Some(ContestResolvedBy::Superseded));
}

#[test]
fn is_refused_at_the_end_when_the_holder_is_silent() {
    let (scenario, took) = run(contested(), &Outcome::Proven, &Outcome::Proven);
    keeps(&scenario, ContestResolvedBy::HolderRecordStands);
    assert_eq!(took, grace());
}

#[test]
fn is_refused_at_the_end_when_the_holder_disputes() {
    let mut scenario = contested();
    assert_eq!(scenario.answer(1, 2, ContestAnswer::Dispute).unwrap(), ["ContestAnswered"]);
    let (scenario, took) = run(scenario, &Outcome::Proven, &Outcome::Proven);
    keeps(&scenario, ContestResolvedBy::Disputed);
    assert_eq!(took, grace());
}

#[test]
fn moves_at_the_end_when_the_record_is_gone() {
    for answer in [None, Some(ContestAnswer::Dispute)] {
        let mut scenario = contested();
        if let Some(answer) = answer {
            scenario.answer(1, 2, answer).unwrap();
        }
        let mut scenario = scenario.after(grace());
        assert_eq!(scenario.check_both(2, Outcome::Proven, Some(absent())).unwrap(), MOVED);
        loses(&scenario, ContestResolvedBy::HolderRecordRemoved);
    }
}

#[test]
fn goes_on_after_the_end_while_the_record_cannot_be_seen() {
    for unseen in [unreachable(), not_proven(Code::DnssecBogus)] {
        let mut scenario = contested().after(grace());
        assert_eq!(scenario.check_both(2, Outcome::Proven, Some(unseen)).unwrap(), ["CheckRecorded"]);
        assert!(scenario.has(1));
        let mut gone = scenario.clone().until_next_check(2);
        assert_eq!(gone.check_both(2, Outcome::Proven, Some(absent())).unwrap(), MOVED);
        let mut stands = scenario.until_next_check(2);
        assert_eq!(stands.check_both(2, Outcome::Proven, Some(Outcome::Proven)).unwrap(), REFUSED);
        keeps(&stands, ContestResolvedBy::HolderRecordStands);
    }
}

#[test]
fn is_refused_when_the_record_stays_unseen() {
    for answer in [None, Some(ContestAnswer::Dispute)] {
        let mut scenario = contested();
        if let Some(answer) = answer {
            scenario.answer(1, 2, answer).unwrap();
        }
        let (scenario, took) = run(scenario, &Outcome::Proven, &unreachable());
        keeps(&scenario, ContestResolvedBy::HolderRecordUnknown);
        assert_eq!(took, grace() * 2);
    }
}

#[test]
fn is_refused_when_the_challenger_stays_unseen() {
    let (scenario, took) = run(contested(), &unreachable(), &absent());
    keeps(&scenario, ContestResolvedBy::ChallengerUnproven);
    assert_eq!(took, grace() * 2);
    assert!(scenario.ownership.claims[&claim(2)].attempts < 600);
}

#[test]
fn policy_grace_waits_though_the_record_is_gone() {
    let mut scenario = challenged(ContestPolicy::Grace);
    assert_eq!(scenario.check_both(2, Outcome::Proven, Some(absent())).unwrap(), OPENED);
    let (scenario, took) = run(scenario, &Outcome::Proven, &absent());
    loses(&scenario, ContestResolvedBy::HolderRecordRemoved);
    assert_eq!(took, grace());
}

#[test]
fn policy_grace_lets_the_holder_put_the_record_back() {
    let mut scenario = challenged(ContestPolicy::Grace);
    scenario.check_both(2, Outcome::Proven, Some(absent())).unwrap();
    let (scenario, took) = run(scenario, &Outcome::Proven, &Outcome::Proven);
    keeps(&scenario, ContestResolvedBy::HolderRecordStands);
    assert_eq!(took, grace());
}

#[test]
fn policy_grace_refuses_when_the_record_stays_unseen() {
    let (scenario, took) = run(contested_under(ContestPolicy::Grace), &Outcome::Proven, &unreachable());
    keeps(&scenario, ContestResolvedBy::HolderRecordUnknown);
    assert_eq!(took, grace() * 2);
}

#[test]
fn policy_immediate_moves_at_once() {
    let mut scenario = challenged(ContestPolicy::Immediate);
    assert_eq!(
        scenario.check_both(2, Outcome::Proven, Some(Outcome::Proven)).unwrap(),
        ["CheckRecorded", "DomainVerified", "OwnershipEnded", "OwnershipGranted"]
    );
}

#[test]
fn policy_review_waits_for_an_operator() {
    for resolution in [ContestResolution::Granted, ContestResolution::Refused] {
        let mut scenario = contested_under(ContestPolicy::Review).after(Duration::days(30));
        for holder in [Outcome::Proven, absent(), unreachable()] {
            assert_eq!(scenario.check_both(2, Outcome::Proven, Some(holder)).unwrap(), ["CheckRecorded"]);
            scenario = scenario.until_next_check(2);
        }
        assert_eq!(scenario.answer(1, 2, ContestAnswer::Accept).unwrap(), ["ContestAnswered"]);
        operator(&mut scenario, resolution);
        match resolution {
            ContestResolution::Granted => loses(&scenario, ContestResolvedBy::Operator),
            ContestResolution::Refused => keeps(&scenario, ContestResolvedBy::Operator),
        }
    }
}

#[test]
fn a_locked_holding_waits_for_an_operator() {
    for policy in [ContestPolicy::Immediate, ContestPolicy::Evidence, ContestPolicy::Grace] {
        let mut scenario = challenged(policy);
        lock(&mut scenario);
        assert_eq!(scenario.check_both(2, Outcome::Proven, Some(absent())).unwrap(), OPENED);
        let mut scenario = scenario.after(Duration::days(30));
        assert_eq!(scenario.check_both(2, Outcome::Proven, Some(absent())).unwrap(), ["CheckRecorded"]);
        assert_eq!(
            operator(&mut scenario, ContestResolution::Granted),
            ["ContestResolved", "OwnershipEnded", "OwnershipGranted"]
        );
    }
}

#[test]
fn a_lock_during_a_contest_waits_for_an_operator() {
    let mut scenario = contested();
    lock(&mut scenario);
    let mut scenario = scenario.until_next_check(2);
    assert_eq!(scenario.check_both(2, Outcome::Proven, Some(absent())).unwrap(), ["CheckRecorded"]);
    assert_eq!(scenario.answer(1, 2, ContestAnswer::Accept).unwrap(), ["ContestAnswered"]);
    let mut scenario = scenario.after(grace() * 3);
    assert_eq!(scenario.check_both(2, Outcome::Proven, Some(absent())).unwrap(), ["CheckRecorded"]);
    assert!(scenario.has(1));
    operator(&mut scenario, ContestResolution::Refused);
    keeps(&scenario, ContestResolvedBy::Operator);
}

#[test]
fn an_unlocked_holding_is_under_the_rules_again() {
    for (holder, moves) in [(Outcome::Proven, false), (absent(), true)] {
        let mut scenario = contested();
        lock(&mut scenario);
        let mut scenario = scenario.after(grace());
        scenario.check_both(2, Outcome::Proven, Some(holder.clone())).unwrap();
        scenario.when(Command::Unlock { claim_id: claim(1) }).unwrap();
        let mut scenario = scenario.until_next_check(2);
        scenario.check_both(2, Outcome::Proven, Some(holder)).unwrap();
        assert_eq!(scenario.has(2), moves);
    }
}

#[test]
fn an_answer_is_for_one_challenger_only() {
    let mut scenario = contested();
    scenario.watch(3, "c");
    scenario.check_both(3, Outcome::Proven, Some(Outcome::Proven)).unwrap();
    let mut scenario = scenario.until_next_check(2);
    scenario.check(2, unreachable()).unwrap();
    // An acceptance for a challenger that is unreachable now does not count for the other.
    assert_eq!(scenario.answer(1, 2, ContestAnswer::Accept).unwrap(), ["ContestAnswered"]);
    let mut scenario = scenario.until_next_check(3);
    scenario.check_both(3, Outcome::Proven, Some(Outcome::Proven)).unwrap();
    assert!(scenario.has(1));
    // A challenger that has left cannot be answered, and no other takes its place.
    scenario.when(Command::Cancel { claim_id: claim(2) }).unwrap();
    assert_eq!(scenario.answer(1, 2, ContestAnswer::Accept), Err(Rejection::NoContest));
    assert_eq!(scenario.answer(2, 3, ContestAnswer::Accept), Err(Rejection::Ended));
    assert_eq!(scenario.answer(3, 3, ContestAnswer::Accept), Err(Rejection::NotHeld));
    assert!(scenario.has(1));
}

#[test]
fn an_answer_does_not_count_in_a_later_contest() {
    let mut scenario = contested().until_next_check(2);
    scenario.check(2, unreachable()).unwrap();
    scenario.answer(1, 2, ContestAnswer::Accept).unwrap();
    let mut scenario = scenario.until_next_check(2);
    scenario.check(2, absent()).unwrap();
    assert_eq!(scenario.ended(2), Some(Ended::Refused));
    scenario.watch(3, "b");
    assert_eq!(scenario.check_both(3, Outcome::Proven, Some(Outcome::Proven)).unwrap(), OPENED);
    let ClaimState::Contesting(contest) = scenario.state(3) else { panic!("no contest") };
    assert_eq!(contest.answer, None);
    assert!(scenario.has(1));
}

/// Logs of earlier versions may contain a grant while a contest with the former holder was open.
#[test]
fn a_contest_begins_anew_with_the_next_holder() {
    let mut scenario = contested().until_next_check(2);
    scenario.check(2, unreachable()).unwrap();
    scenario.answer(1, 2, ContestAnswer::Accept).unwrap();
    scenario.initiate(3, "c").unwrap();
    let at = scenario.now;
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
    scenario.ownership = moved.iter().fold(scenario.ownership, deed_claims::Ownership::evolve);
    assert_eq!(scenario.answer(3, 2, ContestAnswer::Accept), Err(Rejection::NoContest));
    let mut scenario = scenario.until_next_check(2);
    assert_eq!(
        scenario.check_both(2, Outcome::Proven, Some(Outcome::Proven)).unwrap(),
        ["CheckRecorded", "ContestOpened"]
    );
    let ClaimState::Contesting(contest) = scenario.state(2) else { panic!("no contest") };
    assert_eq!((contest.holder_claim_id, contest.answer), (claim(3), None));
    assert!(scenario.has(3));
}

#[test]
fn the_schedule_looks_at_both_ends() {
    let mut scenario = contested();
    for end in [start() + grace(), start() + grace() * 2] {
        scenario.now = end - Duration::seconds(10);
        scenario.check_both(2, Outcome::Proven, Some(unreachable())).unwrap();
        scenario = scenario.until_next_check(2);
        assert_eq!(scenario.now, end);
    }
}

/// Each row of the decision names its tests, and each test of this file is named in a row.
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
