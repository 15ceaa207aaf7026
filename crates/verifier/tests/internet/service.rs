//! The stability test through the whole service: scheduled checks of claims, and the codes in their histories.
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use deed_bus::{Bus, InProcess, Limits, Topology};
use deed_claims::{
    ChallengeTemplates, ClaimId, Command, Event, Holder, IfHeldByAnother, Ownership, OwnershipEvent, Policy,
    Scope, StreamId, Token,
};
use deed_messages::queues;
use deed_probe::Prober;
use deed_projector::{
    DispatcherConfig, DispatcherMetrics, DispatcherPorts, Projector, ProjectorMetrics, rebuild_channel,
    run_dispatcher, run_projector,
};
use deed_store::{
    EventStore as _, Loaded, Metadata, Plan, SubscriptionConfig, SystemClock, Version, execute,
};
use deed_store_sqlite::{SqliteConfig, SqliteStore};
use deed_testkit::{NetworkNamespace, Stub, Unbound, eventually};
use deed_verifier::{Verifier, VerifierConfig, VerifierMetrics, run_verifier};
use prometheus::Registry;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::internet::at;
use crate::stability::{ZoneCase, cases};
use crate::{codes, quirks};

/// The number of checks that each history has to hold.
const CHECKS: usize = 20;
const POLL: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_mins(2);

/// A policy with pauses short enough for a test.
fn policy() -> Policy {
    let pause = TimeDelta::milliseconds(100);
    Policy { watch_first: pause, watch_longest: pause, held_interval: pause, ..Policy::default() }
}

struct Service {
    _folder: tempfile::TempDir,
    store: SqliteStore,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Service {
    async fn start(prober: Prober) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(SqliteConfig::new(folder.path().join("deed.db"))).await.unwrap();
        let (bus, stop) = (
            InProcess::new(Topology::new(queues::EXCHANGE, queues::ALL).unwrap(), Limits::default()),
            CancellationToken::new(),
        );
        let tasks = vec![
            tokio::spawn(project(store.clone(), stop.clone())),
            tokio::spawn(dispatch(store.clone(), Arc::new(bus.clone()), stop.clone())),
            tokio::spawn(verify(store.clone(), bus, prober, stop.clone())),
        ];
        Self { _folder: folder, store, stop, tasks }
    }

    async fn execute(&self, domain: &str, command: Command) {
        let decide = |name: &Loaded<Ownership>, at| {
            name.state
                .decide(command.clone(), &policy(), at)
                .map(|events| Plan::write(&stream(domain), events))
        };
        execute(&self.store, &SystemClock, stream(domain), &Metadata::default(), decide).await.unwrap();
    }

    async fn claim(&self, number: u8, domain: &str) {
        let name: deed_claims::name::DomainName = domain.parse().unwrap();
        let claim_id = ClaimId::from_bytes([number; 16]);
        let challenge =
            ChallengeTemplates::default().challenge(Scope::Apex, &name, Token::from_bytes([7; 20]));
        let holder = Holder::Workspace { workspace_id: "ws_1".parse().unwrap() };
        let (requested, if_held_by_another) = (name.clone(), IfHeldByAnother::Challenge);
        let region = None;
        self.execute(
            domain,
            Command::Initiate { claim_id, holder, name, requested, region, challenge, if_held_by_another },
        )
        .await;
        self.execute(domain, Command::RequestVerification { claim_id }).await;
    }

    /// The codes in the history of a claim, `proven` for proof, and the number of checks.
    async fn history(&self, domain: &str) -> (BTreeSet<&'static str>, usize) {
        let events = self.store.read_stream(&stream(domain), Version(0), usize::MAX).await.unwrap();
        let checks = events.iter().filter_map(|recorded| match &recorded.event {
            Event::Ownership(OwnershipEvent::CheckRecorded(check)) => Some(check),
            _ => None,
        });
        let codes: Vec<&str> =
            checks.map(|check| check.diagnosis.as_ref().map_or("proven", |d| d.code.as_str())).collect();
        (codes.iter().copied().collect(), codes.len())
    }

    async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            tokio::time::timeout(PATIENCE, task).await.expect("the task ends in time").unwrap();
        }
    }
}

fn stream(domain: &str) -> StreamId {
    StreamId::ownership(Scope::Apex, &domain.parse().unwrap())
}

async fn project(store: SqliteStore, stop: CancellationToken) {
    let metrics = ProjectorMetrics::register(&Registry::new()).unwrap();
    let store = Arc::new(store);
    let projector = Projector::new(store.clone(), Duration::from_millis(100), metrics);
    let config = SubscriptionConfig {
        owner: "test".to_owned(),
        batch: 100,
        lease_ttl: Duration::from_secs(15),
        poll: POLL,
        backoff_max: Duration::from_secs(1),
    };
    let (_rebuilder, requests) = rebuild_channel();
    run_projector(store.clone(), store, Arc::new(SystemClock), projector, requests, &config, stop)
        .await
        .unwrap();
}

async fn dispatch(store: SqliteStore, bus: Arc<dyn Bus>, stop: CancellationToken) {
    let store = Arc::new(store);
    let ports = DispatcherPorts {
        store: store.clone(),
        checkpoints: store.clone(),
        due: store,
        bus,
        clock: Arc::new(SystemClock),
    };
    // No relay runs here, so the row of the first check falls due when its message counts as lost.
    let config = DispatcherConfig { poll: POLL, ..DispatcherConfig::default() };
    let metrics = DispatcherMetrics::register(&Registry::new()).unwrap();
    run_dispatcher(ports, &config, metrics, stop).await;
}

async fn verify(store: SqliteStore, bus: InProcess, prober: Prober, stop: CancellationToken) {
    let metrics = VerifierMetrics::register(&Registry::new()).unwrap();
    let config = VerifierConfig {
        policy: policy(),
        early: Duration::ZERO,
        in_flight: 16,
        ..VerifierConfig::default()
    };
    let verifier = Verifier::new(Arc::new(store), Arc::new(prober), Arc::new(SystemClock), config, metrics);
    run_verifier(&bus, Arc::new(verifier), stop).await.unwrap();
}

/// The claims whose history holds another code than the expected one.
async fn mismatches(prober: Prober, cases: &[ZoneCase]) -> Vec<String> {
    let service = Service::start(prober).await;
    for (number, case) in (1..).zip(cases) {
        service.claim(number, case.domain).await;
    }
    let mut mismatches = vec![];
    for case in cases {
        let enough = || async { (service.history(case.domain).await.1 >= CHECKS).then_some(()) };
        eventually(case.domain, PATIENCE, enough).await;
        let (codes, _) = service.history(case.domain).await;
        if codes.iter().copied().ne([case.expected]) {
            mismatches.push(format!("{} is not {}: {codes:?}", case.domain, case.expected));
        }
    }
    service.stop().await;
    mismatches
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_has_one_code_per_zone() {
    const NAME: &str = "service::history_has_one_code_per_zone";
    let Some(_network) = NetworkNamespace::enter(NAME) else { return };
    let internet = quirks::plan(codes::plan()).start_at(53);
    let _actors = (codes::scripted_servers(&internet).await, quirks::scripted_servers(&internet).await);
    let root = [Stub { zone: String::new(), server: internet.at(1) }];
    let resolver = Unbound::start(at(quirks::BLOCK, 50), internet.port, &root, Some(&internet.anchor));
    // Without silent zones, each of which costs twenty time-outs, and without the zone that needs an earlier claim.
    let cases_with = |resolver: bool| -> Vec<ZoneCase> {
        let all = cases(resolver).into_iter();
        all.filter(|case| !case.silent && case.expected != "value_of_earlier_claim").collect()
    };
    let own = internet.prober_with(|config| config.trust_anchor = Some(internet.key()));
    let trusting = internet.prober_with(|config| config.resolvers = vec![resolver.address()]);
    let own = mismatches(own, &cases_with(false)).await;
    let trusting = mismatches(trusting, &cases_with(true)).await;
    assert!(
        own.is_empty() && trusting.is_empty(),
        "own validation: {own:#?}\ntrusted resolver: {trusting:#?}"
    );
}
