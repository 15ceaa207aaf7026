//! A store of its own for each test, and a DNS that says what the test wants.
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chrono::TimeDelta;
use deed_claims::{
    ChallengeTemplates, ClaimId, Command, Confirmation, Event, Evidence, ExtendedError, Holder,
    IfHeldByAnother, Observation, Outcome, Policy, ProbeFailure, Rejection, Reply, Scope, Security,
    ServerAnswer, Signatures, SoaSeen, Statement, StreamId, Token, Transport, Validation, name::DomainName,
};
use deed_probe::{Look, Question};
use deed_store::{EventStore, ExecuteError, Loaded, Metadata, Plan, Version, execute, load};
use deed_store_sqlite::{SqliteConfig, SqliteStore};
use deed_testkit::FakeClock;
use prometheus::Registry;
use tempfile::TempDir;
use tokio::sync::Semaphore;

use crate::check::{Settled, Verifier};
use crate::work::{Task, Work};
use crate::{VerifierConfig, VerifierMetrics};

pub const PATIENCE: Duration = Duration::from_secs(20);

/// What every server says of a name.
#[derive(Debug, Clone)]
pub enum Says {
    Values(Vec<String>),
    Nothing,
    Silent,
    /// No record, and no second look.
    Unconfirmed,
    /// What stands there, with signatures that this machine's clock makes out of date up to the root.
    WrongClock(Vec<String>),
    /// The value at two servers of three.
    Most(String),
    Trouble,
    Panic,
}

/// A DNS made of words. Names nobody spoke about do not exist.
pub struct Dns {
    says: Mutex<HashMap<String, Says>>,
    asked: Mutex<Vec<Question>>,
    /// How many looks may end.
    pub gate: Semaphore,
    /// Whether names that have to exist cannot be asked for.
    pub canary: AtomicBool,
}

impl Dns {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            says: Mutex::default(),
            asked: Mutex::default(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            canary: AtomicBool::new(false),
        })
    }

    /// A DNS in which no look ends before the gate is opened.
    pub fn shut() -> Arc<Self> {
        let mut dns = Self::new();
        Arc::get_mut(&mut dns).unwrap().gate = Semaphore::new(0);
        dns
    }

    pub fn say(&self, name: &str, says: Says) {
        self.says.lock().unwrap().insert(name.to_owned(), says);
    }

    /// Publishes the records of these claims, all at one name.
    pub fn publish(&self, name: &str, claims: &[u8]) {
        let values = claims.iter().map(|claim| value(*claim)).collect();
        self.say(&format!("_deed.{name}"), Says::Values(values));
    }

    pub fn asked(&self) -> Vec<Question> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl Look for Dns {
    async fn canary_failing(&self) -> bool {
        self.canary.load(Ordering::SeqCst)
    }

    async fn look(&self, question: Question) -> Observation {
        self.asked.lock().unwrap().push(question.clone());
        self.gate.acquire().await.unwrap().forget();
        let says = self.says.lock().unwrap().get(&question.name).cloned().unwrap_or(Says::Nothing);
        let mut seen = Observation {
            name: question.name.clone(),
            zone: Some("acme.com".to_owned()),
            queries: 3,
            took_ms: 7,
            vantage: "test".to_owned(),
            ..Observation::default()
        };
        let reply = |rcode, values: Vec<Vec<u8>>| Reply::Message {
            rcode,
            authoritative: true,
            truncated: false,
            ede: None,
            statement: match rcode {
                _ if !values.is_empty() => Statement::Values,
                3 => Statement::NoName,
                _ => Statement::NoData,
            },
            signatures: Signatures::Current,
            plain: false,
            soa: values.is_empty().then(|| SoaSeen {
                owner: "acme.com".to_owned(),
                serial: 1,
                negative_ttl: 60,
            }),
            values,
            oversize: false,
        };
        if self.canary.load(Ordering::SeqCst) {
            seen.failure = Some(ProbeFailure::Canary("timeout".to_owned()));
            return seen;
        }
        let reply = match says {
            Says::Values(values) => {
                let values: Vec<_> = values.into_iter().map(String::into_bytes).collect();
                // Every look is confirmed by signatures, presence and absence alike.
                seen.confirmation = secure(Some(0), &values);
                reply(0, values)
            }
            Says::Nothing => {
                seen.confirmation = secure(Some(3), &[]);
                reply(3, vec![])
            }
            Says::Unconfirmed => reply(3, vec![]),
            Says::WrongClock(values) => {
                let values: Vec<_> = values.into_iter().map(String::into_bytes).collect();
                let said = reply(if values.is_empty() { 3 } else { 0 }, values);
                seen.confirmation = wrong_clock(server(3, said.clone()));
                said
            }
            Says::Most(value) => {
                let values = vec![value.into_bytes()];
                seen.confirmation = secure(Some(0), &values);
                seen.servers = vec![server(1, reply(0, values.clone())), server(2, reply(0, values))];
                reply(3, vec![])
            }
            Says::Silent => Reply::Fault(deed_claims::NetworkFault::Timeout),
            Says::Trouble => {
                seen.failure = Some(ProbeFailure::Internal("no descriptors".to_owned()));
                return seen;
            }
            Says::Panic => panic!("the look was to panic"),
        };
        seen.servers.push(server(3, reply));
        seen
    }
}

fn server(n: u8, reply: Reply) -> ServerAnswer {
    let (server, address) = (format!("ns{n}.acme.com"), Some([192, 0, 2, n].into()));
    ServerAnswer { server, address, transport: Transport::Udp, reply, ms: 3 }
}

/// The second look of a zone whose signatures hold.
fn secure(rcode: Option<u16>, values: &[Vec<u8>]) -> Confirmation {
    let validation = Validation {
        by: "self".to_owned(),
        security: Security::Secure,
        rcode,
        values: values.to_vec(),
        ede: None,
        negative_ttl: None,
        ours: false,
        ms: 2,
    };
    Confirmation { validation: Some(validation), ..Confirmation::default() }
}

/// The second look of a prober by whose clock even the root's signatures are over: the servers repeat themselves.
fn wrong_clock(again: ServerAnswer) -> Confirmation {
    let ede = ExtendedError { code: 7, text: b"no signature of the root zone is valid".to_vec() };
    let validation = Validation {
        by: "self".to_owned(),
        security: Security::Indeterminate,
        rcode: None,
        values: vec![],
        ede: Some(ede),
        negative_ttl: None,
        ours: false,
        ms: 2,
    };
    Confirmation { validation: Some(validation), repeated: Some(vec![again]), ..Confirmation::default() }
}

pub struct World {
    _folder: TempDir,
    pub store: SqliteStore,
    pub clock: Arc<FakeClock>,
    pub dns: Arc<Dns>,
    pub config: VerifierConfig,
}

impl World {
    pub async fn new(dns: Arc<Dns>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(SqliteConfig::new(folder.path().join("deed.db"))).await.unwrap();
        let config = VerifierConfig {
            pause: Duration::from_millis(1),
            canary_poll: Duration::from_millis(5),
            ..VerifierConfig::default()
        };
        Self { _folder: folder, store, clock: Arc::default(), dns, config }
    }

    pub fn verifier(&self) -> Verifier {
        self.verifier_on(Arc::new(self.store.clone()))
    }

    pub fn verifier_on(&self, store: Arc<dyn EventStore>) -> Verifier {
        let metrics = VerifierMetrics::register(&Registry::new()).unwrap();
        Verifier::new(store, self.dns.clone(), self.clock.clone(), self.config.clone(), metrics)
    }

    /// Does one piece of work as if its message had come.
    pub async fn work(&self, claim: u8, name: &str, task: Task) -> Settled {
        self.verifier().work(&work(claim, name, task)).await.unwrap()
    }

    pub async fn check(&self, claim: u8, name: &str, attempt: u32) -> Settled {
        self.work(claim, name, Task::Check { attempt }).await
    }

    pub async fn give(&self, stream: &StreamId, command: Command) -> Result<(), Rejection> {
        let (streams, metadata) = ([stream.clone()], Metadata::default());
        let done = execute(&self.store, &*self.clock, &streams, &metadata, |loaded: &[Loaded], at| {
            let events = loaded[0].ownership().decide(command.clone(), &Policy::default(), at)?;
            let events = events.into_iter().map(Event::from).collect();
            Ok(Plan { writes: vec![(stream.clone(), events)], receipt: None, result: () })
        });
        match done.await {
            Ok(_) => Ok(()),
            Err(ExecuteError::Rejected(rejection)) => Err(rejection),
            Err(error) => panic!("{error}"),
        }
    }

    /// Claims a name and has it watched, with the record that these templates make.
    pub async fn watch_as(&self, templates: &ChallengeTemplates, claim: u8, name: &str) {
        self.claim(templates, &format!("ws_{claim}"), claim, name).await;
    }

    /// The same for a workspace that may have other claims.
    pub async fn watch_for(&self, workspace: &str, claim: u8, name: &str) {
        self.claim(&ChallengeTemplates::default(), workspace, claim, name).await;
    }

    async fn claim(&self, templates: &ChallengeTemplates, workspace: &str, claim: u8, name: &str) {
        let stream = apex(name);
        let name: DomainName = name.parse().unwrap();
        let initiate = Command::Initiate {
            claim_id: id(claim),
            holder: Holder::Workspace { workspace_id: workspace.parse().unwrap() },
            requested: name.clone(),
            region: None,
            challenge: templates.challenge(Scope::Apex, &name, token(claim)),
            if_held_by_another: IfHeldByAnother::Challenge,
            name,
        };
        self.give(&stream, initiate).await.unwrap();
        self.give(&stream, Command::RequestVerification { claim_id: id(claim) }).await.unwrap();
    }

    pub async fn watch(&self, claim: u8, name: &str) {
        self.watch_as(&ChallengeTemplates::default(), claim, name).await;
    }

    /// Claims a name and has it proven without any look.
    pub async fn hold_as(&self, templates: &ChallengeTemplates, claim: u8, name: &str) {
        self.watch_as(templates, claim, name).await;
        self.prove(claim, name, 1).await;
    }

    pub async fn hold(&self, claim: u8, name: &str) {
        self.hold_as(&ChallengeTemplates::default(), claim, name).await;
    }

    pub async fn prove(&self, claim: u8, name: &str, attempt: u32) {
        let seen = Dns::new().look(Question::default()).await;
        let command = Command::RecordCheck {
            claim_id: id(claim),
            attempt,
            outcome: Outcome::Proven,
            holder_outcome: None,
            evidence: Evidence::from(&seen),
        };
        self.give(&apex(name), command).await.unwrap();
    }

    /// The stream so far.
    pub async fn stream(&self, name: &str) -> Loaded {
        load(&self.store, &apex(name)).await.unwrap()
    }

    /// Kinds of the events after a version.
    pub async fn kinds_after(&self, name: &str, version: Version) -> Vec<&'static str> {
        let events = self.store.read_stream(&apex(name), version).await.unwrap();
        events.into_iter().map(|recorded| recorded.event.kind()).collect()
    }
}

pub fn work(claim: u8, name: &str, task: Task) -> Work {
    let metadata = Metadata {
        request_id: Some("evt_1".to_owned()),
        actor: Some("verifier".to_owned()),
        ..Metadata::default()
    };
    Work { stream: apex(name), claim_id: id(claim), task, metadata, trace: None, sent_at: None }
}

pub fn id(claim: u8) -> ClaimId {
    ClaimId::from_bytes([claim; 16])
}

pub fn apex(name: &str) -> StreamId {
    StreamId::ownership(Scope::Apex, &name.parse().unwrap())
}

pub fn token(claim: u8) -> Token {
    Token::from_bytes([claim; 20])
}

/// The value of a claim's record by the default templates.
pub fn value(claim: u8) -> String {
    format!("deed-domain-claim={}", token(claim))
}

pub fn seconds(n: i64) -> TimeDelta {
    TimeDelta::seconds(n)
}
