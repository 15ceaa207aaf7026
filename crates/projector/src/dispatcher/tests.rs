//! Tests of the dispatcher, on an in-process bus: rounds, leases and standbys.
use std::{collections::BTreeSet, sync::Arc, time::Duration as StdDuration};

use async_trait::async_trait;
use deed_bus::{BusError, Consumer, InProcess, Limits, Message, PublishOutcome, Publisher, Topology};
use deed_messages::CloudEvent;
use deed_outbox::run_round;
use deed_store::Lease;
use prometheus::Registry;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::*;
use crate::testing::{PATIENCE, ProjectorFixture, VISIBILITY, absent, id, seconds};

fn limits(capacity: usize) -> Limits {
    Limits { capacity, publish_deadline: StdDuration::from_millis(50), ..Limits::default() }
}

struct TestDispatcher(Outbox<DueMessages>);

impl TestDispatcher {
    fn new(messages: DueMessages, bus: &InProcess) -> Self {
        Self(Outbox::new(messages, bus.publisher()))
    }

    async fn run_round(&self) -> Result<RoundOutcome, OutboxError> {
        run_round(&self.0, &*self.0.messages.clock).await
    }
}

fn messages(fixture: &ProjectorFixture, bus: &InProcess) -> DueMessages {
    DueMessages {
        due: Arc::new(fixture.store.clone()),
        bus: Arc::new(bus.clone()),
        clock: fixture.clock.clone(),
        limit: 500,
        window: 2000,
        rate_limit: TokenBucket::new(100_000),
        visibility: TimeDelta::from_std(VISIBILITY).unwrap(),
        source: "/deed".to_owned(),
        metrics: DispatcherMetrics::register(&Registry::new()).unwrap(),
    }
}

fn dispatcher(fixture: &ProjectorFixture, bus: &InProcess) -> TestDispatcher {
    TestDispatcher::new(messages(fixture, bus), bus)
}

fn bus(capacity: usize) -> InProcess {
    InProcess::new(Topology::new(queues::EXCHANGE, queues::ALL).unwrap(), limits(capacity))
}

/// Claims whose first checks are due now, since the messages that requested them count as lost.
async fn with_lost_messages(claims: u8) -> ProjectorFixture {
    let mut fixture = ProjectorFixture::new().await;
    for claim in 1..=claims {
        fixture.start_verifying(claim, &format!("n{claim}.com"), 1).await;
    }
    fixture.fold(100).await;
    fixture.clock.advance(seconds(30));
    fixture
}

/// Takes all messages from the queue and acknowledges them.
async fn drain_queue(bus: &InProcess) -> Vec<CloudEvent> {
    let mut consumer: Box<dyn Consumer> = bus.consumer(queues::VERIFICATION).await.unwrap();
    let mut events = vec![];
    while bus.depth(queues::VERIFICATION).await.unwrap().ready > 0 {
        let delivery = consumer.next().await.unwrap().unwrap();
        assert_eq!(delivery.message().routing_key.as_str(), "verification.due");
        let event = CloudEvent::from_json(&delivery.message().body).unwrap();
        assert_eq!(event.id, delivery.message().id);
        events.push(event);
        delivery.acknowledge().await.unwrap();
    }
    events
}

fn claim_ids(events: &[CloudEvent]) -> BTreeSet<String> {
    events.iter().map(|event| event.data["claimId"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn publishes_due_work_as_cloudevent() {
    let (fixture, bus) = (with_lost_messages(1).await, bus(100));
    let dispatcher = dispatcher(&fixture, &bus);
    assert_eq!(dispatcher.run_round().await.unwrap(), RoundOutcome::Done);
    let events = drain_queue(&bus).await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].r#type, "deed.verification.due.v1");
    assert_eq!(events[0].subject.as_deref(), Some("apex:n1.com"));
    assert_eq!(events[0].time, Some(fixture.clock.now()));
    let expected: Value = json!({"claimId": id(1), "kind": "check", "attempt": 1});
    assert_eq!(events[0].data, expected);
    assert!(events[0].id.starts_with(&format!("due_{}_check_1_", id(1))), "{}", events[0].id);
    assert_eq!(dispatcher.0.messages.metrics.dispatched(deed_claims::DueKind::Check).get(), 1);
    assert_eq!(dispatcher.0.messages.metrics.lateness.get_sample_count(), 1);
}

#[tokio::test]
async fn publishes_nothing_before_due_or_after_done() {
    let mut fixture = ProjectorFixture::new().await;
    fixture.start_verifying(1, "n1.com", 1).await;
    fixture.fold(100).await;
    let bus = bus(100);
    let dispatcher = dispatcher(&fixture, &bus);
    fixture.clock.advance(seconds(29));
    let next = fixture.clock.now() + seconds(1);
    assert_eq!(dispatcher.run_round().await.unwrap(), RoundOutcome::Idle(Some(next)));
    fixture.check(1, "n1.com", 1, absent(), None).await;
    fixture.fold(100).await;
    fixture.clock.advance(seconds(5));
    assert!(matches!(dispatcher.run_round().await.unwrap(), RoundOutcome::Idle(Some(later)) if later > next));
    assert_eq!(drain_queue(&bus).await, []);
}

#[tokio::test]
async fn republishes_lost_message_after_visibility_timeout() {
    let (fixture, bus) = (with_lost_messages(1).await, bus(100));
    let dispatcher = dispatcher(&fixture, &bus);
    assert_eq!(dispatcher.run_round().await.unwrap(), RoundOutcome::Done);
    let first = drain_queue(&bus).await;
    fixture.clock.advance(seconds(29));
    assert!(matches!(dispatcher.run_round().await.unwrap(), RoundOutcome::Idle(Some(_))));
    fixture.clock.advance(seconds(1));
    assert_eq!(dispatcher.run_round().await.unwrap(), RoundOutcome::Done);
    let second = drain_queue(&bus).await;
    assert_eq!(first[0].data, second[0].data);
    assert_ne!(first[0].id, second[0].id);
}

#[tokio::test]
async fn gives_back_rows_refused_by_full_queue() {
    let (fixture, bus) = (with_lost_messages(3).await, bus(1));
    let dispatcher = dispatcher(&fixture, &bus);
    assert_eq!(dispatcher.run_round().await.unwrap(), RoundOutcome::Refused(2));
    assert_eq!(dispatcher.0.messages.metrics.given_back.get(), 2);
    let mut events = drain_queue(&bus).await;
    assert_eq!(events.len(), 1);
    // The rows are due again at once.
    assert_eq!(dispatcher.run_round().await.unwrap(), RoundOutcome::Refused(1));
    events.extend(drain_queue(&bus).await);
    assert_eq!(dispatcher.run_round().await.unwrap(), RoundOutcome::Done);
    events.extend(drain_queue(&bus).await);
    assert_eq!((events.len(), claim_ids(&events).len()), (3, 3));
}

#[tokio::test]
async fn stops_publishing_at_window_without_consumers() {
    let (fixture, bus) = (with_lost_messages(3).await, bus(100));
    let dispatcher = TestDispatcher::new(DueMessages { window: 2, ..messages(&fixture, &bus) }, &bus);
    assert_eq!(dispatcher.run_round().await.unwrap(), RoundOutcome::More);
    for _ in 0..5 {
        fixture.clock.advance(seconds(60));
        assert_eq!(dispatcher.run_round().await.unwrap(), RoundOutcome::QueueFull);
    }
    assert_eq!(drain_queue(&bus).await.len(), 2);
    // The queue has been drained, so the next round publishes again.
    assert_eq!(dispatcher.run_round().await.unwrap(), RoundOutcome::More);
}

/// A publisher whose broker is unavailable for a while.
struct FlakyPublisher {
    bus: InProcess,
    gone: std::sync::atomic::AtomicBool,
}

#[async_trait]
impl Publisher for FlakyPublisher {
    async fn publish(&self, messages: Vec<Message>) -> Result<Vec<PublishOutcome>, BusError> {
        if self.gone.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(BusError::Unavailable("gone".into()));
        }
        self.bus.publisher().publish(messages).await
    }
}

#[tokio::test]
async fn publishes_each_row_once_after_bus_outage() {
    let (fixture, bus) = (with_lost_messages(40).await, bus(100));
    let publisher = Arc::new(FlakyPublisher { bus: bus.clone(), gone: true.into() });
    let dispatcher = TestDispatcher(Outbox::new(messages(&fixture, &bus), publisher.clone()));
    for _ in 0..60 {
        assert!(matches!(dispatcher.run_round().await, Err(OutboxError::Bus(_))));
        fixture.clock.advance(seconds(60));
    }
    publisher.gone.store(false, std::sync::atomic::Ordering::SeqCst);
    while dispatcher.run_round().await.unwrap() != RoundOutcome::Done {}
    let events = drain_queue(&bus).await;
    assert_eq!((events.len(), claim_ids(&events).len()), (40, 40));
}

#[tokio::test]
async fn round_publishes_at_most_its_limit() {
    let (fixture, bus) = (with_lost_messages(5).await, bus(100));
    let dispatcher = TestDispatcher::new(DueMessages { limit: 2, ..messages(&fixture, &bus) }, &bus);
    let rounds = [RoundOutcome::More, RoundOutcome::More, RoundOutcome::Done];
    for expected in rounds {
        assert_eq!(dispatcher.run_round().await.unwrap(), expected);
    }
    assert_eq!(claim_ids(&drain_queue(&bus).await).len(), 5);
}

#[tokio::test]
async fn publishes_backlog_at_configured_rate() {
    let (fixture, bus) = (with_lost_messages(40).await, bus(100));
    // No dispatcher ran for a day; every claim has one row, however many checks it missed.
    fixture.clock.advance(seconds(86_400));
    let messages = DueMessages { rate_limit: TokenBucket::new(10), ..messages(&fixture, &bus) };
    let dispatcher = TestDispatcher::new(messages, &bus);
    let mut sent = vec![];
    for second in 1..=4 {
        assert_eq!(dispatcher.run_round().await.unwrap(), RoundOutcome::More, "{second}");
        let next = dispatcher.run_round().await.unwrap();
        if second < 4 {
            assert_eq!(next, RoundOutcome::RateLimited(StdDuration::from_millis(100)));
        }
        let now = drain_queue(&bus).await;
        assert_eq!(now.len(), 10, "{second}");
        sent.extend(now);
        fixture.clock.advance(seconds(1));
    }
    assert_eq!(claim_ids(&sent).len(), 40);
    assert!(matches!(dispatcher.run_round().await.unwrap(), RoundOutcome::Idle(Some(_))));
}

impl ProjectorFixture {
    fn spawn_dispatcher(&self, owner: &str, bus: &InProcess, stop: &CancellationToken) -> JoinHandle<()> {
        let config = DispatcherConfig {
            owner: owner.to_owned(),
            poll: Duration::from_millis(50),
            lease_ttl: Duration::from_millis(600),
            backoff_max: Duration::from_millis(100),
            ..DispatcherConfig::default()
        };
        let ports = DispatcherPorts {
            store: self.log(),
            checkpoints: self.checkpoints(),
            due: Arc::new(self.store.clone()),
            bus: Arc::new(bus.clone()),
            clock: self.clock_port(),
        };
        let metrics = DispatcherMetrics::register(&Registry::new()).unwrap();
        let stop = stop.clone();
        tokio::spawn(async move { run_dispatcher(ports, &config, metrics, stop).await })
    }

    async fn dispatcher_lease(&self, owner: &str) -> Option<Lease> {
        let now = self.clock.now();
        self.store.acquire(DISPATCHER, owner, now, Duration::from_secs(1)).await.unwrap()
    }
}

async fn next(consumer: &mut dyn deed_bus::Consumer) -> CloudEvent {
    let delivery =
        tokio::time::timeout(PATIENCE, consumer.next()).await.expect("a message in time").unwrap().unwrap();
    let event = CloudEvent::from_json(&delivery.message().body).unwrap();
    delivery.acknowledge().await.unwrap();
    event
}

#[tokio::test]
async fn republishes_until_work_is_done() {
    let mut fixture = ProjectorFixture::new().await;
    let bus = InProcess::new(Topology::new(queues::EXCHANGE, queues::ALL).unwrap(), Limits::default());
    let mut consumer = bus.consumer(queues::VERIFICATION).await.unwrap();
    let stop = CancellationToken::new();
    let running = fixture.spawn_dispatcher("one", &bus, &stop);

    fixture.start_verifying(1, "acme.com", 1).await;
    fixture.fold(10).await;
    fixture.clock.advance(seconds(30));
    assert_eq!(next(&mut *consumer).await.data["attempt"], 1);
    // The first message counts as lost.
    fixture.clock.advance(seconds(30));
    assert_eq!(next(&mut *consumer).await.data["attempt"], 1);
    fixture.check(1, "acme.com", 1, absent(), None).await;
    fixture.fold(10).await;
    fixture.clock.advance(seconds(60));
    let event = next(&mut *consumer).await;
    assert_eq!(
        (event.data["attempt"].clone(), event.data["claimId"].clone()),
        (2.into(), id(1).to_string().into())
    );

    stop.cancel();
    running.await.unwrap();
    assert!(fixture.dispatcher_lease("test").await.is_some(), "the lease was not given back");
}

#[tokio::test]
async fn standby_takes_over_from_stopped_dispatcher() {
    let mut fixture = ProjectorFixture::new().await;
    fixture.start_verifying(1, "acme.com", 1).await;
    fixture.fold(10).await;
    let bus = InProcess::new(Topology::new(queues::EXCHANGE, queues::ALL).unwrap(), Limits::default());
    let mut consumer = bus.consumer(queues::VERIFICATION).await.unwrap();
    let (first, second) = (CancellationToken::new(), CancellationToken::new());
    let one = fixture.spawn_dispatcher("one", &bus, &first);
    fixture.clock.advance(seconds(30));
    next(&mut *consumer).await;
    let two = fixture.spawn_dispatcher("two", &bus, &second);
    first.cancel();
    one.await.unwrap();
    fixture.clock.advance(seconds(30));
    next(&mut *consumer).await;
    second.cancel();
    two.await.unwrap();
}
