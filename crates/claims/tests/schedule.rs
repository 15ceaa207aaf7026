//! When checks are made: weeks of a claim's life, told by what the DNS has to say at each time.
#![expect(clippy::unwrap_used, reason = "a story that cannot be told fails its test")]
mod given;

use chrono::{DateTime, Duration, Utc};
use deed_claims::{
    ClaimState, Code, Diagnosis, Ended, Event, MissingCause, Outcome, OwnershipEvent, Policy, schedule,
};
use given::{Story, absent, claim, not_proven, start, unreachable};

/// A year of a schedule is over after so many checks at the latest.
const ENDLESS: usize = 20_000;

/// Does every check when it falls due, until a time, and tells when each was made.
fn live(
    mut story: Story,
    until: DateTime<Utc>,
    says: impl Fn(Duration) -> Outcome,
) -> (Story, Vec<DateTime<Utc>>) {
    let mut checks = vec![];
    while let Some(due) = story.ownership.claims[&claim(1)].pending.map(|p| p.due_at) {
        if due > until || checks.len() > ENDLESS {
            break;
        }
        story.now = story.now.max(due);
        let outcome = says(story.now - start());
        story.check(1, outcome).unwrap();
        checks.push(story.now);
    }
    story.now = until;
    (story, checks)
}

fn gaps(checks: &[DateTime<Utc>]) -> Vec<Duration> {
    checks.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

fn kinds(story: &Story) -> Vec<(Duration, &'static str)> {
    let told = story.log.iter().filter(|e| !matches!(e, OwnershipEvent::CheckRecorded(_)));
    told.map(|e| (e.at() - start(), Event::from(e.clone()).kind())).collect()
}

fn watched() -> Story {
    let mut story = Story::default();
    story.initiate(1, "a").unwrap();
    story.request(1).unwrap();
    story
}

fn held_with(interval: Duration) -> Story {
    Story::with(Policy { held_interval: interval, ..Policy::default() }).held_by(1, "a")
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
fn a_watched_claim_is_checked_at_growing_pauses_until_its_deadline() {
    let (story, checks) = live(watched(), start() + Duration::days(30), |_| absent());
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
    let due = story.ownership.claims[&claim(1)].due();
    assert_eq!(due.iter().map(|d| d.at).collect::<Vec<_>>(), [start() + Duration::days(7)]);
}

#[test]
fn trouble_on_the_way_is_watched_in_the_same_rhythm() {
    let end = start() + Duration::days(8);
    let (_, through_trouble) = live(watched(), end, |_| unreachable());
    let (_, through_absence) = live(watched(), end, |_| absent());
    assert_eq!(through_trouble, through_absence);
}

#[test]
fn a_resolver_that_remembers_is_asked_again_when_it_forgets() {
    let late = Duration::days(2);
    let (story, _) = live(watched(), start() + late, |_| absent());
    let mut story = story.until_next_check(1);
    let step = story.ownership.claims[&claim(1)].step;
    story.check(1, stale(850)).unwrap();
    let next = |story: &Story| story.ownership.claims[&claim(1)].pending.unwrap().due_at - story.now;
    assert_eq!(next(&story), Duration::seconds(850));
    // What it says for ever is not asked for oftener than at the begin.
    let mut story = story.until_next_check(1);
    story.check(1, stale(0)).unwrap();
    assert_eq!(next(&story), Policy::default().watch_first);
    assert_eq!(story.ownership.claims[&claim(1)].step, step + 2);
    // A longer memory than the schedule's own pause changes nothing.
    let mut story = watched();
    story.check(1, stale(86_400)).unwrap();
    assert!(within(next(&story), Duration::seconds(30), 20));
    // A few seconds are waited for when they are said the first time.
    let mut story = watched();
    story.check(1, stale(4)).unwrap();
    assert_eq!(next(&story), Duration::seconds(4));
}

#[test]
fn a_manual_check_that_meets_a_resolver_that_remembers_brings_the_next_one_forward() {
    let (mut story, _) = live(watched(), start() + Duration::days(2), |_| absent());
    let scheduled = story.ownership.claims[&claim(1)].pending.unwrap().due_at;
    story.now = scheduled - Duration::minutes(90);
    story.request(1).unwrap();
    story.check(1, stale(60)).unwrap();
    let next = story.ownership.claims[&claim(1)].pending.unwrap().due_at;
    assert_eq!(next, story.now + Duration::seconds(60));
}

#[test]
fn a_held_name_is_checked_at_its_interval_for_months() {
    for interval in [Duration::days(7), Duration::days(1), Duration::hours(1)] {
        let end = start() + interval * 50;
        let (story, checks) = live(held_with(interval), end, |_| Outcome::Proven);
        assert!((44..=56).contains(&checks.len()), "{interval}: {}", checks.len());
        assert!(gaps(&checks).iter().all(|gap| within(*gap, interval, 10)), "{interval}");
        assert!(matches!(story.state(1), ClaimState::Held(_)));
    }
}

#[test]
fn a_record_that_goes_is_looked_for_after_ten_minutes_an_hour_and_then_every_six_hours() {
    let gone = Duration::days(20);
    let says = |at| if at < gone { Outcome::Proven } else { absent() };
    let (story, checks) = live(held_with(Duration::days(7)), start() + Duration::days(60), says);
    let missing: Vec<_> = checks.iter().copied().filter(|at| *at - start() >= gone).collect();
    let bases = [Duration::minutes(10), Duration::hours(1)];
    let pauses = gaps(&missing);
    for (index, gap) in pauses.iter().enumerate().take(pauses.len() - 1) {
        let base = bases.get(index).copied().unwrap_or(Duration::hours(6));
        assert!(within(*gap, base, 10), "{index}: {gap}");
    }
    let told = kinds(&story);
    let missing_at = missing[0] - start();
    assert!(told.contains(&(missing_at, "ProofMissing")), "{told:?}");
    assert!(told.contains(&(missing_at + Duration::hours(72), "OwnershipEnded")), "{told:?}");
    assert!(matches!(story.state(1), ClaimState::Ended { how: Ended::Lapsed, .. }));
}

#[test]
fn the_same_record_restores_a_holding_within_the_grace_and_the_rhythm_returns() {
    let (gone, back) = (Duration::days(20), Duration::days(22));
    let says = |at| if (gone..back).contains(&at) { absent() } else { Outcome::Proven };
    let (story, checks) = live(held_with(Duration::hours(1)), start() + Duration::days(40), says);
    let told: Vec<&str> = kinds(&story).into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(told[told.len() - 2..], ["ProofMissing", "ProofRestored"]);
    assert!(matches!(story.state(1), ClaimState::Held(_)));
    // Checked hourly, it is not looked for less often while it is missing.
    assert!(gaps(&checks).iter().all(|gap| *gap <= Duration::minutes(66)));
}

#[test]
fn after_a_lapse_a_new_claim_has_a_new_token_and_the_old_record_proves_nothing() {
    let (mut story, _) = live(held_with(Duration::days(7)), start() + Duration::days(60), |_| absent());
    assert_eq!(story.ownership.holding, None);
    assert!(story.request(1).is_err(), "the old claim is over");
    story.initiate(2, "a").unwrap();
    assert_ne!(story.ownership.claims[&claim(2)].challenge.token, given::challenge(1).token);
}

#[test]
fn servers_out_of_reach_are_no_absence_however_long_and_a_risk_after_a_fortnight() {
    let out = Duration::days(10);
    let says = |at| if at < out { Outcome::Proven } else { unreachable() };
    let (story, checks) = live(held_with(Duration::days(1)), start() + Duration::days(200), says);
    let first = checks.iter().find(|at| **at - start() >= out).unwrap();
    let told = kinds(&story);
    let (at, kind) = told.last().unwrap();
    assert_eq!(*kind, "ProofMissing");
    let since = *at - (*first - start());
    assert!(since >= Duration::days(14) && since <= Duration::days(15), "{since}");
    let ClaimState::AtRisk { risk, .. } = story.state(1) else { panic!("{:?}", story.state(1)) };
    assert_eq!((risk.cause, risk.lapses_at), (MissingCause::Unreachable, None));
    // Back again, it is held as before.
    let (story, _) = live(story, start() + Duration::days(202), |_| Outcome::Proven);
    assert!(matches!(story.state(1), ClaimState::Held(_)));
}

#[test]
fn an_absence_after_an_outage_begins_its_own_rhythm() {
    let says = |at| if at < Duration::days(3) { unreachable() } else { absent() };
    let (story, checks) = live(held_with(Duration::days(1)), start() + Duration::days(5), says);
    let first = checks.iter().position(|at| *at - start() >= Duration::days(3)).unwrap();
    assert!(within(checks[first + 1] - checks[first], Duration::minutes(10), 10));
    assert!(within(checks[first + 2] - checks[first + 1], Duration::hours(1), 10));
    assert!(matches!(story.state(1), ClaimState::AtRisk { .. }));
}

#[test]
fn broken_signatures_and_our_own_trouble_do_not_cost_a_holding() {
    for code in [Code::DnssecBogus, Code::BlockedAddress, Code::StaleNegativeCache] {
        let says = |_| not_proven(code);
        let (story, _) = live(held_with(Duration::days(7)), start() + Duration::days(100), says);
        assert_eq!(story.ownership.holding, Some(claim(1)), "{code:?}");
    }
    let mut story = held_with(Duration::days(7)).until_next_check(1);
    let before = story.ownership.clone();
    assert_eq!(story.check(1, not_proven(Code::Internal)).unwrap(), [] as [&str; 0]);
    assert_eq!(story.ownership, before);
}
