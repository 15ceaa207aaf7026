//! Scheduled checks of one claim over weeks, through store, projector, dispatcher and verifier, on a test clock.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a step that fails fails its test")]

use std::ops::Range;
use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use deed_bus::{Bus, InProcess, Limits, Topology};
use deed_claims::{
    ChallengeTemplates, CheckRecorded, ClaimId, Clock, Command, Event, Holder, IfHeldByAnother, Ownership,
    OwnershipEvent, Policy, Scope, Status, StreamId, Token,
};
use deed_diagnosis::{
    Confirmation, Observation, Reply, ServerAnswer, Signatures, SoaSeen, Statement, Transport,
};
use deed_messages::queues;
use deed_probe::{Probe, Question};
use deed_projector::{
    DispatcherConfig, DispatcherMetrics, DispatcherPorts, Projector, ProjectorMetrics, rebuild_channel,
    run_dispatcher, run_projector,
};
use deed_store::{EventStore, Loaded, Metadata, Plan, SubscriptionConfig, Version, execute, load};
use deed_store_sqlite::{SqliteConfig, SqliteStore};
use deed_testkit::{FakeClock, eventually};
use deed_verifier::{Verifier, VerifierConfig, VerifierMetrics, run_verifier};
use prometheus::Registry;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(20);

/// A zone that publishes its record during one range of time.
struct Zone {
    clock: Arc<FakeClock>,
    published: Range<DateTime<Utc>>,
}

#[async_trait]
impl Probe for Zone {
    async fn probe(&self, question: Question) -> Observation {
        let published = self.published.contains(&self.clock.now());
        let denial = SoaSeen { owner: "acme.com".to_owned(), serial: 1, negative_ttl: 60 };
        let reply = Reply::Message {
            rcode: if published { 0 } else { 3 },
            authoritative: true,
            truncated: false,
            ede: None,
            values: if published { question.looking_for.clone() } else { vec![] },
            oversize: false,
            soa: (!published).then_some(denial),
            statement: if published { Statement::Values } else { Statement::NoName },
            signatures: Signatures::None,
            plain: false,
        };
        let answer = ServerAnswer {
            server: "ns1.acme.com".to_owned(),
            address: Some([192, 0, 2, 1].into()),
            transport: Transport::Tcp,
            reply,
            ms: 3,
        };
        Observation {
            name: question.name,
            zone: Some("acme.com".to_owned()),
            servers: vec![answer.clone()],
            confirmation: Confirmation { repeated: Some(vec![answer]), ..Confirmation::default() },
            queries: 2,
            took_ms: 6,
            vantage: "test".to_owned(),
            ..Observation::default()
        }
    }
}

fn stream() -> StreamId {
    StreamId::ownership(Scope::Apex, &"acme.com".parse().unwrap())
}

fn claim() -> ClaimId {
    ClaimId::from_bytes([1; 16])
}

struct Service {
    _folder: tempfile::TempDir,
    store: SqliteStore,
    clock: Arc<FakeClock>,
    stop: CancellationToken,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Service {
    async fn start(published: impl FnOnce(DateTime<Utc>) -> Range<DateTime<Utc>>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(SqliteConfig::new(folder.path().join("deed.db"))).await.unwrap();
        let clock: Arc<FakeClock> = Arc::default();
        let zone = Arc::new(Zone { clock: clock.clone(), published: published(clock.now()) });
        let (bus, stop) = (
            InProcess::new(Topology::new(queues::EXCHANGE, queues::ALL).unwrap(), Limits::default()),
            CancellationToken::new(),
        );
        let mut service = Self { _folder: folder, store, clock, stop, tasks: vec![] };
        service.project();
        service.dispatch(Arc::new(bus.clone()));
        service.verify(bus, zone);
        service
    }

    fn project(&mut self) {
        let metrics = ProjectorMetrics::register(&Registry::new()).unwrap();
        let (store, clock) = (Arc::new(self.store.clone()), self.clock.clone());
        let projector = Projector::new(store.clone(), Duration::from_secs(30), metrics);
        let stop = self.stop.clone();
        let config = SubscriptionConfig {
            owner: "test".to_owned(),
            batch: 100,
            lease_ttl: Duration::from_secs(15),
            poll: POLL,
            backoff_max: Duration::from_secs(1),
        };
        self.tasks.push(tokio::spawn(async move {
            let (_rebuilder, requests) = rebuild_channel();
            run_projector(store.clone(), store, clock, projector, requests, &config, stop).await.unwrap();
        }));
    }

    fn dispatch(&mut self, bus: Arc<dyn Bus>) {
        let store = Arc::new(self.store.clone());
        let ports = DispatcherPorts {
            store: store.clone(),
            checkpoints: store.clone(),
            due: store,
            bus,
            clock: self.clock.clone(),
        };
        let config = DispatcherConfig { poll: POLL, ..DispatcherConfig::default() };
        let (metrics, stop) = (DispatcherMetrics::register(&Registry::new()).unwrap(), self.stop.clone());
        self.tasks.push(tokio::spawn(async move { run_dispatcher(ports, &config, metrics, stop).await }));
    }

    fn verify(&mut self, bus: InProcess, probe: Arc<dyn Probe>) {
        let metrics = VerifierMetrics::register(&Registry::new()).unwrap();
        let config = VerifierConfig { early: Duration::ZERO, ..VerifierConfig::default() };
        let store = Arc::new(self.store.clone());
        let verifier = Arc::new(Verifier::new(store, probe, self.clock.clone(), config, metrics));
        let stop = self.stop.clone();
        self.tasks.push(tokio::spawn(async move { run_verifier(&bus, verifier, stop).await.unwrap() }));
    }

    async fn execute(&self, command: Command) {
        let decide = |name: &Loaded<Ownership>, at| {
            name.state
                .decide(command.clone(), &Policy::default(), at)
                .map(|events| Plan::write(&stream(), events))
        };
        execute(&self.store, &*self.clock, stream(), &Metadata::default(), decide).await.unwrap();
    }

    async fn start_verifying(&self) {
        let name: deed_claims::name::DomainName = "acme.com".parse().unwrap();
        let token = Token::from_bytes([1; 20]);
        self.execute(Command::Initiate {
            claim_id: claim(),
            holder: Holder::Workspace { workspace_id: "ws_1".parse().unwrap() },
            requested: name.clone(),
            region: None,
            challenge: ChallengeTemplates::default().challenge(Scope::Apex, &name, token),
            if_held_by_another: IfHeldByAnother::Challenge,
            name,
        })
        .await;
        self.execute(Command::RequestVerification { claim_id: claim() }).await;
    }

    async fn loaded(&self) -> Loaded<Ownership> {
        load(&self.store, &stream()).await.unwrap()
    }

    /// The whole stream; what is loaded has its newest events only.
    async fn events(&self) -> Vec<Event> {
        let recorded = self.store.read_stream(&stream(), Version(0), usize::MAX).await.unwrap();
        recorded.into_iter().map(|recorded| recorded.event).collect()
    }

    async fn checks(&self) -> Vec<CheckRecorded> {
        let check = |event: &Event| match event {
            Event::Ownership(OwnershipEvent::CheckRecorded(check)) => Some(check.clone()),
            _ => None,
        };
        self.events().await.iter().filter_map(check).collect()
    }

    /// Advances the clock to the next check and waits until it is made; false when none is scheduled.
    async fn next_check(&self) -> bool {
        let ownership = self.loaded().await.state;
        let Some(pending) = ownership.claims[&claim()].pending else { return false };
        let made = self.checks().await.len();
        // No relay runs here, so the row of the first check falls due when its message counts as lost.
        let lost = if made == 0 { TimeDelta::seconds(30) } else { TimeDelta::zero() };
        self.clock.set(pending.due_at + lost);
        eventually("a check", PATIENCE, || async { (self.checks().await.len() > made).then_some(()) }).await;
        true
    }

    async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            tokio::time::timeout(PATIENCE, task).await.expect("the task ends in time").unwrap();
        }
    }
}

#[tokio::test]
async fn checks_follow_the_schedule_for_weeks() {
    let (published, removed) = (TimeDelta::minutes(5), TimeDelta::days(10));
    let service = Service::start(|start| start + published..start + removed).await;
    let start = service.clock.now();
    service.start_verifying().await;
    while service.next_check().await {}

    let (checks, events) = (service.checks().await, service.events().await);
    assert_eq!(service.loaded().await.state.claims[&claim()].status(), Status::Lapsed);
    let at = |kind: &str| match events.iter().find(|event| event.kind() == kind).unwrap() {
        Event::Ownership(event) => event.at() - start,
        Event::App(_) => panic!("{kind}"),
    };
    let (verified, missing) = (at("DomainVerified"), at("ProofMissing"));
    assert!(verified >= published && verified < published + TimeDelta::minutes(5), "{verified}");
    assert!(missing >= removed && missing < removed + TimeDelta::days(8), "{missing}");
    assert_eq!(at("OwnershipEnded"), missing + TimeDelta::hours(72));
    // Every check was made once, at its due time.
    for pair in checks.windows(2) {
        assert!(pair[0].attempt < pair[1].attempt);
        if let Some(due) = pair[0].next_check_at {
            assert_eq!(pair[1].at, due);
        }
    }
    service.stop().await;
}
