//! The times of checks over weeks of a claim's life, for given outcomes at each time.
#![expect(clippy::unwrap_used, reason = "a scenario that cannot be events fails its test")]
mod given;

use chrono::{DateTime, Duration, Utc};
use deed_claims::{ClaimState, Ended, Event, MissingCause, OwnershipEvent, Policy, schedule};
use deed_diagnosis::{Code, Diagnosis, Outcome};
use given::{Scenario, absent, claim, not_proven, start, unreachable};

/// More checks than a year of any schedule has.
const MAX_CHECKS: usize = 20_000;

/// Makes every check when it falls due, until a time; the times of the checks.
fn run_until(
    mut scenario: Scenario,
    until: DateTime<Utc>,
    outcome_at: impl Fn(Duration) -> Outcome,
) -> (Scenario, Vec<DateTime<Utc>>) {
    let mut checks = vec![];
    while let Some(due) = scenario.ownership.claims[&claim(1)].pending.map(|p| p.due_at) {
        if due > until || checks.len() > MAX_CHECKS {
            break;
        }
        scenario.now = scenario.now.max(due);
        let outcome = outcome_at(scenario.now - start());
        scenario.check(1, outcome).unwrap();
        checks.push(scenario.now);
    }
    scenario.now = until;
    (scenario, checks)
}

fn gaps(checks: &[DateTime<Utc>]) -> Vec<Duration> {
    checks.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

fn kinds(scenario: &Scenario) -> Vec<(Duration, &'static str)> {
    let others = scenario.log.iter().filter(|e| !matches!(e, OwnershipEvent::CheckRecorded(_)));
    others.map(|e| (e.at() - start(), Event::from(e.clone()).kind())).collect()
}

fn watched() -> Scenario {
    let mut scenario = Scenario::default();
    scenario.initiate(1, "a").unwrap();
    scenario.request(1).unwrap();
    scenario
}

fn held_with(interval: Duration) -> Scenario {
    Scenario::with(Policy { held_interval: interval, ..Policy::default() }).held_by(1, "a")
}

fn within(gap: Duration, base: Duration, percent: i32) -> bool {
    let slack = base * percent / 100 + Duration::seconds(1);
    gap >= base - slack && gap <= base + slack
}

fn stale(seconds: u32) -> Outcome {
    let diagnosis = Diagnosis::from_text(Code::StaleNegativeCache, "seen", "wait");
    Outcome::NotProven(Diagnosis { clears_in: Some(seconds), ..diagnosis })
}

#[test]
fn watched_claim_has_growing_pauses_until_its_deadline() {
    let (scenario, checks) = run_until(watched(), start() + Duration::days(30), |_| absent());
    assert_eq!(checks[0], start(), "the first check is made at once");
    let policy = Policy::default();
    for (step, gap) in (0..).zip(gaps(&checks)) {
        assert!(within(gap, schedule::watch_pause(&policy, step), 20), "{step}: {gap}");
    }
    let by = |days| checks.iter().filter(|at| **at - start() <= days).count();
    assert!((5..=9).contains(&by(Duration::minutes(10))), "{}", by(Duration::minutes(10)));
    assert!((11..=15).contains(&by(Duration::hours(1))), "{}", by(Duration::hours(1)));
    assert!((55..=72).contains(&checks.len()), "{}", checks.len());
    assert!(*checks.last().unwrap() < start() + Duration::days(7));
    let due = scenario.ownership.claims[&claim(1)].due();
    assert_eq!(due.iter().map(|d| d.at).collect::<Vec<_>>(), [start() + Duration::days(7)]);
}

#[test]
fn failures_and_absence_have_the_same_pauses() {
    let end = start() + Duration::days(8);
    let (_, through_trouble) = run_until(watched(), end, |_| unreachable());
    let (_, through_absence) = run_until(watched(), end, |_| absent());
    assert_eq!(through_trouble, through_absence);
}

#[test]
fn checks_again_when_a_cached_denial_expires() {
    let late = Duration::days(2);
    let (scenario, _) = run_until(watched(), start() + late, |_| absent());
    let mut scenario = scenario.until_next_check(1);
    let step = scenario.ownership.claims[&claim(1)].step;
    scenario.check(1, stale(850)).unwrap();
    let next =
        |scenario: &Scenario| scenario.ownership.claims[&claim(1)].pending.unwrap().due_at - scenario.now;
    assert_eq!(next(&scenario), Duration::seconds(850));
    // A resolver that reports one for ever is not queried more often than at the start.
    let mut scenario = scenario.until_next_check(1);
    scenario.check(1, stale(0)).unwrap();
    assert_eq!(next(&scenario), Policy::default().watch_first);
    assert_eq!(scenario.ownership.claims[&claim(1)].step, step + 2);
    // A cache time longer than the schedule's pause changes nothing.
    let mut scenario = watched();
    scenario.check(1, stale(86_400)).unwrap();
    assert!(within(next(&scenario), Duration::seconds(30), 20));
    // The first time, a cache time of a few seconds is the pause.
    let mut scenario = watched();
    scenario.check(1, stale(4)).unwrap();
    assert_eq!(next(&scenario), Duration::seconds(4));
}

#[test]
fn cached_denial_in_a_manual_check_advances_the_next() {
    let (mut scenario, _) = run_until(watched(), start() + Duration::days(2), |_| absent());
    let scheduled = scenario.ownership.claims[&claim(1)].pending.unwrap().due_at;
    scenario.now = scheduled - Duration::minutes(90);
    scenario.request(1).unwrap();
    scenario.check(1, stale(60)).unwrap();
    let next = scenario.ownership.claims[&claim(1)].pending.unwrap().due_at;
    assert_eq!(next, scenario.now + Duration::seconds(60));
}

#[test]
fn held_name_is_checked_at_its_interval() {
    for interval in [Duration::days(7), Duration::days(1), Duration::hours(1)] {
        let end = start() + interval * 50;
        let (scenario, checks) = run_until(held_with(interval), end, |_| Outcome::Proven);
        assert!((44..=56).contains(&checks.len()), "{interval}: {}", checks.len());
        assert!(gaps(&checks).iter().all(|gap| within(*gap, interval, 10)), "{interval}");
        assert!(matches!(scenario.state(1), ClaimState::Held(_)));
    }
}

#[test]
fn missing_record_is_checked_after_10_min_1_h_then_6_h() {
    let gone = Duration::days(20);
    let outcome_at = |at| if at < gone { Outcome::Proven } else { absent() };
    let (scenario, checks) =
        run_until(held_with(Duration::days(7)), start() + Duration::days(60), outcome_at);
    let missing: Vec<_> = checks.iter().copied().filter(|at| *at - start() >= gone).collect();
    let bases = [Duration::minutes(10), Duration::hours(1)];
    let pauses = gaps(&missing);
    for (index, gap) in pauses.iter().enumerate().take(pauses.len() - 1) {
        let base = bases.get(index).copied().unwrap_or(Duration::hours(6));
        assert!(within(*gap, base, 10), "{index}: {gap}");
    }
    let events = kinds(&scenario);
    let missing_at = missing[0] - start();
    assert!(events.contains(&(missing_at, "ProofMissing")), "{events:?}");
    assert!(events.contains(&(missing_at + Duration::hours(72), "OwnershipEnded")), "{events:?}");
    assert!(matches!(scenario.state(1), ClaimState::Ended { how: Ended::Lapsed, .. }));
}

#[test]
fn restored_holding_returns_to_its_interval() {
    let (gone, back) = (Duration::days(20), Duration::days(22));
    let outcome_at = |at| if (gone..back).contains(&at) { absent() } else { Outcome::Proven };
    let (scenario, checks) =
        run_until(held_with(Duration::hours(1)), start() + Duration::days(40), outcome_at);
    let events: Vec<&str> = kinds(&scenario).into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(events[events.len() - 2..], ["ProofMissing", "ProofRestored"]);
    assert!(matches!(scenario.state(1), ClaimState::Held(_)));
    // With hourly checks, a missing record is not checked less often.
    assert!(gaps(&checks).iter().all(|gap| *gap <= Duration::minutes(66)));
}

#[test]
fn claim_after_a_lapse_has_a_new_token() {
    let (mut scenario, _) =
        run_until(held_with(Duration::days(7)), start() + Duration::days(60), |_| absent());
    assert_eq!(scenario.ownership.holding, None);
    assert!(scenario.request(1).is_err(), "the old claim is over");
    scenario.initiate(2, "a").unwrap();
    assert_ne!(scenario.ownership.claims[&claim(2)].challenge.token, given::challenge(1).token);
}

#[test]
fn outage_is_a_risk_after_14_days_and_never_a_lapse() {
    let out = Duration::days(10);
    let outcome_at = |at| if at < out { Outcome::Proven } else { unreachable() };
    let (scenario, checks) =
        run_until(held_with(Duration::days(1)), start() + Duration::days(200), outcome_at);
    let first = checks.iter().find(|at| **at - start() >= out).unwrap();
    let events = kinds(&scenario);
    let (at, kind) = events.last().unwrap();
    assert_eq!(*kind, "ProofMissing");
    let since = *at - (*first - start());
    assert!(since >= Duration::days(14) && since <= Duration::days(15), "{since}");
    let ClaimState::AtRisk { risk, .. } = scenario.state(1) else { panic!("{:?}", scenario.state(1)) };
    assert_eq!((risk.cause, risk.lapses_at), (MissingCause::Unreachable, None));
    // When the servers are back, the holding is as before.
    let (scenario, _) = run_until(scenario, start() + Duration::days(202), |_| Outcome::Proven);
    assert!(matches!(scenario.state(1), ClaimState::Held(_)));
}

#[test]
fn absence_after_an_outage_restarts_the_pauses() {
    let outcome_at = |at| if at < Duration::days(3) { unreachable() } else { absent() };
    let (scenario, checks) = run_until(held_with(Duration::days(1)), start() + Duration::days(5), outcome_at);
    let first = checks.iter().position(|at| *at - start() >= Duration::days(3)).unwrap();
    assert!(within(checks[first + 1] - checks[first], Duration::minutes(10), 10));
    assert!(within(checks[first + 2] - checks[first + 1], Duration::hours(1), 10));
    assert!(matches!(scenario.state(1), ClaimState::AtRisk { .. }));
}

#[test]
fn blocked_and_failed_checks_do_not_cost_a_holding() {
    for code in [Code::DnssecBogus, Code::BlockedAddress, Code::StaleNegativeCache] {
        let outcome_at = |_| not_proven(code);
        let (scenario, _) =
            run_until(held_with(Duration::days(7)), start() + Duration::days(100), outcome_at);
        assert_eq!(scenario.ownership.holding, Some(claim(1)), "{code:?}");
    }
    let mut scenario = held_with(Duration::days(7)).until_next_check(1);
    let before = scenario.ownership.clone();
    assert_eq!(scenario.check(1, not_proven(Code::Internal)).unwrap(), [] as [&str; 0]);
    assert_eq!(scenario.ownership, before);
}
