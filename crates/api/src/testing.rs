//! The harness of this crate's tests: the whole pipeline over a real store in a folder of its own, a fake clock,
//! and the parts of other roles that a test needs.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix_web::body;
use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use actix_web::test::{self, TestRequest};
use deed_claims::app::App;
use deed_claims::name::NamePolicy;
use deed_claims::{
    ChallengeTemplates, ClaimId, Clock as _, Command, Entropy, Ownership, Policy, Rejection, StreamId,
    StreamKind, WorkspaceId,
};
use deed_diagnosis::{Code, Diagnosis, Evidence, Outcome};
use deed_http::{Rate, Routes};
use deed_store::{
    Aggregate, AppRow, Changes, Checkpoints, ClaimRow, EventStore, KeyHash, KeyOwner, KeyScope, Keys, Loaded,
    Metadata, NewKey, OwnershipRow, Plan, Position, READ_MODELS, ReadModels, RecordedEvent,
};
use deed_store_sqlite::{SqliteConfig, SqliteStore};
use deed_testkit::FakeClock;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::routes::{description, http_metrics, operations};
use crate::state::{AppState, AppStateParts, Caps};

/// Deterministic random bytes.
#[derive(Default)]
struct SequentialEntropy(AtomicU64);

impl Entropy for SequentialEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), std::io::Error> {
        for chunk in bytes.chunks_mut(32) {
            let number = self.0.fetch_add(1, Ordering::Relaxed);
            chunk.copy_from_slice(&Sha256::digest(number.to_be_bytes())[..chunk.len()]);
        }
        Ok(())
    }
}

/// The settings that a test can change.
pub struct Setup {
    pub policy: Policy,
    pub names: NamePolicy,
    pub caps: Caps,
}

impl Default for Setup {
    fn default() -> Self {
        // High enough that only tests of the rate limit reach it.
        let rate = Rate { per_second: 1000.0, burst: 10_000 };
        let caps = Caps { rate, key_memory: chrono::Duration::zero(), ..Caps::default() };
        Self { policy: Policy::default(), names: NamePolicy::default(), caps }
    }
}

pub struct Harness {
    pub state: Arc<AppState>,
    pub store: SqliteStore,
    pub clock: Arc<FakeClock>,
    pub registry: prometheus::Registry,
    routes: Routes<AppState>,
    _folder: TempDir,
}

/// A response as a client sees it.
#[derive(Debug)]
pub struct TestResponse {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
    pub body: Value,
}

impl TestResponse {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Status and body for a snapshot, with ids and tokens replaced.
    pub fn snapshot(&self) -> Value {
        serde_json::json!({ "status": self.status.as_u16(), "body": redacted(&self.body) })
    }
}

fn redacted(value: &Value) -> Value {
    match value {
        Value::String(text) => {
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let mut out = String::new();
            for piece in text.split_inclusive(|c| !is_word(c)) {
                let word = piece.trim_end_matches(|c| !is_word(c));
                let base32 = |b: u8| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b);
                let prefix = ["clm_", "app_", "req_", "key_"]
                    .into_iter()
                    .find(|prefix| word.strip_prefix(prefix).is_some_and(|rest| rest.len() >= 16));
                match prefix {
                    Some(prefix) => out.extend(["[", prefix, "id]"]),
                    None if word.len() == 32 && word.bytes().all(base32) => out.push_str("[token]"),
                    None => out.push_str(word),
                }
                out.push_str(&piece[word.len()..]);
            }
            Value::String(out)
        }
        Value::Array(items) => items.iter().map(redacted).collect(),
        Value::Object(fields) => fields.iter().map(|(k, v)| (k.clone(), redacted(v))).collect(),
        other => other.clone(),
    }
}

/// The outcome of a check that finds no record.
pub fn absent() -> Outcome {
    Outcome::NotProven(Diagnosis::from_text(Code::RecordNotFound, "There is no record.", "Publish it."))
}

pub fn evidence() -> Evidence {
    Evidence {
        zone: Some("acme.com".into()),
        aliases: vec![],
        servers: vec![],
        confirmation: "none".into(),
        confirmed_by: vec![],
        queries: 3,
        took_ms: 12,
        vantage: "test".into(),
        suffix_list: "test".into(),
        ..Evidence::default()
    }
}

impl Harness {
    pub async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    pub async fn with(setup: Setup) -> Self {
        let folder = TempDir::new().unwrap();
        let store = SqliteStore::open(SqliteConfig::new(folder.path().join("deed.db"))).await.unwrap();
        let clock = Arc::new(FakeClock::default());
        let registry = prometheus::Registry::new();
        let shared = Arc::new(store.clone());
        let state = AppState::new(AppStateParts {
            store: shared.clone(),
            read_models: shared.clone(),
            checkpoints: shared.clone(),
            keys: shared.clone(),
            idempotency: shared,
            clock: clock.clone(),
            entropy: Arc::new(SequentialEntropy::default()),
            names: setup.names,
            policy: setup.policy,
            templates: ChallengeTemplates::default(),
            cname_base: "cname.deed.test".into(),
            default_region: "default".into(),
            caps: setup.caps,
            metrics: http_metrics(&registry).unwrap(),
            leaving: CancellationToken::new(),
            stop: CancellationToken::new(),
        });
        Self {
            state: Arc::new(state),
            store,
            clock,
            registry,
            routes: Routes::new(&description(), operations()),
            _folder: folder,
        }
    }

    /// A key for one workspace.
    pub async fn workspace_key(&self, workspace: &str, scopes: &[KeyScope]) -> String {
        self.key(KeyOwner::Workspace(workspace.parse().unwrap()), scopes).await
    }

    /// A key for any workspace.
    pub async fn service_key(&self, scopes: &[KeyScope]) -> String {
        self.key(KeyOwner::Service, scopes).await
    }

    async fn key(&self, owner: KeyOwner, scopes: &[KeyScope]) -> String {
        let scopes = scopes.iter().copied().collect();
        let new = NewKey::generate("test".into(), owner, scopes, &*self.state.http.entropy, self.clock.now())
            .unwrap();
        self.store.insert(&new.key, KeyHash::of(&new.secret)).await.unwrap();
        new.secret
    }

    /// Sends a request through the whole pipeline without a socket.
    pub async fn request(&self, request: TestRequest) -> TestResponse {
        let (routes, state) = (self.routes.clone(), self.state.clone());
        let service =
            test::init_service(actix_web::App::new().configure(|config| routes.configure(config, &state)))
                .await;
        let response = test::call_service(&service, request.to_request()).await;
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = body::to_bytes(response.into_body()).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        TestResponse { status, headers, text, body }
    }

    pub async fn get(&self, path: &str, key: &str) -> TestResponse {
        self.request(with_key(TestRequest::get().uri(path), key)).await
    }

    pub async fn delete(&self, path: &str, key: &str) -> TestResponse {
        self.request(with_key(TestRequest::delete().uri(path), key)).await
    }

    pub async fn post(&self, path: &str, key: &str, body: Value) -> TestResponse {
        self.request(with_key(TestRequest::post().uri(path), key).set_json(body)).await
    }

    /// Asks for a verification without waiting for its check.
    pub async fn verify(&self, path: &str, key: &str) -> TestResponse {
        let request = TestRequest::post().uri(path).insert_header(("prefer", "wait=0"));
        self.request(with_key(request, key)).await
    }

    pub async fn ownership(&self, stream: &str) -> Ownership {
        self.load(stream).await.state
    }

    pub async fn load(&self, stream: &str) -> Loaded<Ownership> {
        deed_store::load(&self.store, &stream.parse().unwrap()).await.unwrap()
    }

    pub async fn load_app(&self, stream: &str) -> Loaded<App> {
        deed_store::load(&self.store, &stream.parse().unwrap()).await.unwrap()
    }

    pub async fn last_position(&self) -> Position {
        self.store.last_position().await.unwrap()
    }

    /// The newest claim of a workspace on a name.
    pub async fn claim_id(&self, stream: &str, workspace: &str) -> ClaimId {
        let workspace: WorkspaceId = workspace.parse().unwrap();
        let ownership = self.ownership(stream).await;
        let mut own = ownership.claims.values().filter(|claim| *claim.holder.workspace() == workspace);
        own.next_back().unwrap().id
    }

    /// Gives a command to the model, as other roles do.
    pub async fn command(&self, stream: &str, command: Command) {
        let stream: StreamId = stream.parse().unwrap();
        let policy = &self.state.policy;
        deed_store::execute(
            &self.store,
            &*self.clock,
            stream.clone(),
            &Metadata::default(),
            |name: &Loaded<Ownership>, at| {
                let events = name.state.decide(command.clone(), policy, at)?;
                Ok::<_, Rejection>(Plan::write(&stream, events))
            },
        )
        .await
        .unwrap();
    }

    /// Settles the pending attempt of a workspace's claim.
    pub async fn record_check(&self, stream: &str, workspace: &str, outcome: Outcome) {
        self.record_contested_check(stream, workspace, outcome, None).await;
    }

    /// The same with the outcome for the present holder's record.
    pub async fn record_contested_check(
        &self,
        stream: &str,
        workspace: &str,
        outcome: Outcome,
        holder_outcome: Option<Outcome>,
    ) {
        let claim_id = self.claim_id(stream, workspace).await;
        let attempt = self.ownership(stream).await.claims[&claim_id].pending.unwrap().attempt;
        let command =
            Command::RecordCheck { claim_id, attempt, outcome, holder_outcome, evidence: evidence() };
        self.command(stream, command).await;
    }

    /// Folds the log into the read models, as the projector does.
    pub async fn project(&self) {
        let to = self.last_position().await;
        let log = self.store.read_log(Position(0), 10_000).await.unwrap();
        let mut streams = BTreeMap::<StreamId, Vec<RecordedEvent>>::new();
        for event in log {
            streams.entry(event.stream.clone()).or_default().push(event);
        }
        let mut changes = Changes::default();
        for (stream, events) in streams {
            fold(&mut changes, stream, events);
        }
        let lease = self.store.acquire(READ_MODELS, "test", self.clock.now(), Duration::from_mins(1)).await;
        let lease = lease.unwrap().unwrap();
        let from = self.store.checkpoint(READ_MODELS).await.unwrap();
        self.store.apply(&lease, from, to, changes).await.unwrap();
    }
}

fn folded<A: Aggregate>(stream: StreamId, events: Vec<RecordedEvent>) -> Loaded<A> {
    let mut loaded = Loaded::empty(stream);
    loaded.extend(events);
    loaded
}

fn fold(changes: &mut Changes, stream: StreamId, events: Vec<RecordedEvent>) {
    match stream.kind() {
        StreamKind::Apex | StreamKind::Host => {
            let Loaded { stream, version, state, .. } = folded::<Ownership>(stream, events);
            for claim in state.claims.values() {
                changes.claims.push(ClaimRow {
                    stream: stream.clone(),
                    version,
                    name: state.name.clone().unwrap(),
                    scope: claim.holder.scope(),
                    status: claim.status().to_string(),
                    claim: claim.clone(),
                });
            }
            changes.ownerships.push(OwnershipRow { stream, version, state });
        }
        StreamKind::App => {
            let Loaded { stream, version, state, .. } = folded::<App>(stream, events);
            changes.apps.push(AppRow { stream, version, app: state.unwrap() });
        }
        StreamKind::Slug => {}
    }
}

pub fn with_key(request: TestRequest, key: &str) -> TestRequest {
    request.insert_header(("authorization", format!("Bearer {key}")))
}
