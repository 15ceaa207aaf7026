//! Tests of the verifier's loop: settling, outages, the canary and stopping.
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
};

use async_trait::async_trait;
use deed_bus::{DeadReason, Depth, InProcess, Limits, Message, Requirement, Topology};
use deed_claims::{Command, Status, StreamId};
use deed_messages::CloudEvent;
use deed_store::{Append, AppendError, Appended, EventStore, Position, RecordedEvent, Unavailable, Version};
use deed_testkit::eventually;
use serde_json::json;
use tokio::{sync::watch, task::JoinHandle};

use super::*;
use crate::testing::{DnsAnswer, PATIENCE, ScriptedDns, VerifierFixture, apex, id, seconds};

const ACME: &str = "acme.com";

/// A running verifier on an in-process bus.
struct RunningVerifier {
    bus: InProcess,
    verifier: Arc<Verifier>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), BusError>>,
}

impl RunningVerifier {
    fn start(verifier: Verifier) -> Self {
        let limits = Limits { max_deliveries: 8, ..Limits::default() };
        let bus = InProcess::new(Topology::new(queues::EXCHANGE, queues::ALL).unwrap(), limits);
        let (verifier, stop) = (Arc::new(verifier), CancellationToken::new());
        let task = tokio::spawn({
            let (bus, verifier, stop) = (bus.clone(), verifier.clone(), stop.clone());
            async move { run_verifier(&bus, verifier, stop).await }
        });
        Self { bus, verifier, stop, task }
    }

    async fn publish(&self, body: Vec<u8>) {
        let message = Message {
            id: "message".to_owned(),
            routing_key: "verification.requested".parse().unwrap(),
            content_type: CloudEvent::CONTENT_TYPE.to_owned(),
            body: body.into(),
            headers: BTreeMap::new(),
            requirement: Requirement::Mandatory,
        };
        let outcomes = self.bus.publisher().publish(vec![message]).await.unwrap();
        assert!(outcomes[0].is_confirmed());
    }

    async fn request_check(&self, claim: u8, name: &str, attempt: u32) {
        let body = json!({
            "specversion": "1.0", "id": format!("evt_{attempt}"), "source": "/deed",
            "type": "deed.verification.requested.v1", "subject": apex(name).as_str(),
            "data": {"claimId": id(claim), "attempt": attempt},
        });
        self.publish(body.to_string().into_bytes()).await;
    }

    async fn depth(&self) -> Depth {
        self.bus.depth(queues::VERIFICATION).await.unwrap()
    }

    async fn wait_until_settled(&self) {
        eventually("every message to be settled", PATIENCE, || async {
            let depth = self.depth().await;
            (depth.ready + depth.unsettled == 0).then_some(())
        })
        .await;
    }

    async fn stop_and_join(self) -> InProcess {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.expect("the verifier ends in time").unwrap().unwrap();
        assert_eq!(self.verifier.metrics.in_flight.get(), 0);
        self.bus
    }

    fn message_count(&self, result: &str) -> u64 {
        self.verifier.metrics.messages[result].get()
    }
}

async fn wait_for_probes(fixture: &VerifierFixture, count: usize) {
    eventually("probes to begin", PATIENCE, || async {
        (fixture.dns.questions().len() == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn message_leads_to_a_verified_claim() {
    let fixture = VerifierFixture::new(ScriptedDns::new()).await;
    fixture.start_verifying(1, ACME).await;
    fixture.dns.publish(ACME, &[1]);
    let running = RunningVerifier::start(fixture.verifier());
    running.request_check(1, ACME, 1).await;
    running.wait_until_settled().await;
    assert_eq!(fixture.stream(ACME).await.state.claims[&id(1)].status(), Status::Verified);
    assert_eq!(running.message_count("recorded"), 1);
    running.stop_and_join().await;
}

#[tokio::test]
async fn duplicate_messages_record_one_check() {
    let fixture = VerifierFixture::new(ScriptedDns::blocked()).await;
    fixture.start_verifying(1, ACME).await;
    let running = RunningVerifier::start(fixture.verifier());
    for _ in 0..5 {
        running.request_check(1, ACME, 1).await;
    }
    // Four of them find the check in flight.
    eventually("the duplicates to be settled", PATIENCE, || async {
        (running.message_count("in_hand") == 4).then_some(())
    })
    .await;
    fixture.dns.permits.add_permits(10);
    running.wait_until_settled().await;
    running.request_check(1, ACME, 1).await;
    running.wait_until_settled().await;
    assert_eq!(running.message_count("stale"), 1);
    assert_eq!(fixture.kinds_after(ACME, Version(2)).await, ["CheckRecorded"]);
    assert_eq!(fixture.dns.questions().len(), 1);
    running.stop_and_join().await;
}

#[tokio::test]
async fn two_processes_record_a_check_once() {
    let fixture = VerifierFixture::new(ScriptedDns::blocked()).await;
    fixture.start_verifying(1, ACME).await;
    let (one, two) = (RunningVerifier::start(fixture.verifier()), RunningVerifier::start(fixture.verifier()));
    one.request_check(1, ACME, 1).await;
    two.request_check(1, ACME, 1).await;
    wait_for_probes(&fixture, 2).await;
    fixture.dns.permits.add_permits(2);
    one.wait_until_settled().await;
    two.wait_until_settled().await;
    assert_eq!(fixture.kinds_after(ACME, Version(2)).await, ["CheckRecorded"]);
    assert_eq!(one.message_count("recorded") + two.message_count("recorded"), 1);
    assert_eq!(one.message_count("stale") + two.message_count("stale"), 1);
    one.stop_and_join().await;
    two.stop_and_join().await;
}

#[tokio::test]
async fn invalid_message_becomes_dead_letter() {
    let fixture = VerifierFixture::new(ScriptedDns::new()).await;
    fixture.start_verifying(1, ACME).await;
    let running = RunningVerifier::start(fixture.verifier());
    running.publish(b"\x1b[31m<script>".to_vec()).await;
    running.request_check(1, ACME, 1).await;
    running.wait_until_settled().await;
    let dead = running.bus.dead_letters().list(10).await.unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].reason, DeadReason::Refused("the body is not a CloudEvent".to_owned()));
    assert_eq!((running.message_count("dead"), running.message_count("recorded")), (1, 1));
    running.stop_and_join().await;
}

#[tokio::test]
async fn newer_work_is_requeued_then_left_to_due_work() {
    let fixture = VerifierFixture::new(ScriptedDns::new()).await;
    let running = RunningVerifier::start(fixture.verifier());
    let newer = json!({
        "specversion": "1.0", "id": "due_1", "source": "/deed", "type": "deed.verification.due.v1",
        "subject": "apex:acme.com", "data": {"claimId": id(1), "kind": "remind", "attempt": 1},
    });
    running.publish(newer.to_string().into_bytes()).await;
    eventually("the message to be left to due work", PATIENCE, || async {
        (running.message_count("left") == 1).then_some(())
    })
    .await;
    running.wait_until_settled().await;
    assert_eq!(running.message_count("requeued"), u64::from(MAX_REQUEUES));
    assert!(running.bus.dead_letters().list(10).await.unwrap().is_empty());
    running.stop_and_join().await;
}

#[tokio::test]
async fn panicking_work_becomes_dead_letter() {
    let fixture = VerifierFixture::new(ScriptedDns::new()).await;
    fixture.start_verifying(1, ACME).await;
    fixture.start_verifying(2, "beta.com").await;
    fixture.dns.set_answer("_deed.acme.com", DnsAnswer::Panic);
    let running = RunningVerifier::start(fixture.verifier());
    running.request_check(1, ACME, 1).await;
    running.request_check(2, "beta.com", 1).await;
    running.wait_until_settled().await;
    assert_eq!(fixture.kinds_after("beta.com", Version(2)).await, ["CheckRecorded"]);
    let dead = running.bus.dead_letters().list(10).await.unwrap();
    assert_eq!((dead.len(), &dead[0].reason), (1, &DeadReason::DeliveryLimit));
    running.stop_and_join().await;
}

/// A store whose first reads fail, `failures` times.
struct FlakyStore {
    store: deed_store_sqlite::SqliteStore,
    failures: AtomicU32,
}

#[async_trait]
impl EventStore for FlakyStore {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.store.append(append).await
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        after: Version,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, Unavailable> {
        let failed =
            self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if failed.is_ok() {
            return Err(Unavailable::new("read a stream", "scripted failure"));
        }
        self.store.read_stream(stream, after, limit).await
    }

    async fn read_log(&self, after: Position, limit: usize) -> Result<Vec<RecordedEvent>, Unavailable> {
        self.store.read_log(after, limit).await
    }

    async fn last_position(&self) -> Result<Position, Unavailable> {
        self.store.last_position().await
    }

    fn head(&self) -> watch::Receiver<Position> {
        self.store.head()
    }
}

#[tokio::test]
async fn requeues_work_while_store_is_unavailable() {
    let fixture = VerifierFixture::new(ScriptedDns::new()).await;
    fixture.start_verifying(1, ACME).await;
    let running = RunningVerifier::start(
        fixture.verifier_on(Arc::new(FlakyStore { store: fixture.store.clone(), failures: 2.into() })),
    );
    running.request_check(1, ACME, 1).await;
    running.wait_until_settled().await;
    assert_eq!((running.message_count("requeued"), running.message_count("recorded")), (2, 1));
    running.stop_and_join().await;
}

#[tokio::test]
async fn long_store_outage_makes_no_dead_letters() {
    let fixture = VerifierFixture::new(ScriptedDns::new()).await;
    fixture.start_verifying(1, ACME).await;
    let running = RunningVerifier::start(
        fixture.verifier_on(Arc::new(FlakyStore { store: fixture.store.clone(), failures: 1000.into() })),
    );
    running.request_check(1, ACME, 1).await;
    running.wait_until_settled().await;
    assert_eq!((running.message_count("left"), running.depth().await.dead), (1, 0));
    running.stop_and_join().await;
}

#[tokio::test]
async fn failing_canary_pauses_consumption() {
    let fixture = VerifierFixture::new(ScriptedDns::new()).await;
    for (claim, name) in [(1, ACME), (2, "beta.com"), (3, "gamma.com")] {
        fixture.start_verifying(claim, name).await;
        fixture.dns.publish(name, &[claim]);
    }
    fixture.dns.canary_fails.store(true, Ordering::SeqCst);
    let running = RunningVerifier::start(fixture.verifier());
    running.request_check(1, ACME, 1).await;
    eventually("the pause", PATIENCE, || async {
        (running.verifier.metrics.paused.get() == 1).then_some(())
    })
    .await;
    // Messages that are published meanwhile wait in the queue.
    running.request_check(2, "beta.com", 1).await;
    fixture.execute(&apex("gamma.com"), Command::RequestVerification { claim_id: id(3) }).await.unwrap_err();
    fixture.clock.advance(seconds(11));
    fixture.execute(&apex("gamma.com"), Command::RequestVerification { claim_id: id(3) }).await.unwrap();
    running.request_check(3, "gamma.com", 2).await;
    eventually("the messages to wait", PATIENCE, || async {
        let depth = running.depth().await;
        (depth.ready == 2 && depth.unsettled == 0).then_some(())
    })
    .await;
    assert_eq!(fixture.dns.questions().len(), 1, "the verifier probed during the pause");
    assert_eq!(fixture.stream(ACME).await.version, Version(2), "no claim changes");
    assert_eq!(running.message_count("internal"), 1);

    fixture.dns.canary_fails.store(false, Ordering::SeqCst);
    running.wait_until_settled().await;
    assert_eq!(running.verifier.metrics.paused.get(), 0);
    for (claim, name) in [(2, "beta.com"), (3, "gamma.com")] {
        assert_eq!(fixture.stream(name).await.state.holding, Some(id(claim)), "{name}");
    }
    running.stop_and_join().await;
}

#[tokio::test]
async fn paused_verifier_stops_at_once() {
    let mut fixture = VerifierFixture::new(ScriptedDns::new()).await;
    fixture.config.canary_poll = Duration::from_hours(1);
    fixture.start_verifying(1, ACME).await;
    fixture.dns.canary_fails.store(true, Ordering::SeqCst);
    let running = RunningVerifier::start(fixture.verifier());
    running.request_check(1, ACME, 1).await;
    eventually("the pause", PATIENCE, || async {
        (running.verifier.metrics.paused.get() == 1).then_some(())
    })
    .await;
    running.stop_and_join().await;
}

#[tokio::test]
async fn stopping_finishes_checks_in_flight() {
    let mut fixture = VerifierFixture::new(ScriptedDns::blocked()).await;
    fixture.config.in_flight = 1;
    fixture.start_verifying(1, ACME).await;
    fixture.start_verifying(2, "beta.com").await;
    let running = RunningVerifier::start(fixture.verifier());
    running.request_check(1, ACME, 1).await;
    running.request_check(2, "beta.com", 1).await;
    wait_for_probes(&fixture, 1).await;
    // There is one permit, so the second message is not fetched.
    assert_eq!((running.depth().await.unsettled, running.depth().await.ready), (1, 1));
    running.stop.cancel();
    fixture.dns.permits.add_permits(10);
    let bus = running.stop_and_join().await;
    let depth = bus.depth(queues::VERIFICATION).await.unwrap();
    assert_eq!((depth.ready, depth.unsettled), (1, 0));
    assert_eq!(fixture.kinds_after(ACME, Version(2)).await, ["CheckRecorded"]);
    assert_eq!(fixture.kinds_after("beta.com", Version(2)).await, Vec::<&str>::new());
}

#[tokio::test]
async fn unfinished_work_is_requeued_after_drain() {
    let mut fixture = VerifierFixture::new(ScriptedDns::blocked()).await;
    fixture.config.drain = Duration::from_millis(50);
    fixture.start_verifying(1, ACME).await;
    let running = RunningVerifier::start(fixture.verifier());
    running.request_check(1, ACME, 1).await;
    wait_for_probes(&fixture, 1).await;
    let bus = running.stop_and_join().await;
    let depth = bus.depth(queues::VERIFICATION).await.unwrap();
    assert_eq!((depth.ready, depth.unsettled), (1, 0));
    assert_eq!(fixture.stream(ACME).await.version, Version(2));
}

#[tokio::test]
async fn closed_bus_ends_verifier_with_error() {
    let fixture = VerifierFixture::new(ScriptedDns::new()).await;
    let running = RunningVerifier::start(fixture.verifier());
    running.bus.close().await;
    let ended = tokio::time::timeout(PATIENCE, running.task).await.unwrap().unwrap();
    assert!(matches!(ended, Err(BusError::Closed)), "{ended:?}");
}
