//! Tests of single checks against a scripted DNS.
use std::time::Duration;

use deed_claims::{
    ChallengeTemplates, CheckOutcome, ClaimState, ContestCause, Event, OwnershipEvent, Status,
};
use deed_diagnosis::{Agreement, Code};
use deed_store::{Loaded, Version};
use deed_testkit::eventually;

use super::*;
use crate::testing::{DnsAnswer, PATIENCE, ScriptedDns, VerifierFixture, apex, id, seconds, value, work};

const ACME: &str = "acme.com";
const RECORD: &str = "_deed.acme.com";

async fn with_verifying_claim() -> VerifierFixture {
    let fixture = VerifierFixture::new(ScriptedDns::new()).await;
    fixture.start_verifying(1, ACME).await;
    fixture
}

fn last_check(stream: &Loaded<Ownership>) -> deed_claims::CheckRecorded {
    let found = stream.events.iter().rev().find_map(|recorded| match &recorded.event {
        Event::Ownership(OwnershipEvent::CheckRecorded(check)) => Some(check.clone()),
        _ => None,
    });
    found.expect("a check is recorded")
}

/// By outcome, class and code.
fn counted(verifier: &Verifier, labels: [&str; 3]) -> u64 {
    let metrics = &verifier.metrics;
    let code = deed_diagnosis::Code::ALL.iter().position(|code| code.as_str() == labels[2]);
    code.map_or(&metrics.proven, |code| &metrics.not_proven[code]).get()
}

#[tokio::test]
async fn published_record_proves_the_claim() {
    let fixture = with_verifying_claim().await;
    fixture.dns.publish(ACME, &[1]);
    let verifier = fixture.verifier();
    let outcome = verifier.work(&work(1, ACME, VerificationTask::Check { attempt: 1 })).await.unwrap();
    assert_eq!(outcome, WorkOutcome::Recorded);
    let stream = fixture.stream(ACME).await;
    assert_eq!(
        fixture.kinds_after(ACME, Version(2)).await,
        ["CheckRecorded", "DomainVerified", "OwnershipGranted"]
    );
    assert_eq!(stream.state.claims[&id(1)].status(), Status::Verified);
    let check = last_check(&stream);
    assert_eq!((check.attempt, check.outcome, check.evidence.queries), (1, CheckOutcome::Proven, 3));
    let metadata = &stream.events.last().unwrap().metadata;
    assert_eq!(
        (metadata.actor.as_deref(), metadata.request_id.as_deref()),
        (Some("verifier"), Some("evt_1"))
    );
    assert_eq!(counted(&verifier, ["proven", "none", "none"]), 1);
    assert_eq!(fixture.dns.questions().len(), 1);
    assert_eq!(fixture.dns.questions()[0].name, RECORD);
    assert_eq!(fixture.dns.questions()[0].looking_for, [value(1).into_bytes()]);
    assert!(!fixture.dns.questions()[0].confirm_absence, "no claim holds the name");
}

#[tokio::test]
async fn failed_check_is_recorded_and_rescheduled() {
    for (answer, outcome, code) in [
        (DnsAnswer::NxDomain, CheckOutcome::Absent, Code::RecordNotFound),
        (DnsAnswer::Values(vec![value(9)]), CheckOutcome::Absent, Code::WrongValue),
        (DnsAnswer::Timeout, CheckOutcome::Unknown, Code::Timeout),
    ] {
        let fixture = with_verifying_claim().await;
        fixture.dns.set_answer(RECORD, answer);
        assert_eq!(fixture.check(1, ACME, 1).await, WorkOutcome::Recorded);
        let stream = fixture.stream(ACME).await;
        let check = last_check(&stream);
        assert_eq!((check.outcome, check.diagnosis.map(|d| d.code)), (outcome, Some(code)));
        let claim = &stream.state.claims[&id(1)];
        assert_eq!((claim.status(), claim.pending.map(|p| p.attempt)), (Status::Verifying, Some(2)));
    }
}

#[tokio::test]
async fn internal_failure_records_nothing() {
    let fixture = with_verifying_claim().await;
    fixture.dns.set_answer(RECORD, DnsAnswer::InternalFailure);
    let verifier = fixture.verifier();
    let outcome = verifier.work(&work(1, ACME, VerificationTask::Check { attempt: 1 })).await.unwrap();
    assert_eq!(outcome, WorkOutcome::Internal);
    assert_eq!(fixture.stream(ACME).await.version, Version(2));
    assert_eq!(counted(&verifier, ["not_proven", "internal", "internal"]), 1);
    // The same attempt can still be made.
    fixture.dns.publish(ACME, &[1]);
    assert_eq!(fixture.check(1, ACME, 1).await, WorkOutcome::Recorded);
}

#[tokio::test]
async fn internally_failed_check_backs_off() {
    let fixture = with_verifying_claim().await;
    fixture.dns.set_answer(RECORD, DnsAnswer::InternalFailure);
    let verifier = fixture.verifier();
    let [first, second] = [1, 2].map(|attempt| work(1, ACME, VerificationTask::Check { attempt }));
    assert_eq!(verifier.work(&first).await.unwrap(), WorkOutcome::Internal);
    for pause in [30, 60, 120] {
        fixture.clock.advance(seconds(pause - 1));
        assert_eq!(verifier.work(&first).await.unwrap(), WorkOutcome::BackingOff);
        // Jitter makes a pause less than twice as long.
        fixture.clock.advance(seconds(pause + 1));
        assert_eq!(verifier.work(&first).await.unwrap(), WorkOutcome::Internal);
    }
    assert_eq!(fixture.dns.questions().len(), 4);
    // A user's request is a new attempt, which does not back off.
    fixture.dns.publish(ACME, &[1]);
    fixture.execute(&apex(ACME), Command::RequestVerification { claim_id: id(1) }).await.unwrap();
    assert_eq!(verifier.work(&second).await.unwrap(), WorkOutcome::Recorded);
    assert_eq!(fixture.stream(ACME).await.state.holding, Some(id(1)));
}

#[tokio::test]
async fn recognises_earlier_value_of_same_holder_only() {
    let fixture = with_verifying_claim().await;
    fixture.execute(&apex(ACME), Command::Cancel { claim_id: id(1) }).await.unwrap();
    fixture.start_verifying_for("ws_1", 2, ACME).await;
    fixture.start_verifying_for("ws_other", 3, ACME).await;
    fixture.dns.publish(ACME, &[1]);
    for (claim, code) in [(2, Code::ValueOfEarlierClaim), (3, Code::WrongValue)] {
        assert_eq!(fixture.check(claim, ACME, 1).await, WorkOutcome::Recorded);
        assert_eq!(last_check(&fixture.stream(ACME).await).diagnosis.map(|d| d.code), Some(code));
    }
}

#[tokio::test]
async fn passes_registrable_domain_to_prober() {
    let fixture = with_verifying_claim().await;
    fixture.check(1, ACME, 1).await;
    assert_eq!(fixture.dns.questions()[0].apex.as_deref(), Some(ACME));
}

#[tokio::test]
async fn unconfirmed_absence_costs_no_holding() {
    let fixture = VerifierFixture::new(ScriptedDns::new()).await;
    fixture.grant(1, ACME).await;
    fixture.dns.set_answer(RECORD, DnsAnswer::Unconfirmed);
    let due = fixture.stream(ACME).await.state.claims[&id(1)].pending.unwrap();
    fixture.clock.set(due.due_at);
    assert_eq!(fixture.check(1, ACME, due.attempt).await, WorkOutcome::Recorded);
    let check = last_check(&fixture.stream(ACME).await);
    assert_eq!(
        (check.outcome, check.diagnosis.unwrap().code),
        (CheckOutcome::Unknown, Code::BudgetExhausted)
    );
}

#[tokio::test]
async fn wrong_local_clock_changes_nothing() {
    let fixture = VerifierFixture::new(ScriptedDns::new()).await;
    fixture.grant(1, ACME).await;
    fixture.start_verifying(2, "other.com").await;
    fixture.dns.set_answer(RECORD, DnsAnswer::WrongClock(vec![]));
    fixture.dns.set_answer("_deed.other.com", DnsAnswer::WrongClock(vec![value(2)]));
    let due = fixture.stream(ACME).await.state.claims[&id(1)].pending.unwrap();
    fixture.clock.set(due.due_at);
    for (claim, name, attempt) in [(1, ACME, due.attempt), (2, "other.com", 1)] {
        let before = fixture.stream(name).await.version;
        assert_eq!(fixture.check(claim, name, attempt).await, WorkOutcome::Internal);
        assert_eq!(fixture.stream(name).await.version, before);
    }
    // After the clock is corrected, the same probes decide.
    fixture.dns.set_answer(RECORD, DnsAnswer::NxDomain);
    fixture.dns.publish("other.com", &[2]);
    assert_eq!(fixture.check(1, ACME, due.attempt).await, WorkOutcome::Recorded);
    assert_eq!(fixture.check(2, "other.com", 1).await, WorkOutcome::Recorded);
    assert_eq!(fixture.stream("other.com").await.state.holding, Some(id(2)));
}

#[tokio::test]
async fn applies_configured_agreement() {
    for (agreement, outcome) in
        [(Agreement::Majority, CheckOutcome::Proven), (Agreement::Strict, CheckOutcome::Unknown)]
    {
        let mut fixture = VerifierFixture::new(ScriptedDns::new()).await;
        fixture.config.agreement = agreement;
        fixture.start_verifying(1, ACME).await;
        fixture.dns.set_answer(RECORD, DnsAnswer::Majority(value(1)));
        assert_eq!(fixture.check(1, ACME, 1).await, WorkOutcome::Recorded);
        assert_eq!(last_check(&fixture.stream(ACME).await).outcome, outcome, "{agreement:?}");
    }
}

#[tokio::test]
async fn hanging_probe_fails_internally() {
    let mut fixture = VerifierFixture::new(ScriptedDns::blocked()).await;
    fixture.config.probe_deadline = Duration::from_millis(50);
    fixture.start_verifying(1, ACME).await;
    assert_eq!(fixture.check(1, ACME, 1).await, WorkOutcome::Internal);
    assert_eq!(fixture.stream(ACME).await.version, Version(2));
}

#[tokio::test]
async fn skips_settled_attempts_and_ended_claims() {
    let fixture = with_verifying_claim().await;
    for (claim, attempt) in [(1, 0), (1, 2), (7, 1)] {
        assert_eq!(fixture.check(claim, ACME, attempt).await, WorkOutcome::Stale, "{claim} {attempt}");
    }
    assert_eq!(fixture.check(1, "never.com", 1).await, WorkOutcome::Stale);
    assert_eq!(fixture.check(1, ACME, 1).await, WorkOutcome::Recorded);
    let probes = fixture.dns.questions().len();
    assert_eq!(fixture.check(1, ACME, 1).await, WorkOutcome::Stale);
    fixture.execute(&apex(ACME), Command::Cancel { claim_id: id(1) }).await.unwrap();
    let version = fixture.stream(ACME).await.version;
    assert_eq!(fixture.check(1, ACME, 2).await, WorkOutcome::Stale);
    assert_eq!(fixture.work(1, ACME, VerificationTask::Expire).await, WorkOutcome::Stale);
    assert_eq!((fixture.dns.questions().len(), fixture.stream(ACME).await.version), (probes, version));
}

#[tokio::test]
async fn check_is_not_made_before_it_is_due() {
    let fixture = with_verifying_claim().await;
    assert_eq!(fixture.check(1, ACME, 1).await, WorkOutcome::Recorded);
    let due = fixture.stream(ACME).await.state.claims[&id(1)].pending.unwrap().due_at;
    assert_eq!(fixture.check(1, ACME, 2).await, WorkOutcome::NotDue);
    assert_eq!(fixture.dns.questions().len(), 1);
    // Within the tolerance for clocks that differ.
    fixture.clock.set(due - seconds(1));
    assert_eq!(fixture.check(1, ACME, 2).await, WorkOutcome::Recorded);
}

#[tokio::test]
async fn check_in_flight_is_not_made_twice() {
    let fixture = VerifierFixture::new(ScriptedDns::blocked()).await;
    fixture.start_verifying(1, ACME).await;
    let verifier = Arc::new(fixture.verifier());
    let first = tokio::spawn({
        let verifier = verifier.clone();
        async move { verifier.work(&work(1, ACME, VerificationTask::Check { attempt: 1 })).await.unwrap() }
    });
    eventually("the first probe", PATIENCE, || async { (fixture.dns.questions().len() == 1).then_some(()) })
        .await;
    let second = verifier.work(&work(1, ACME, VerificationTask::Check { attempt: 1 })).await.unwrap();
    assert_eq!(second, WorkOutcome::InFlight);
    fixture.dns.permits.add_permits(1);
    assert_eq!(first.await.unwrap(), WorkOutcome::Recorded);
    assert_eq!(fixture.dns.questions().len(), 1);
}

#[tokio::test]
async fn one_probe_judges_both_records_of_a_contest() {
    let fixture = VerifierFixture::new(ScriptedDns::new()).await;
    fixture.grant(1, ACME).await;
    fixture.start_verifying(2, ACME).await;
    fixture.dns.publish(ACME, &[1, 2]);
    assert_eq!(fixture.check(2, ACME, 1).await, WorkOutcome::Recorded);
    let questions = fixture.dns.questions();
    assert_eq!(questions.len(), 1);
    assert_eq!(questions[0].looking_for, [value(2).into_bytes(), value(1).into_bytes()]);
    assert!(questions[0].confirm_absence, "the holder could lose the name");
    let stream = fixture.stream(ACME).await;
    assert_eq!(last_check(&stream).holder_record, Some(CheckOutcome::Proven));
    assert_eq!(stream.state.claims[&id(2)].status(), Status::Contested);

    // The holder's record is removed: the next check transfers the name.
    fixture.dns.publish(ACME, &[2]);
    let due = stream.state.claims[&id(2)].pending.unwrap();
    fixture.clock.set(due.due_at);
    assert_eq!(fixture.check(2, ACME, due.attempt).await, WorkOutcome::Recorded);
    let ownership = fixture.stream(ACME).await.state;
    assert_eq!(ownership.holding, Some(id(2)));
    assert_eq!(ownership.claims[&id(1)].status(), Status::Transferred);
}

#[tokio::test]
async fn probes_holder_record_at_another_name() {
    let fixture = VerifierFixture::new(ScriptedDns::new()).await;
    let former = ChallengeTemplates::branded("former").unwrap();
    fixture.grant_with(&former, 1, ACME).await;
    fixture.start_verifying(2, ACME).await;
    fixture.dns.publish(ACME, &[2]);
    let theirs = former.challenge(deed_claims::Scope::Apex, &ACME.parse().unwrap(), crate::testing::token(1));
    fixture.dns.set_answer("_former.acme.com", DnsAnswer::Values(vec![theirs.record_value.to_string()]));
    assert_eq!(fixture.check(2, ACME, 1).await, WorkOutcome::Recorded);
    let questions = fixture.dns.questions();
    assert_eq!(questions.iter().map(|q| q.name.as_str()).collect::<Vec<_>>(), [RECORD, "_former.acme.com"]);
    assert_eq!(questions[1].looking_for, [theirs.record_value.as_bytes().to_vec()]);
    let stream = fixture.stream(ACME).await;
    assert_eq!(last_check(&stream).holder_record, Some(CheckOutcome::Proven));
    assert_eq!(stream.state.holding, Some(id(1)));
}

#[tokio::test]
async fn internal_failure_of_holder_probe_records_nothing() {
    let fixture = VerifierFixture::new(ScriptedDns::new()).await;
    fixture.grant_with(&ChallengeTemplates::branded("former").unwrap(), 1, ACME).await;
    fixture.start_verifying(2, ACME).await;
    fixture.dns.publish(ACME, &[2]);
    fixture.dns.set_answer("_former.acme.com", DnsAnswer::InternalFailure);
    let before = fixture.stream(ACME).await.version;
    assert_eq!(fixture.check(2, ACME, 1).await, WorkOutcome::Internal);
    assert_eq!(fixture.stream(ACME).await.version, before);
}

#[tokio::test]
async fn drops_holder_outcome_after_change_of_holder() {
    let fixture = VerifierFixture::new(ScriptedDns::blocked()).await;
    fixture.grant(1, ACME).await;
    fixture.start_verifying(2, ACME).await;
    fixture.start_verifying(3, ACME).await;
    fixture.dns.publish(ACME, &[2, 3]);
    let verifier = Arc::new(fixture.verifier());
    let checking = tokio::spawn({
        let verifier = verifier.clone();
        async move { verifier.work(&work(2, ACME, VerificationTask::Check { attempt: 1 })).await.unwrap() }
    });
    eventually("the probe", PATIENCE, || async { (fixture.dns.questions().len() == 1).then_some(()) }).await;
    // Meanwhile the holder releases the name, and a third claim gets it.
    fixture.execute(&apex(ACME), Command::Release { claim_id: id(1) }).await.unwrap();
    fixture.prove(3, ACME, 1).await;
    fixture.dns.permits.add_permits(1);
    assert_eq!(checking.await.unwrap(), WorkOutcome::Recorded);
    let ownership = fixture.stream(ACME).await.state;
    assert_eq!(ownership.holding, Some(id(3)), "the absence of a former holder's record moved the name");
    let ClaimState::Contesting(contest) = ownership.claims[&id(2)].state else {
        panic!("{:?}", ownership.claims[&id(2)].state)
    };
    assert_eq!((contest.holder_claim_id, contest.cause), (id(3), ContestCause::HolderRecordStands));
}

#[tokio::test]
async fn refuses_unclaimable_name_without_probe() {
    let mut fixture = VerifierFixture::new(ScriptedDns::new()).await;
    fixture.config.names.extra_consumer_mail = vec![ACME.parse().unwrap()];
    fixture.start_verifying(1, ACME).await;
    fixture.dns.publish(ACME, &[1]);
    assert_eq!(fixture.check(1, ACME, 1).await, WorkOutcome::Recorded);
    let stream = fixture.stream(ACME).await;
    assert_eq!(stream.state.claims[&id(1)].status(), Status::Refused);
    assert_eq!(last_check(&stream).diagnosis.unwrap().code, Code::NameRefused);
    assert_eq!(fixture.dns.questions(), []);
}

#[tokio::test]
async fn claim_expires_after_its_deadline() {
    let fixture = with_verifying_claim().await;
    assert_eq!(fixture.work(1, ACME, VerificationTask::Expire).await, WorkOutcome::NotDue);
    assert_eq!(fixture.stream(ACME).await.version, Version(2));
    fixture.clock.advance(chrono::TimeDelta::days(7));
    assert_eq!(fixture.work(1, ACME, VerificationTask::Expire).await, WorkOutcome::Recorded);
    assert_eq!(fixture.kinds_after(ACME, Version(2)).await, ["ClaimExpired"]);
    assert_eq!(fixture.work(1, ACME, VerificationTask::Expire).await, WorkOutcome::Stale);
    assert_eq!(fixture.dns.questions(), []);
}

#[tokio::test]
async fn evidence_keeps_own_value_among_many() {
    let fixture = with_verifying_claim().await;
    let mut values: Vec<String> = (0..80).map(|n| format!("other {n}")).collect();
    values.push(value(1));
    fixture.dns.set_answer(RECORD, DnsAnswer::Values(values));
    assert_eq!(fixture.check(1, ACME, 1).await, WorkOutcome::Recorded);
    let stream = fixture.stream(ACME).await;
    let servers = &last_check(&stream).evidence.servers;
    assert!(!servers.is_empty() && servers.iter().all(|server| server.values.contains(&value(1))));
    assert!(stream.state.claims[&id(1)].seen);
}
