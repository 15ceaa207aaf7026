//! Scenarios of claims: commands and the events that they cause.
mod given;

use chrono::Duration;
use deed_claims::{
    Activation, CheckCause, ClaimState, Command, DueKind, Ended, IfHeldByAnother, MissingCause, Policy,
    Rejection,
};
use deed_diagnosis::{Code, Outcome};
use given::{Scenario, absent, claim, initiate, not_proven, start, unreachable, workspace};

#[test]
fn grants_a_proven_claim() {
    let mut scenario = Scenario::default();
    assert_eq!(scenario.initiate(1, "a").unwrap(), ["ClaimInitiated"]);
    assert!(matches!(scenario.state(1), ClaimState::Initiated { .. }));
    assert_eq!(scenario.request(1).unwrap(), ["VerificationRequested"]);
    assert_eq!(scenario.check(1, absent()).unwrap(), ["CheckRecorded"]);
    let mut scenario = scenario.until_next_check(1);
    assert_eq!(
        scenario.check(1, Outcome::Proven).unwrap(),
        ["CheckRecorded", "DomainVerified", "OwnershipGranted"]
    );
    assert_eq!(scenario.ownership.holding, Some(claim(1)));
    assert_eq!(scenario.ownership.claims[&claim(1)].verified_at, Some(scenario.now));
}

#[test]
fn claiming_again_while_open_changes_nothing() {
    let mut scenario = Scenario::default();
    scenario.initiate(1, "a").unwrap();
    assert_eq!(scenario.initiate(2, "a").unwrap(), [] as [&str; 0]);
    assert_eq!(scenario.ownership.claim_of(&workspace("a")).unwrap().id, claim(1));
}

#[test]
fn claim_after_an_ended_one_has_a_new_token() {
    let mut scenario = Scenario::default();
    scenario.initiate(1, "a").unwrap();
    scenario.when(Command::Cancel { claim_id: claim(1) }).unwrap();
    assert_eq!(scenario.ended(1), Some(Ended::Cancelled));
    assert_eq!(scenario.initiate(2, "a").unwrap(), ["ClaimInitiated"]);
    assert!(!scenario.ownership.claims.contains_key(&claim(1)));
    assert_ne!(given::challenge(1).token, scenario.ownership.claims[&claim(2)].challenge.token);
}

#[test]
fn unverified_claim_expires_at_its_deadline() {
    let mut scenario = Scenario::default();
    scenario.initiate(1, "a").unwrap();
    assert_eq!(scenario.when(Command::Expire { claim_id: claim(1) }), Err(Rejection::NotDue));
    let mut scenario = scenario.after(Duration::days(7));
    assert_eq!(scenario.when(Command::Expire { claim_id: claim(1) }).unwrap(), ["ClaimExpired"]);
}

#[test]
fn watching_ends_after_seven_days() {
    let mut scenario = Scenario::default();
    scenario.initiate(1, "a").unwrap();
    let mut scenario = scenario.after(Duration::days(6));
    scenario.request(1).unwrap();
    let mut checks = 0;
    while scenario.pending_attempt(1).is_some() {
        scenario = scenario.until_next_check(1);
        scenario.check(1, absent()).unwrap();
        checks += 1;
    }
    assert!((50..=75).contains(&checks), "{checks}");
    let due = scenario.ownership.claims[&claim(1)].due();
    assert_eq!(due.iter().map(|d| d.kind).collect::<Vec<_>>(), [DueKind::Expire]);
    assert_eq!(due[0].at, start() + Duration::days(13));
}

#[test]
fn manual_check_is_limited_and_keeps_the_step() {
    let mut scenario = Scenario::default();
    scenario.initiate(1, "a").unwrap();
    scenario.request(1).unwrap();
    scenario.check(1, absent()).unwrap();
    let again_at = scenario.now + Duration::seconds(10);
    assert_eq!(scenario.request(1), Err(Rejection::TooSoon { again_at }));
    for _ in 0..5 {
        scenario = scenario.until_next_check(1);
        scenario.check(1, absent()).unwrap();
    }
    let step = scenario.ownership.claims[&claim(1)].step;
    let mut scenario = scenario.after(Duration::seconds(11));
    assert_eq!(scenario.request(1).unwrap(), ["VerificationRequested"]);
    assert_eq!(scenario.ownership.claims[&claim(1)].pending.unwrap().cause, CheckCause::Manual);
    scenario.check(1, absent()).unwrap();
    assert_eq!(scenario.ownership.claims[&claim(1)].step, step);
}

#[test]
fn allows_ten_manual_checks_per_hour() {
    let mut scenario = Scenario::default();
    scenario.initiate(1, "a").unwrap();
    for _ in 0..10 {
        scenario.request(1).unwrap();
        scenario.check(1, absent()).unwrap();
        scenario = scenario.after(Duration::seconds(30));
    }
    let again_at = start() + Duration::hours(1);
    assert_eq!(scenario.request(1), Err(Rejection::TooSoon { again_at }));
    let mut scenario = scenario.after(Duration::hours(1));
    assert!(scenario.request(1).is_ok());
}

#[test]
fn rejects_a_settled_attempt() {
    let mut scenario = Scenario::default();
    scenario.initiate(1, "a").unwrap();
    scenario.request(1).unwrap();
    scenario.check(1, absent()).unwrap();
    let stale = Command::RecordCheck {
        claim_id: claim(1),
        attempt: 1,
        outcome: Outcome::Proven,
        holder_outcome: None,
        evidence: given::evidence(),
    };
    assert_eq!(scenario.when(stale), Err(Rejection::StaleAttempt));
}

#[test]
fn internal_failure_records_nothing() {
    let mut scenario = Scenario::default();
    scenario.initiate(1, "a").unwrap();
    scenario.request(1).unwrap();
    let before = scenario.ownership.clone();
    assert_eq!(scenario.check(1, not_proven(Code::Internal)).unwrap(), [] as [&str; 0]);
    assert_eq!(scenario.ownership, before);
}

#[test]
fn refused_name_refuses_the_claim() {
    let mut scenario = Scenario::default();
    scenario.initiate(1, "a").unwrap();
    scenario.request(1).unwrap();
    assert_eq!(scenario.check(1, not_proven(Code::NameRefused)).unwrap(), ["CheckRecorded", "ClaimRefused"]);
    assert_eq!(scenario.ended(1), Some(Ended::Refused));
}

#[test]
fn rejects_a_held_name_where_the_command_says_so() {
    let mut scenario = Scenario::default().held_by(1, "a");
    let ask = initiate(2, workspace("b"), IfHeldByAnother::Refuse);
    assert_eq!(scenario.when(ask), Err(Rejection::HeldByAnother));
    let own = initiate(3, workspace("a"), IfHeldByAnother::Refuse);
    assert_eq!(scenario.when(own).unwrap(), [] as [&str; 0]);
    // An open claim is not a holding.
    scenario.initiate(2, "b").unwrap();
    let again = initiate(4, workspace("b"), IfHeldByAnother::Refuse);
    assert_eq!(scenario.when(again), Err(Rejection::HeldByAnother));
}

#[test]
fn missing_record_is_a_risk_until_it_is_back() {
    let mut scenario = Scenario::default().held_by(1, "a").until_next_check(1);
    assert_eq!(scenario.check(1, absent()).unwrap(), ["CheckRecorded", "ProofMissing"]);
    let next = scenario.ownership.claims[&claim(1)].pending.unwrap().due_at - scenario.now;
    assert!((9..=11).contains(&next.num_minutes()), "{next}");
    let mut scenario = scenario.until_next_check(1);
    assert_eq!(scenario.check(1, Outcome::Proven).unwrap(), ["CheckRecorded", "ProofRestored"]);
    assert!(matches!(scenario.state(1), ClaimState::Held(_)));
}

#[test]
fn missing_record_lapses_the_holding_after_the_grace() {
    let mut scenario = Scenario::default().held_by(1, "a").until_next_check(1);
    scenario.check(1, absent()).unwrap();
    let missing_since = scenario.now;
    while scenario.ownership.holding.is_some() {
        scenario = scenario.until_next_check(1);
        scenario.check(1, absent()).unwrap();
    }
    assert_eq!(scenario.now, missing_since + Duration::hours(72));
    assert_eq!(scenario.ended(1), Some(Ended::Lapsed));
}

#[test]
fn unreachable_servers_never_lapse_a_holding() {
    let mut scenario = Scenario::default().held_by(1, "a").until_next_check(1);
    scenario.check(1, absent()).unwrap();
    let mut scenario = scenario.after(Duration::days(100));
    assert_eq!(scenario.check(1, unreachable()).unwrap(), ["CheckRecorded"]);
    assert_eq!(scenario.ownership.holding, Some(claim(1)));
}

#[test]
fn unreachable_servers_are_a_risk_after_14_days() {
    let mut scenario = Scenario::default().held_by(1, "a").until_next_check(1);
    let begin = scenario.now;
    let mut events = scenario.check(1, unreachable()).unwrap();
    while !events.contains(&"ProofMissing") {
        scenario = scenario.until_next_check(1);
        events = scenario.check(1, unreachable()).unwrap();
    }
    assert!(scenario.now - begin >= Duration::days(14));
    let ClaimState::AtRisk { risk, .. } = scenario.state(1) else { panic!("not at risk") };
    assert_eq!((risk.cause, risk.lapses_at), (MissingCause::Unreachable, None));
}

#[test]
fn manual_check_of_a_held_name_does_nothing() {
    let mut scenario = Scenario::default().held_by(1, "a");
    assert_eq!(scenario.request(1).unwrap(), [] as [&str; 0]);
}

#[test]
fn manual_check_restores_but_never_lapses_a_holding() {
    let mut scenario = Scenario::default().held_by(1, "a").until_next_check(1);
    scenario.check(1, absent()).unwrap();
    let mut scenario = scenario.after(Duration::days(4));
    scenario.request(1).unwrap();
    assert_eq!(scenario.check(1, absent()).unwrap(), ["CheckRecorded"]);
    assert_eq!(scenario.ownership.holding, Some(claim(1)));
    let mut scenario = scenario.after(Duration::minutes(1));
    scenario.request(1).unwrap();
    assert_eq!(scenario.check(1, Outcome::Proven).unwrap(), ["CheckRecorded", "ProofRestored"]);
}

#[test]
fn hostname_awaits_external_activation() {
    let policy = Policy { activation: Activation::External, ..Policy::default() };
    let mut scenario = Scenario::with(policy);
    let app = deed_claims::Holder::App {
        workspace_id: "a".parse().unwrap(),
        app_id: deed_claims::AppId::from_bytes([1; 10]),
    };
    scenario.when(initiate(1, app, IfHeldByAnother::Challenge)).unwrap();
    scenario.request(1).unwrap();
    scenario.check(1, Outcome::Proven).unwrap();
    assert!(scenario.ownership.claims[&claim(1)].held().unwrap().awaits_activation);
    assert_eq!(scenario.when(Command::Activate { claim_id: claim(1) }).unwrap(), ["DomainActivated"]);
    assert_eq!(scenario.when(Command::Activate { claim_id: claim(1) }).unwrap(), [] as [&str; 0]);
}

#[test]
fn rejects_a_check_older_than_the_manual_request() {
    let mut scenario = Scenario::default();
    scenario.initiate(1, "a").unwrap();
    scenario.request(1).unwrap();
    scenario.check(1, absent()).unwrap();
    let mut scenario = scenario.until_next_check(1);
    let scheduled = scenario.pending_attempt(1).unwrap();
    scenario.request(1).unwrap();
    let late = Command::RecordCheck {
        claim_id: claim(1),
        attempt: scheduled,
        outcome: absent(),
        holder_outcome: None,
        evidence: given::evidence(),
    };
    assert_eq!(scenario.when(late), Err(Rejection::StaleAttempt));
    assert!(scenario.check(1, Outcome::Proven).unwrap().contains(&"OwnershipGranted"));
}

#[test]
fn manual_checks_do_not_delay_a_lapse() {
    let mut scenario = Scenario::default().held_by(1, "a").until_next_check(1);
    scenario.check(1, absent()).unwrap();
    let missing_since = scenario.now;
    while scenario.ownership.holding.is_some() {
        // Manual checks do not prevent the scheduled checks that fall due.
        scenario = scenario.after(Duration::minutes(7));
        if scenario.ownership.claims[&claim(1)].pending.is_some_and(|p| p.due_at <= scenario.now) {
            scenario.check(1, absent()).unwrap();
        }
        if scenario.request(1).is_ok() {
            scenario.check(1, absent()).unwrap();
        }
        assert!(scenario.now - missing_since < Duration::hours(80), "the holding never lapses");
    }
    assert_eq!(scenario.ended(1), Some(Ended::Lapsed));
}

#[test]
fn manual_check_leaves_the_schedule_as_it_was() {
    let mut scenario = Scenario::default();
    scenario.initiate(1, "a").unwrap();
    scenario.request(1).unwrap();
    for _ in 0..12 {
        scenario.check(1, absent()).unwrap();
        scenario = scenario.until_next_check(1);
    }
    scenario.check(1, absent()).unwrap();
    let scheduled = scenario.ownership.claims[&claim(1)].pending.unwrap().due_at;
    let mut scenario = scenario.after(Duration::seconds(20));
    scenario.request(1).unwrap();
    scenario.check(1, absent()).unwrap();
    assert_eq!(scenario.ownership.claims[&claim(1)].pending.unwrap().due_at, scheduled);
}
