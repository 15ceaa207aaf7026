use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
};

use async_trait::async_trait;
use deed_bus::{CloudEvent, DeadReason, Depth, InProcess, Limits, Message, Requirement};
use deed_claims::{Command, Status, StreamId};
use deed_store::{Append, AppendError, Appended, EventStore, Position, RecordedEvent, Unavailable, Version};
use deed_testkit::eventually;
use serde_json::json;
use tokio::{sync::watch, task::JoinHandle};

use super::*;
use crate::testing::{Dns, PATIENCE, Says, World, apex, id, seconds};

const ACME: &str = "acme.com";

/// A verifier at work.
struct Running {
    bus: InProcess,
    verifier: Arc<Verifier>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), BusError>>,
}

impl Running {
    fn start(verifier: Verifier) -> Self {
        let limits = Limits { max_deliveries: 8, ..Limits::default() };
        let bus = InProcess::new(Topology::deed(), limits);
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
            delivery: Requirement::MustReachQueue,
        };
        let outcomes = self.bus.publisher().publish(vec![message]).await.unwrap();
        assert!(outcomes[0].is_confirmed());
    }

    async fn ask(&self, claim: u8, name: &str, attempt: u32) {
        let body = json!({
            "specversion": "1.0", "id": format!("evt_{attempt}"), "source": "/deed",
            "type": "deed.verification.requested.v1", "subject": apex(name).as_str(),
            "data": {"claimId": id(claim), "attempt": attempt},
        });
        self.publish(body.to_string().into_bytes()).await;
    }

    async fn depth(&self) -> Depth {
        self.bus.depth(Topology::VERIFICATION).await.unwrap()
    }

    async fn quiet(&self) {
        eventually("every message to be settled", PATIENCE, || async {
            let depth = self.depth().await;
            (depth.ready + depth.unsettled == 0).then_some(())
        })
        .await;
    }

    async fn end(self) -> InProcess {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.expect("an end in time").unwrap().unwrap();
        assert_eq!(self.verifier.metrics.in_flight.get(), 0);
        self.bus
    }

    fn counted(&self, result: &str) -> u64 {
        self.verifier.metrics.messages[result].get()
    }
}

async fn looks(world: &World, count: usize) {
    eventually("looks to begin", PATIENCE, || async { (world.dns.asked().len() == count).then_some(()) })
        .await;
}

#[tokio::test]
async fn a_message_becomes_a_verified_claim() {
    let world = World::new(Dns::new()).await;
    world.watch(1, ACME).await;
    world.dns.publish(ACME, &[1]);
    let running = Running::start(world.verifier());
    running.ask(1, ACME, 1).await;
    running.quiet().await;
    assert_eq!(world.stream(ACME).await.ownership().claims[&id(1)].status(), Status::Verified);
    assert_eq!(running.counted("recorded"), 1);
    running.end().await;
}

#[tokio::test]
async fn however_often_a_message_comes_the_check_is_recorded_once() {
    let world = World::new(Dns::shut()).await;
    world.watch(1, ACME).await;
    let running = Running::start(world.verifier());
    for _ in 0..5 {
        running.ask(1, ACME, 1).await;
    }
    // Four of them find the check in hand.
    eventually("the duplicates to be settled", PATIENCE, || async {
        (running.counted("in_hand") == 4).then_some(())
    })
    .await;
    world.dns.gate.add_permits(10);
    running.quiet().await;
    running.ask(1, ACME, 1).await;
    running.quiet().await;
    assert_eq!(running.counted("stale"), 1);
    assert_eq!(world.kinds_after(ACME, Version(2)).await, ["CheckRecorded"]);
    assert_eq!(world.dns.asked().len(), 1);
    running.end().await;
}

#[tokio::test]
async fn rivals_in_two_processes_record_a_check_once() {
    let world = World::new(Dns::shut()).await;
    world.watch(1, ACME).await;
    let (one, two) = (Running::start(world.verifier()), Running::start(world.verifier()));
    one.ask(1, ACME, 1).await;
    two.ask(1, ACME, 1).await;
    looks(&world, 2).await;
    world.dns.gate.add_permits(2);
    one.quiet().await;
    two.quiet().await;
    assert_eq!(world.kinds_after(ACME, Version(2)).await, ["CheckRecorded"]);
    assert_eq!(one.counted("recorded") + two.counted("recorded"), 1);
    assert_eq!(one.counted("stale") + two.counted("stale"), 1);
    one.end().await;
    two.end().await;
}

#[tokio::test]
async fn poison_goes_to_the_dead_letters_and_the_next_message_is_done() {
    let world = World::new(Dns::new()).await;
    world.watch(1, ACME).await;
    let running = Running::start(world.verifier());
    running.publish(b"\x1b[31m<script>".to_vec()).await;
    running.ask(1, ACME, 1).await;
    running.quiet().await;
    let dead = running.bus.dead_letters().list(10).await.unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].reason, DeadReason::Refused("the body is no CloudEvent".to_owned()));
    assert_eq!((running.counted("dead"), running.counted("recorded")), (1, 1));
    running.end().await;
}

#[tokio::test]
async fn work_of_a_newer_version_is_given_back_and_then_left_to_due_work() {
    let world = World::new(Dns::new()).await;
    let running = Running::start(world.verifier());
    let newer = json!({
        "specversion": "1.0", "id": "due_1", "source": "/deed", "type": "deed.verification.due.v1",
        "subject": "apex:acme.com", "data": {"claimId": id(1), "kind": "remind", "attempt": 1},
    });
    running.publish(newer.to_string().into_bytes()).await;
    eventually("it to be left", PATIENCE, || async { (running.counted("left") == 1).then_some(()) }).await;
    running.quiet().await;
    assert_eq!(running.counted("requeued"), u64::from(REQUEUES));
    assert!(running.bus.dead_letters().list(10).await.unwrap().is_empty());
    running.end().await;
}

#[tokio::test]
async fn work_that_panics_becomes_a_dead_letter_and_takes_nobody_along() {
    let world = World::new(Dns::new()).await;
    world.watch(1, ACME).await;
    world.watch(2, "beta.com").await;
    world.dns.say("_deed.acme.com", Says::Panic);
    let running = Running::start(world.verifier());
    running.ask(1, ACME, 1).await;
    running.ask(2, "beta.com", 1).await;
    running.quiet().await;
    assert_eq!(world.kinds_after("beta.com", Version(2)).await, ["CheckRecorded"]);
    let dead = running.bus.dead_letters().list(10).await.unwrap();
    assert_eq!((dead.len(), &dead[0].reason), (1, &DeadReason::DeliveryLimit));
    running.end().await;
}

/// A store that does not answer so many times.
struct Moody {
    store: deed_store_sqlite::SqliteStore,
    bad: AtomicU32,
}

#[async_trait]
impl EventStore for Moody {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.store.append(append).await
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        after: Version,
    ) -> Result<Vec<RecordedEvent>, Unavailable> {
        let mood = self.bad.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if mood.is_ok() {
            return Err(Unavailable::new("read a stream", "it is in a mood"));
        }
        self.store.read_stream(stream, after).await
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
async fn work_waits_for_a_store_that_does_not_answer() {
    let world = World::new(Dns::new()).await;
    world.watch(1, ACME).await;
    let running =
        Running::start(world.verifier_on(Arc::new(Moody { store: world.store.clone(), bad: 2.into() })));
    running.ask(1, ACME, 1).await;
    running.quiet().await;
    assert_eq!((running.counted("requeued"), running.counted("recorded")), (2, 1));
    running.end().await;
}

#[tokio::test]
async fn a_long_outage_makes_no_dead_letters() {
    let world = World::new(Dns::new()).await;
    world.watch(1, ACME).await;
    let running =
        Running::start(world.verifier_on(Arc::new(Moody { store: world.store.clone(), bad: 1000.into() })));
    running.ask(1, ACME, 1).await;
    running.quiet().await;
    assert_eq!((running.counted("left"), running.depth().await.dead), (1, 0));
    running.end().await;
}

#[tokio::test]
async fn while_not_even_names_that_have_to_exist_answer_nothing_is_consumed_and_nothing_is_lost() {
    let world = World::new(Dns::new()).await;
    for (claim, name) in [(1, ACME), (2, "beta.com"), (3, "gamma.com")] {
        world.watch(claim, name).await;
        world.dns.publish(name, &[claim]);
    }
    world.dns.canary.store(true, Ordering::SeqCst);
    let running = Running::start(world.verifier());
    running.ask(1, ACME, 1).await;
    eventually("the pause", PATIENCE, || async {
        (running.verifier.metrics.paused.get() == 1).then_some(())
    })
    .await;
    // What is asked for meanwhile, by hand or by the schedule, waits.
    running.ask(2, "beta.com", 1).await;
    world.give(&apex("gamma.com"), Command::RequestVerification { claim_id: id(3) }).await.unwrap_err();
    world.clock.advance(seconds(11));
    world.give(&apex("gamma.com"), Command::RequestVerification { claim_id: id(3) }).await.unwrap();
    running.ask(3, "gamma.com", 2).await;
    eventually("the messages to wait", PATIENCE, || async {
        let depth = running.depth().await;
        (depth.ready == 2 && depth.unsettled == 0).then_some(())
    })
    .await;
    assert_eq!(world.dns.asked().len(), 1, "nobody is asked during the pause");
    assert_eq!(world.stream(ACME).await.version, Version(2), "no claim changes");
    assert_eq!(running.counted("internal"), 1);

    world.dns.canary.store(false, Ordering::SeqCst);
    running.quiet().await;
    assert_eq!(running.verifier.metrics.paused.get(), 0);
    for (claim, name) in [(2, "beta.com"), (3, "gamma.com")] {
        assert_eq!(world.stream(name).await.ownership().holding, Some(id(claim)), "{name}");
    }
    running.end().await;
}

#[tokio::test]
async fn a_paused_verifier_stops_at_once() {
    let mut world = World::new(Dns::new()).await;
    world.config.canary_poll = Duration::from_hours(1);
    world.watch(1, ACME).await;
    world.dns.canary.store(true, Ordering::SeqCst);
    let running = Running::start(world.verifier());
    running.ask(1, ACME, 1).await;
    eventually("the pause", PATIENCE, || async {
        (running.verifier.metrics.paused.get() == 1).then_some(())
    })
    .await;
    running.end().await;
}

#[tokio::test]
async fn stopping_finishes_what_is_in_hand_and_fetches_no_more() {
    let mut world = World::new(Dns::shut()).await;
    world.config.in_flight = 1;
    world.watch(1, ACME).await;
    world.watch(2, "beta.com").await;
    let running = Running::start(world.verifier());
    running.ask(1, ACME, 1).await;
    running.ask(2, "beta.com", 1).await;
    looks(&world, 1).await;
    // There is one hand, so the second message is not fetched.
    assert_eq!((running.depth().await.unsettled, running.depth().await.ready), (1, 1));
    running.stop.cancel();
    world.dns.gate.add_permits(10);
    let bus = running.end().await;
    let depth = bus.depth(Topology::VERIFICATION).await.unwrap();
    assert_eq!((depth.ready, depth.unsettled), (1, 0));
    assert_eq!(world.kinds_after(ACME, Version(2)).await, ["CheckRecorded"]);
    assert_eq!(world.kinds_after("beta.com", Version(2)).await, Vec::<&str>::new());
}

#[tokio::test]
async fn what_is_not_finished_in_time_goes_back_to_the_queue() {
    let mut world = World::new(Dns::shut()).await;
    world.config.drain = Duration::from_millis(50);
    world.watch(1, ACME).await;
    let running = Running::start(world.verifier());
    running.ask(1, ACME, 1).await;
    looks(&world, 1).await;
    let bus = running.end().await;
    let depth = bus.depth(Topology::VERIFICATION).await.unwrap();
    assert_eq!((depth.ready, depth.unsettled), (1, 0));
    assert_eq!(world.stream(ACME).await.version, Version(2));
}

#[tokio::test]
async fn a_bus_that_closes_ends_the_verifier_with_an_error() {
    let world = World::new(Dns::new()).await;
    let running = Running::start(world.verifier());
    running.bus.close().await;
    let ended = tokio::time::timeout(PATIENCE, running.task).await.unwrap().unwrap();
    assert!(matches!(ended, Err(BusError::Closed)), "{ended:?}");
}
