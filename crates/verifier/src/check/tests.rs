use std::time::Duration;

use deed_claims::{
    Agreement, ChallengeTemplates, CheckOutcome, ClaimState, Code, ContestCause, OwnershipEvent, Status,
};
use deed_store::{Loaded, Version};
use deed_testkit::eventually;

use super::*;
use crate::testing::{Dns, PATIENCE, Says, World, apex, id, seconds, value, work};

const ACME: &str = "acme.com";
const RECORD: &str = "_deed.acme.com";

async fn watched() -> World {
    let world = World::new(Dns::new()).await;
    world.watch(1, ACME).await;
    world
}

fn last_check(stream: &Loaded) -> deed_claims::CheckRecorded {
    let found = stream.events.iter().rev().find_map(|recorded| match &recorded.event {
        Event::Ownership(OwnershipEvent::CheckRecorded(check)) => Some(check.clone()),
        _ => None,
    });
    found.expect("a check is recorded")
}

/// By outcome, class and code.
fn counted(verifier: &Verifier, labels: [&str; 3]) -> u64 {
    let metrics = &verifier.metrics;
    let code = deed_claims::Code::ALL.iter().position(|code| code.as_str() == labels[2]);
    code.map_or(&metrics.proven, |code| &metrics.not_proven[code]).get()
}

#[tokio::test]
async fn a_record_that_stands_proves_the_claim() {
    let world = watched().await;
    world.dns.publish(ACME, &[1]);
    let verifier = world.verifier();
    let settled = verifier.work(&work(1, ACME, Task::Check { attempt: 1 })).await.unwrap();
    assert_eq!(settled, Settled::Recorded);
    let stream = world.stream(ACME).await;
    assert_eq!(
        world.kinds_after(ACME, Version(2)).await,
        ["CheckRecorded", "DomainVerified", "OwnershipGranted"]
    );
    assert_eq!(stream.ownership().claims[&id(1)].status(), Status::Verified);
    let check = last_check(&stream);
    assert_eq!((check.attempt, check.outcome, check.evidence.queries), (1, CheckOutcome::Proven, 3));
    let metadata = &stream.events.last().unwrap().metadata;
    assert_eq!(
        (metadata.actor.as_deref(), metadata.request_id.as_deref()),
        (Some("verifier"), Some("evt_1"))
    );
    assert_eq!(counted(&verifier, ["proven", "none", "none"]), 1);
    assert_eq!(world.dns.asked().len(), 1);
    assert_eq!(world.dns.asked()[0].name, RECORD);
    assert_eq!(world.dns.asked()[0].looking_for, [value(1).into_bytes()]);
    assert!(!world.dns.asked()[0].confirm_absence, "nobody has the name");
}

#[tokio::test]
async fn a_failed_check_is_recorded_with_its_reason_and_the_next_one_is_planned() {
    for (says, outcome, code) in [
        (Says::Nothing, CheckOutcome::Absent, Code::RecordNotFound),
        (Says::Values(vec![value(9)]), CheckOutcome::Absent, Code::WrongValue),
        (Says::Silent, CheckOutcome::Unknown, Code::Timeout),
    ] {
        let world = watched().await;
        world.dns.say(RECORD, says);
        assert_eq!(world.check(1, ACME, 1).await, Settled::Recorded);
        let stream = world.stream(ACME).await;
        let check = last_check(&stream);
        assert_eq!((check.outcome, check.diagnosis.map(|d| d.code)), (outcome, Some(code)));
        let claim = &stream.ownership().claims[&id(1)];
        assert_eq!((claim.status(), claim.pending.map(|p| p.attempt)), (Status::Verifying, Some(2)));
    }
}

#[tokio::test]
async fn our_own_trouble_leaves_the_claim_alone() {
    let world = watched().await;
    world.dns.say(RECORD, Says::Trouble);
    let verifier = world.verifier();
    let settled = verifier.work(&work(1, ACME, Task::Check { attempt: 1 })).await.unwrap();
    assert_eq!(settled, Settled::Internal);
    assert_eq!(world.stream(ACME).await.version, Version(2));
    assert_eq!(counted(&verifier, ["not_proven", "internal", "internal"]), 1);
    // The same attempt is still there to be made.
    world.dns.publish(ACME, &[1]);
    assert_eq!(world.check(1, ACME, 1).await, Settled::Recorded);
}

#[tokio::test]
async fn a_check_that_our_own_trouble_kept_from_being_made_is_tried_again_after_a_pause() {
    let world = watched().await;
    world.dns.say(RECORD, Says::Trouble);
    let verifier = world.verifier();
    let [first, second] = [1, 2].map(|attempt| work(1, ACME, Task::Check { attempt }));
    assert_eq!(verifier.work(&first).await.unwrap(), Settled::Internal);
    for pause in [30, 60, 120] {
        world.clock.advance(seconds(pause - 1));
        assert_eq!(verifier.work(&first).await.unwrap(), Settled::BackingOff);
        world.clock.advance(seconds(1));
        assert_eq!(verifier.work(&first).await.unwrap(), Settled::Internal);
    }
    assert_eq!(world.dns.asked().len(), 4);
    // Whoever asks by hand is answered at once, by an attempt of its own.
    world.dns.publish(ACME, &[1]);
    world.give(&apex(ACME), Command::RequestVerification { claim_id: id(1) }).await.unwrap();
    assert_eq!(verifier.work(&second).await.unwrap(), Settled::Recorded);
    assert_eq!(world.stream(ACME).await.ownership().holding, Some(id(1)));
}

#[tokio::test]
async fn a_value_of_an_earlier_claim_is_recognised_for_its_own_holder_alone() {
    let world = watched().await;
    world.give(&apex(ACME), Command::Cancel { claim_id: id(1) }).await.unwrap();
    world.watch_for("ws_1", 2, ACME).await;
    world.watch_for("ws_other", 3, ACME).await;
    world.dns.publish(ACME, &[1]);
    for (claim, code) in [(2, Code::ValueOfEarlierClaim), (3, Code::WrongValue)] {
        assert_eq!(world.check(claim, ACME, 1).await, Settled::Recorded);
        assert_eq!(last_check(&world.stream(ACME).await).diagnosis.map(|d| d.code), Some(code));
    }
}

#[tokio::test]
async fn the_registrable_domain_is_told_to_the_prober() {
    let world = watched().await;
    world.check(1, ACME, 1).await;
    assert_eq!(world.dns.asked()[0].apex.as_deref(), Some(ACME));
}

#[tokio::test]
async fn an_absence_that_nothing_confirms_takes_nothing_from_a_holder() {
    let world = World::new(Dns::new()).await;
    world.hold(1, ACME).await;
    world.dns.say(RECORD, Says::Unconfirmed);
    let due = world.stream(ACME).await.ownership().claims[&id(1)].pending.unwrap();
    world.clock.set(due.due_at);
    assert_eq!(world.check(1, ACME, due.attempt).await, Settled::Recorded);
    let check = last_check(&world.stream(ACME).await);
    assert_eq!(
        (check.outcome, check.diagnosis.unwrap().code),
        (CheckOutcome::Unknown, Code::BudgetExhausted)
    );
}

#[tokio::test]
async fn a_wrong_clock_of_ours_neither_proves_nor_takes_anything() {
    let world = World::new(Dns::new()).await;
    world.hold(1, ACME).await;
    world.watch(2, "other.com").await;
    world.dns.say(RECORD, Says::WrongClock(vec![]));
    world.dns.say("_deed.other.com", Says::WrongClock(vec![value(2)]));
    let due = world.stream(ACME).await.ownership().claims[&id(1)].pending.unwrap();
    world.clock.set(due.due_at);
    for (claim, name, attempt) in [(1, ACME, due.attempt), (2, "other.com", 1)] {
        let before = world.stream(name).await.version;
        assert_eq!(world.check(claim, name, attempt).await, Settled::Internal);
        assert_eq!(world.stream(name).await.version, before);
    }
    // With the clock put right, the same looks decide.
    world.dns.say(RECORD, Says::Nothing);
    world.dns.publish("other.com", &[2]);
    assert_eq!(world.check(1, ACME, due.attempt).await, Settled::Recorded);
    assert_eq!(world.check(2, "other.com", 1).await, Settled::Recorded);
    assert_eq!(world.stream("other.com").await.ownership().holding, Some(id(2)));
}

#[tokio::test]
async fn the_agreement_that_is_configured_decides() {
    for (agreement, outcome) in
        [(Agreement::Majority, CheckOutcome::Proven), (Agreement::Strict, CheckOutcome::Unknown)]
    {
        let mut world = World::new(Dns::new()).await;
        world.config.agreement = agreement;
        world.watch(1, ACME).await;
        world.dns.say(RECORD, Says::Most(value(1)));
        assert_eq!(world.check(1, ACME, 1).await, Settled::Recorded);
        assert_eq!(last_check(&world.stream(ACME).await).outcome, outcome, "{agreement:?}");
    }
}

#[tokio::test]
async fn a_look_that_does_not_end_is_our_own_trouble() {
    let mut world = World::new(Dns::shut()).await;
    world.config.look_deadline = Duration::from_millis(50);
    world.watch(1, ACME).await;
    assert_eq!(world.check(1, ACME, 1).await, Settled::Internal);
    assert_eq!(world.stream(ACME).await.version, Version(2));
}

#[tokio::test]
async fn settled_attempts_and_claims_that_are_over_are_not_looked_at() {
    let world = watched().await;
    for (claim, attempt) in [(1, 0), (1, 2), (7, 1)] {
        assert_eq!(world.check(claim, ACME, attempt).await, Settled::Stale, "{claim} {attempt}");
    }
    assert_eq!(world.check(1, "never.com", 1).await, Settled::Stale);
    assert_eq!(world.check(1, ACME, 1).await, Settled::Recorded);
    let looks = world.dns.asked().len();
    assert_eq!(world.check(1, ACME, 1).await, Settled::Stale);
    world.give(&apex(ACME), Command::Cancel { claim_id: id(1) }).await.unwrap();
    let version = world.stream(ACME).await.version;
    assert_eq!(world.check(1, ACME, 2).await, Settled::Stale);
    assert_eq!(world.work(1, ACME, Task::Expire).await, Settled::Stale);
    assert_eq!((world.dns.asked().len(), world.stream(ACME).await.version), (looks, version));
}

#[tokio::test]
async fn a_check_is_not_made_before_its_time() {
    let world = watched().await;
    assert_eq!(world.check(1, ACME, 1).await, Settled::Recorded);
    let due = world.stream(ACME).await.ownership().claims[&id(1)].pending.unwrap().due_at;
    assert_eq!(world.check(1, ACME, 2).await, Settled::Early);
    assert_eq!(world.dns.asked().len(), 1);
    // Clocks differ a little.
    world.clock.set(due - seconds(1));
    assert_eq!(world.check(1, ACME, 2).await, Settled::Recorded);
}

#[tokio::test]
async fn a_check_in_hand_is_not_made_a_second_time() {
    let world = World::new(Dns::shut()).await;
    world.watch(1, ACME).await;
    let verifier = Arc::new(world.verifier());
    let first = tokio::spawn({
        let verifier = verifier.clone();
        async move { verifier.work(&work(1, ACME, Task::Check { attempt: 1 })).await.unwrap() }
    });
    eventually("the first look", PATIENCE, || async { (world.dns.asked().len() == 1).then_some(()) }).await;
    let second = verifier.work(&work(1, ACME, Task::Check { attempt: 1 })).await.unwrap();
    assert_eq!(second, Settled::InHand);
    world.dns.gate.add_permits(1);
    assert_eq!(first.await.unwrap(), Settled::Recorded);
    assert_eq!(world.dns.asked().len(), 1);
}

#[tokio::test]
async fn one_look_judges_both_records_of_a_contest() {
    let world = World::new(Dns::new()).await;
    world.hold(1, ACME).await;
    world.watch(2, ACME).await;
    world.dns.publish(ACME, &[1, 2]);
    assert_eq!(world.check(2, ACME, 1).await, Settled::Recorded);
    let asked = world.dns.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].looking_for, [value(2).into_bytes(), value(1).into_bytes()]);
    assert!(asked[0].confirm_absence, "somebody could lose the name by it");
    let stream = world.stream(ACME).await;
    assert_eq!(last_check(&stream).holder_record, Some(CheckOutcome::Proven));
    assert_eq!(stream.ownership().claims[&id(2)].status(), Status::Contested);

    // The holder's record goes: the name moves at the next check.
    world.dns.publish(ACME, &[2]);
    let due = stream.ownership().claims[&id(2)].pending.unwrap();
    world.clock.set(due.due_at);
    assert_eq!(world.check(2, ACME, due.attempt).await, Settled::Recorded);
    let ownership = world.stream(ACME).await.ownership();
    assert_eq!(ownership.holding, Some(id(2)));
    assert_eq!(ownership.claims[&id(1)].status(), Status::Transferred);
}

#[tokio::test]
async fn a_holder_whose_record_stands_elsewhere_gets_a_look_of_its_own() {
    let world = World::new(Dns::new()).await;
    let former = ChallengeTemplates::branded("former").unwrap();
    world.hold_as(&former, 1, ACME).await;
    world.watch(2, ACME).await;
    world.dns.publish(ACME, &[2]);
    let theirs = former.challenge(deed_claims::Scope::Apex, &ACME.parse().unwrap(), crate::testing::token(1));
    world.dns.say("_former.acme.com", Says::Values(vec![theirs.record_value.to_string()]));
    assert_eq!(world.check(2, ACME, 1).await, Settled::Recorded);
    let asked = world.dns.asked();
    assert_eq!(asked.iter().map(|q| q.name.as_str()).collect::<Vec<_>>(), [RECORD, "_former.acme.com"]);
    assert_eq!(asked[1].looking_for, [theirs.record_value.as_bytes().to_vec()]);
    let stream = world.stream(ACME).await;
    assert_eq!(last_check(&stream).holder_record, Some(CheckOutcome::Proven));
    assert_eq!(stream.ownership().holding, Some(id(1)));
}

#[tokio::test]
async fn trouble_with_the_holders_record_decides_nothing() {
    let world = World::new(Dns::new()).await;
    world.hold_as(&ChallengeTemplates::branded("former").unwrap(), 1, ACME).await;
    world.watch(2, ACME).await;
    world.dns.publish(ACME, &[2]);
    world.dns.say("_former.acme.com", Says::Trouble);
    let before = world.stream(ACME).await.version;
    assert_eq!(world.check(2, ACME, 1).await, Settled::Internal);
    assert_eq!(world.stream(ACME).await.version, before);
}

#[tokio::test]
async fn what_was_seen_of_one_holder_takes_nothing_from_the_next() {
    let world = World::new(Dns::shut()).await;
    world.hold(1, ACME).await;
    world.watch(2, ACME).await;
    world.watch(3, ACME).await;
    world.dns.publish(ACME, &[2, 3]);
    let verifier = Arc::new(world.verifier());
    let looking = tokio::spawn({
        let verifier = verifier.clone();
        async move { verifier.work(&work(2, ACME, Task::Check { attempt: 1 })).await.unwrap() }
    });
    eventually("the look", PATIENCE, || async { (world.dns.asked().len() == 1).then_some(()) }).await;
    // Meanwhile the holder leaves, and a third one gets the name.
    world.give(&apex(ACME), Command::Release { claim_id: id(1) }).await.unwrap();
    world.prove(3, ACME, 1).await;
    world.dns.gate.add_permits(1);
    assert_eq!(looking.await.unwrap(), Settled::Recorded);
    let ownership = world.stream(ACME).await.ownership();
    assert_eq!(ownership.holding, Some(id(3)), "the absence of another's record moved the name");
    let ClaimState::Contesting(contest) = ownership.claims[&id(2)].state else {
        panic!("{:?}", ownership.claims[&id(2)].state)
    };
    assert_eq!((contest.holder_claim_id, contest.cause), (id(3), ContestCause::HolderRecordStands));
}

#[tokio::test]
async fn a_name_that_may_not_be_claimed_any_more_is_refused_without_asking_anybody() {
    let mut world = World::new(Dns::new()).await;
    world.config.names.extra_consumer_mail = vec![ACME.parse().unwrap()];
    world.watch(1, ACME).await;
    world.dns.publish(ACME, &[1]);
    assert_eq!(world.check(1, ACME, 1).await, Settled::Recorded);
    let stream = world.stream(ACME).await;
    assert_eq!(stream.ownership().claims[&id(1)].status(), Status::Refused);
    assert_eq!(last_check(&stream).diagnosis.unwrap().code, Code::NameRefused);
    assert_eq!(world.dns.asked(), []);
}

#[tokio::test]
async fn a_claim_expires_when_its_deadline_has_passed_and_not_before() {
    let world = watched().await;
    assert_eq!(world.work(1, ACME, Task::Expire).await, Settled::Early);
    assert_eq!(world.stream(ACME).await.version, Version(2));
    world.clock.advance(chrono::TimeDelta::days(7));
    assert_eq!(world.work(1, ACME, Task::Expire).await, Settled::Recorded);
    assert_eq!(world.kinds_after(ACME, Version(2)).await, ["ClaimExpired"]);
    assert_eq!(world.work(1, ACME, Task::Expire).await, Settled::Stale);
    assert_eq!(world.dns.asked(), []);
}

#[tokio::test]
async fn evidence_keeps_the_own_value_among_many() {
    let world = watched().await;
    let mut values: Vec<String> = (0..80).map(|n| format!("other {n}")).collect();
    values.push(value(1));
    world.dns.say(RECORD, Says::Values(values));
    assert_eq!(world.check(1, ACME, 1).await, Settled::Recorded);
    let stream = world.stream(ACME).await;
    let servers = &last_check(&stream).evidence.servers;
    assert!(!servers.is_empty() && servers.iter().all(|server| server.values.contains(&value(1))));
    assert!(stream.ownership().claims[&id(1)].seen);
}
