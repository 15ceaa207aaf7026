//! The test fixture: a private store with a projector, and commands that drive claims through their lifecycle.
use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use deed_claims::{
    ChallengeTemplates, ClaimId, Clock, Command, Holder, IfHeldByAnother, Ownership, Policy, Rejection,
    Scope, StreamId, Token, name::DomainName,
};
use deed_diagnosis::{Class, Code, Diagnosis, Evidence, Observation, Outcome};
use deed_store::{
    Batch, Checkpoints, DueItem, DueWork, EventStore, ExecuteError, Lease, Loaded, Metadata, Plan, Position,
    Progress, Subscriber, execute,
};
use deed_store_sqlite::{SqliteConfig, SqliteStore};
use deed_testkit::FakeClock;
use prometheus::{Registry, TextEncoder};
use tempfile::TempDir;

use crate::{Projector, ProjectorMetrics, READ_MODELS};

pub const VISIBILITY: Duration = Duration::from_secs(30);
pub const TTL: Duration = Duration::from_secs(15);
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A private store, a clock that tests set, and a projector.
pub struct ProjectorFixture {
    _folder: TempDir,
    pub store: SqliteStore,
    pub clock: Arc<FakeClock>,
    pub projector: Projector,
    pub registry: Registry,
}

impl ProjectorFixture {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(SqliteConfig::new(folder.path().join("deed.db"))).await.unwrap();
        let registry = Registry::new();
        let mut projector = projector_with_metrics(&store, &registry);
        projector.count_claims(Arc::new(store.clone()));
        Self { _folder: folder, store, clock: Arc::default(), projector, registry }
    }

    pub fn log(&self) -> Arc<dyn EventStore> {
        Arc::new(self.store.clone())
    }

    pub fn checkpoints(&self) -> Arc<dyn Checkpoints> {
        Arc::new(self.store.clone())
    }

    pub fn clock_port(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    pub async fn lease(&self) -> Lease {
        self.store
            .acquire(READ_MODELS, "test", self.clock.now(), TTL)
            .await
            .unwrap()
            .expect("the lease is free")
    }

    /// Folds the rest of the log in batches of this size.
    pub async fn fold(&mut self, batch: usize) {
        self.fold_in_batches(|| batch).await;
    }

    /// Folds the rest of the log in batches of varying sizes.
    pub async fn fold_in_batches(&mut self, mut batch: impl FnMut() -> usize) {
        let lease = self.lease().await;
        let mut from = self.store.checkpoint(READ_MODELS).await.unwrap();
        loop {
            let events = self.store.read_log(from, batch()).await.unwrap();
            let Some(to) = events.last().map(|event| event.position) else { break };
            let progress = self.projector.consume(Batch { lease: &lease, from, to, events: &events }).await;
            assert!(matches!(progress, Ok(Progress::Advanced)), "{progress:?}");
            from = to;
        }
        self.store.release(&lease).await.unwrap();
    }

    /// Every row of due work, the earliest first.
    pub async fn due_work(&self) -> Vec<DueItem> {
        let far = self.clock.now() + TimeDelta::days(1000);
        let items = self.store.claim_due(far, 10_000, far + TimeDelta::days(1)).await.unwrap();
        self.store.give_back(&items).await.unwrap();
        items
    }

    pub async fn execute(&self, stream: &StreamId, command: Command) -> Result<(), Rejection> {
        let metadata = Metadata::default();
        let decide = |name: &Loaded<Ownership>, at| {
            name.state
                .decide(command.clone(), &Policy::default(), at)
                .map(|events| Plan::write(stream, events))
        };
        match execute(&self.store, &*self.clock, stream.clone(), &metadata, decide).await {
            Ok(_) => Ok(()),
            Err(ExecuteError::Rejected(rejection)) => Err(rejection),
            Err(error) => panic!("{error}"),
        }
    }

    pub async fn initiate(&self, claim: u8, name: &str, workspace: u8) {
        self.execute(&apex(name), initiate(claim, name, workspace)).await.unwrap();
    }

    /// Claims a name and requests its verification.
    pub async fn start_verifying(&self, claim: u8, name: &str, workspace: u8) {
        self.initiate(claim, name, workspace).await;
        self.execute(&apex(name), Command::RequestVerification { claim_id: id(claim) }).await.unwrap();
    }

    pub async fn check(&self, claim: u8, name: &str, attempt: u32, found: Outcome, holder: Option<Outcome>) {
        self.execute(&apex(name), record_check(claim, attempt, found, holder)).await.unwrap();
    }

    /// The lifecycle series that are not 0, without the buckets of histograms.
    pub fn claim_metrics(&self) -> Vec<String> {
        let text = TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap();
        let names = ["deed_claims_", "deed_contests_", "deed_time_to_verify_seconds_sum"];
        let lines = text.lines().filter(|line| names.iter().any(|name| line.starts_with(name)));
        lines.filter(|line| !line.ends_with(" 0")).map(str::to_owned).collect()
    }

    pub async fn last_position(&self) -> Position {
        self.store.last_position().await.unwrap()
    }
}

pub fn projector_of(store: &SqliteStore) -> Projector {
    projector_with_metrics(store, &Registry::new())
}

pub fn projector_with_metrics(store: &SqliteStore, registry: &Registry) -> Projector {
    let metrics = ProjectorMetrics::register(registry).unwrap();
    Projector::new(Arc::new(store.clone()), VISIBILITY, metrics)
}

pub fn id(claim: u8) -> ClaimId {
    ClaimId::from_bytes([claim; 16])
}

pub fn apex(name: &str) -> StreamId {
    StreamId::ownership(Scope::Apex, &name.parse().unwrap())
}

pub fn initiate(claim: u8, name: &str, workspace: u8) -> Command {
    let name: DomainName = name.parse().unwrap();
    Command::Initiate {
        claim_id: id(claim),
        holder: Holder::Workspace { workspace_id: format!("ws_{workspace}").parse().unwrap() },
        requested: name.clone(),
        region: None,
        challenge: ChallengeTemplates::default().challenge(
            Scope::Apex,
            &name,
            Token::from_bytes([claim; 20]),
        ),
        if_held_by_another: IfHeldByAnother::Challenge,
        name,
    }
}

pub fn record_check(claim: u8, attempt: u32, outcome: Outcome, holder_outcome: Option<Outcome>) -> Command {
    let seen = Observation {
        name: "_deed.acme.com".to_owned(),
        queries: 1,
        took_ms: 1,
        vantage: "test".to_owned(),
        ..Observation::default()
    };
    Command::RecordCheck {
        claim_id: id(claim),
        attempt,
        outcome,
        holder_outcome,
        evidence: Evidence::from(&seen),
    }
}

pub fn not_proven(code: Code) -> Outcome {
    Outcome::NotProven(Diagnosis::from_text(code, "seen", "mend"))
}

pub fn absent() -> Outcome {
    let absent = not_proven(Code::RecordNotFound);
    assert_eq!(Code::RecordNotFound.class(), Class::Waiting);
    absent
}

pub fn seconds(n: i64) -> TimeDelta {
    TimeDelta::seconds(n)
}

pub fn start() -> DateTime<Utc> {
    FakeClock::default().now()
}
