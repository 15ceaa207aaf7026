use std::{
    collections::{BTreeSet, VecDeque},
    sync::Mutex,
};

use async_trait::async_trait;
use chrono::TimeDelta;
use deed_bus::{Bus, BusError, InProcess, Limits, Message, PublishOutcome, Requirement, Topology};
use deed_claims::{
    ChallengeTemplates, CheckCause, ClaimId, ClaimInitiated, Holder, Scope, StreamId, Token,
    VerificationRequested, name::DomainName,
};
use deed_messages::queues;
use deed_store::{
    Append, Batch, Lease, Metadata, Position, Progress, StreamWrite, Subscriber, SubscriberError, Version,
};
use deed_store_sqlite::{SqliteConfig, SqliteStore};
use deed_testkit::{FakeClock, eventually};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use tracing_subscriber::layer::SubscriberExt as _;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);
const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A log with two events for each claim: `claim.initiated`, then `verification.requested`.
struct RelayFixture {
    _folder: TempDir,
    store: SqliteStore,
    clock: Arc<FakeClock>,
}

impl RelayFixture {
    async fn with_claims(claims: u8) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(SqliteConfig::new(folder.path().join("deed.db"))).await.unwrap();
        let fixture = Self { _folder: folder, store, clock: Arc::default() };
        for claim in 1..=claims {
            fixture.claim(claim).await;
        }
        fixture
    }

    async fn claim(&self, claim: u8) {
        let (claim_id, at) = (ClaimId::from_bytes([claim; 16]), self.clock.now());
        let name: DomainName = format!("n{claim}.com").parse().unwrap();
        let expires_at = at + TimeDelta::days(7);
        let initiated = ClaimInitiated {
            claim_id,
            scope: Scope::Apex,
            requested: name.clone(),
            region: None,
            holder: Holder::Workspace { workspace_id: "ws_1".parse().unwrap() },
            challenge: ChallengeTemplates::default().challenge(
                Scope::Apex,
                &name,
                Token::from_bytes([claim; 20]),
            ),
            expires_at,
            name: name.clone(),
            at,
        };
        let requested = VerificationRequested {
            claim_id,
            attempt: 1,
            cause: CheckCause::First,
            expires_at: Some(expires_at),
            at,
        };
        let write = StreamWrite {
            stream: StreamId::ownership(Scope::Apex, &name),
            expected: Version(0),
            events: vec![initiated.into(), requested.into()],
        };
        let metadata = Metadata { traceparent: Some(TRACE.to_owned()), ..Metadata::default() };
        self.store.append(Append { writes: vec![write], receipt: None, metadata, at }).await.unwrap();
    }

    async fn lease(&self) -> Lease {
        let now = self.clock.now();
        self.store
            .acquire(RELAY, "test", now, Duration::from_secs(1))
            .await
            .unwrap()
            .expect("the lease is free")
    }

    /// Hands the whole log to a relay as one batch.
    async fn consume(&self, relay: &mut Relay) -> Result<Progress, SubscriberError> {
        let events = self.store.read_log(Position(0), 1000).await.unwrap();
        let lease = self.lease().await;
        let to = events.last().unwrap().position;
        let done =
            relay.outbox.consume(Batch { lease: &lease, from: Position(0), to, events: &events }).await;
        self.store.release(&lease).await.unwrap();
        done
    }

    fn run(&self, relay: Relay, stop: &CancellationToken) -> JoinHandle<Result<(), SubscriptionError>> {
        let config = SubscriptionConfig {
            owner: "relay".to_owned(),
            batch: 4,
            lease_ttl: Duration::from_secs(3),
            poll: Duration::from_millis(20),
            backoff_max: Duration::from_millis(50),
        };
        let store = Arc::new(self.store.clone());
        let (clock, stop) = (self.clock.clone(), stop.clone());
        tokio::spawn(async move { run_relay(store.clone(), store, clock, relay, &config, stop).await })
    }

    async fn relayed_to(&self, position: u64) {
        eventually("the relay's checkpoint to move", PATIENCE, || async {
            (self.store.checkpoint(RELAY).await.unwrap() == Position(position)).then_some(())
        })
        .await;
    }
}

/// A publisher that records its messages and returns scripted results; after these it confirms.
#[derive(Default)]
struct ScriptedPublisher {
    given: Mutex<Vec<Message>>,
    answers: Mutex<VecDeque<Result<Vec<PublishOutcome>, BusError>>>,
}

impl ScriptedPublisher {
    fn of(answers: impl IntoIterator<Item = Result<Vec<PublishOutcome>, BusError>>) -> Arc<Self> {
        Arc::new(Self { given: Mutex::default(), answers: Mutex::new(answers.into_iter().collect()) })
    }

    fn ids(&self) -> Vec<String> {
        self.given.lock().unwrap().iter().map(|message| message.id.clone()).collect()
    }
}

#[async_trait]
impl Publisher for ScriptedPublisher {
    async fn publish(&self, messages: Vec<Message>) -> Result<Vec<PublishOutcome>, BusError> {
        let confirmed = vec![PublishOutcome::Confirmed; messages.len()];
        self.given.lock().unwrap().extend(messages);
        self.answers.lock().unwrap().pop_front().unwrap_or(Ok(confirmed))
    }
}

fn relay(publisher: Arc<dyn Publisher>) -> Relay {
    relay_at(publisher, Arc::<FakeClock>::default())
}

fn relay_at(publisher: Arc<dyn Publisher>, clock: Arc<dyn Clock>) -> Relay {
    let metrics = RelayMetrics::register(&Registry::new()).unwrap();
    Relay::new(publisher, "/deed".to_owned(), clock, metrics)
}

/// The envelope of an event, as it is published.
async fn envelope(recorded: RecordedEvent) -> CloudEvent {
    let publisher = ScriptedPublisher::of([]);
    relay(publisher.clone()).outbox.outbox.publish(&[recorded]).await.unwrap();
    let body = publisher.given.lock().unwrap()[0].body.clone();
    CloudEvent::from_json(&body).unwrap()
}

#[tokio::test]
async fn publishes_event_as_cloud_event() {
    let fixture = RelayFixture::with_claims(1).await;
    let publisher = ScriptedPublisher::of([]);
    let mut relay = relay(publisher.clone());
    assert!(matches!(fixture.consume(&mut relay).await, Ok(Progress::Advance)));
    let given = publisher.given.lock().unwrap().clone();
    let keys: Vec<_> = given.iter().map(|m| (m.id.as_str(), m.routing_key.as_str(), m.requirement)).collect();
    assert_eq!(
        keys,
        [
            ("evt_1", "claim.initiated", Requirement::Optional),
            ("evt_2", "verification.requested", Requirement::Mandatory),
        ]
    );
    let event = CloudEvent::from_json(&given[1].body).unwrap();
    assert_eq!((event.id.as_str(), event.source.as_str()), ("evt_2", "/deed"));
    assert_eq!(event.r#type, "deed.verification.requested.v1");
    assert_eq!(event.subject.as_deref(), Some("apex:n1.com"));
    assert_eq!(event.time, Some(fixture.clock.now()));
    assert_eq!(event.data["attempt"], 1);
    assert_eq!(event.data["claimId"], ClaimId::from_bytes([1; 16]).to_string());
    let extensions = BTreeMap::from(
        [("position", "2"), ("streamversion", "2"), ("traceparent", TRACE)]
            .map(|(k, v)| (k.to_owned(), json!(v))),
    );
    assert_eq!(event.extensions, extensions);
    assert_eq!(given[1].content_type, CloudEvent::CONTENT_TYPE);
    assert_eq!(given[1].headers.get("traceparent").map(String::as_str), Some(TRACE));
    assert_eq!(relay.metrics.0.events.get(), 2);
}

#[tokio::test]
async fn relays_unknown_fields_of_newer_versions() {
    let fixture = RelayFixture::with_claims(1).await;
    let mut requested = fixture.store.read_log(Position(1), 1).await.unwrap().remove(0);
    requested.payload = requested.payload.replacen('{', r#"{"askedBy":"a newer version","#, 1);
    let event = envelope(requested).await;
    assert_eq!((&event.data["askedBy"], &event.data["attempt"]), (&json!("a newer version"), &json!(1)));
}

#[tokio::test]
async fn checkpoint_stops_before_first_undelivered_event() {
    use PublishOutcome::{Confirmed, Full, Rejected, Unroutable};
    // Every second event of the log must reach a queue.
    let cases: [(&[PublishOutcome], Option<u64>); 7] = [
        (&[Confirmed, Confirmed, Confirmed, Confirmed], Some(4)),
        (&[Unroutable, Confirmed, Unroutable, Confirmed], Some(4)),
        (&[Confirmed, Unroutable, Confirmed, Confirmed], Some(1)),
        (&[Confirmed, Confirmed, Full, Confirmed], Some(2)),
        (&[Confirmed, Confirmed, Confirmed, Rejected], Some(3)),
        (&[Full, Confirmed, Confirmed, Confirmed], None),
        (&[], None),
    ];
    for (answer, reached) in cases {
        let fixture = RelayFixture::with_claims(2).await;
        let mut relay = relay(ScriptedPublisher::of([Ok(answer.to_vec())]));
        let progress = fixture.consume(&mut relay).await;
        match (reached, &progress) {
            (Some(4), Ok(Progress::Advance)) | (None, Err(SubscriberError::Retry(_))) => {}
            (Some(reached), Ok(Progress::AdvanceTo(to))) if *to == Position(reached) => {}
            _ => panic!("{answer:?}: {progress:?}"),
        }
        assert_eq!(relay.metrics.0.events.get(), reached.unwrap_or(0));
    }
}

#[tokio::test]
async fn retries_unavailable_broker() {
    let fixture = RelayFixture::with_claims(2).await;
    let gone = || Err(BusError::Unavailable("gone".into()));
    let publisher =
        ScriptedPublisher::of([gone(), gone(), Ok(vec![PublishOutcome::Confirmed, PublishOutcome::Full])]);
    let stop = CancellationToken::new();
    let running = fixture.run(relay(publisher.clone()), &stop);
    fixture.relayed_to(4).await;
    stop.cancel();
    running.await.unwrap().unwrap();
    // All events three times, then those from the first that was not confirmed.
    let all = ["evt_1", "evt_2", "evt_3", "evt_4"];
    assert_eq!(publisher.ids(), [&all[..], &all, &all, &all[1..]].concat());
}

#[tokio::test]
async fn crash_before_checkpoint_repeats_events() {
    let fixture = RelayFixture::with_claims(3).await;
    let before = ScriptedPublisher::of([]);
    // Published and confirmed, but the process ends before the checkpoint has moved.
    assert!(matches!(fixture.consume(&mut relay(before.clone())).await, Ok(Progress::Advance)));
    assert_eq!(fixture.store.checkpoint(RELAY).await.unwrap(), Position(0));

    let after = ScriptedPublisher::of([]);
    let stop = CancellationToken::new();
    let running = fixture.run(relay(after.clone()), &stop);
    fixture.relayed_to(6).await;
    fixture.claim(4).await;
    fixture.relayed_to(8).await;
    stop.cancel();
    running.await.unwrap().unwrap();
    let expected: Vec<_> = (1..=8).map(|position| format!("evt_{position}")).collect();
    assert_eq!(before.ids(), expected[..6]);
    assert_eq!(after.ids(), expected);

    // After a clean stop nothing is repeated.
    let idle = ScriptedPublisher::of([]);
    let stop = CancellationToken::new();
    let running = fixture.run(relay(idle.clone()), &stop);
    fixture.claim(5).await;
    fixture.relayed_to(10).await;
    stop.cancel();
    running.await.unwrap().unwrap();
    assert_eq!(idle.ids(), ["evt_9", "evt_10"]);
}

#[tokio::test]
async fn full_queue_loses_no_verification_request() {
    let fixture = RelayFixture::with_claims(8).await;
    let limits = Limits { capacity: 1, publish_deadline: Duration::from_millis(20), ..Limits::default() };
    let bus = InProcess::new(Topology::new(queues::EXCHANGE, queues::ALL).unwrap(), limits);
    let mut consumer = bus.consumer(queues::VERIFICATION).await.unwrap();
    let stop = CancellationToken::new();
    let running = fixture.run(relay(bus.publisher()), &stop);
    let requests: BTreeSet<_> = (1..=8).map(|claim| format!("evt_{}", claim * 2)).collect();
    let mut seen = BTreeSet::new();
    // A message can come twice when another one found the queue full.
    while seen != requests {
        let delivery =
            tokio::time::timeout(PATIENCE, consumer.next()).await.expect("in time").unwrap().unwrap();
        seen.insert(delivery.message().id.clone());
        delivery.acknowledge().await.unwrap();
    }
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn measures_lag_while_broker_is_down() {
    let fixture = RelayFixture::with_claims(2).await;
    let never = std::iter::repeat_with(|| Err(BusError::Unavailable("gone".into()))).take(10_000);
    let relay = relay(ScriptedPublisher::of(never));
    let lag = relay.metrics.0.lag.clone();
    let stop = CancellationToken::new();
    let running = fixture.run(relay, &stop);
    eventually("the lag to show", PATIENCE, || async { (lag.count() > 3.0).then_some(()) }).await;
    stop.cancel();
    running.await.unwrap().unwrap();
}

/// The spans and messages of the relay when it publishes events of this age.
async fn traced(age: chrono::Duration) -> (Vec<SpanData>, Vec<Message>) {
    let fixture = RelayFixture::with_claims(1).await;
    let publisher = ScriptedPublisher::of([]);
    let mut relay = relay_at(publisher.clone(), fixture.clock.clone());
    fixture.clock.advance(age);
    let spans = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(spans.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let tracing = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    assert!(matches!(fixture.consume(&mut relay).await, Ok(Progress::Advance)));
    drop(tracing);
    let finished = spans.get_finished_spans().unwrap().into_iter().filter(|s| s.name == "message.publish");
    let given = publisher.given.lock().unwrap().clone();
    (finished.collect(), given)
}

#[tokio::test]
async fn message_carries_its_publish_span_context() {
    let (spans, given) = traced(chrono::Duration::seconds(1)).await;
    assert_eq!((spans.len(), given.len()), (2, 2));
    for (span, message) in spans.iter().zip(&given) {
        let (trace, own) =
            (span.span_context.trace_id().to_string(), span.span_context.span_id().to_string());
        assert_eq!((&*trace, &*span.parent_span_id.to_string()), (&TRACE[3..35], &TRACE[36..52]));
        assert_eq!(message.headers["traceparent"], format!("00-{trace}-{own}-01"));
        let event = CloudEvent::from_json(&message.body).unwrap();
        assert_eq!(event.extensions["traceparent"], message.headers["traceparent"]);
    }
}

#[tokio::test]
async fn late_publication_starts_a_linked_trace() {
    let (spans, given) = traced(chrono::Duration::seconds(61)).await;
    for (span, message) in spans.iter().zip(&given) {
        let trace = span.span_context.trace_id().to_string();
        assert_ne!(trace, TRACE[3..35]);
        assert_eq!(span.links[0].span_context.trace_id().to_string(), TRACE[3..35]);
        assert_eq!(message.headers["traceparent"][3..35], trace);
    }
}

#[tokio::test]
async fn publishes_old_events_by_their_stored_schema() {
    let payload = include_str!("../../../claims/tests/golden/CheckRecorded.v1.absent.json");
    let fixture = RelayFixture::with_claims(1).await;
    let newer = fixture.store.read_log(Position(0), 1).await.unwrap().remove(0);
    let old = RecordedEvent {
        event: deed_claims::Event::from_parts("CheckRecorded", 1, payload).unwrap(),
        schema: 1,
        payload: payload.to_owned(),
        ..newer
    };
    let event = envelope(old).await;
    assert_eq!(event.r#type, "deed.check.recorded.v1");
    let stored: Value = serde_json::from_str(payload).unwrap();
    assert_eq!(event.data, stored);
}
