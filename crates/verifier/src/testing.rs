//! The test fixture: a private store, and a scripted DNS in place of the prober.
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
    ChallengeTemplates, ClaimId, Command, Holder, IfHeldByAnother, Ownership, Policy, Rejection, Scope,
    StreamId, Token, name::DomainName,
};
use deed_diagnosis::{
    Confirmation, Evidence, ExtendedError, Observation, Outcome, ProbeFailure, Reply, Security, ServerAnswer,
    Signatures, SoaSeen, Statement, Transport, Validation,
};
use deed_messages::{VerificationTask, VerificationWork};
use deed_probe::{Probe, Question};
use deed_store::{EventStore, ExecuteError, Loaded, Metadata, Plan, Version, execute, load};
use deed_store_sqlite::{SqliteConfig, SqliteStore};
use deed_testkit::FakeClock;
use prometheus::Registry;
use tempfile::TempDir;
use tokio::sync::Semaphore;

use crate::check::Verifier;
use crate::outcome::WorkOutcome;
use crate::{VerifierConfig, VerifierMetrics};

pub const PATIENCE: Duration = Duration::from_secs(20);

/// The answer of every name server for one name.
#[derive(Debug, Clone)]
pub enum DnsAnswer {
    Values(Vec<String>),
    NxDomain,
    Timeout,
    /// NXDOMAIN without a confirmation.
    Unconfirmed,
    /// These values, whose signatures count as expired up to the root because the local clock is wrong.
    WrongClock(Vec<String>),
    /// The value at two name servers of three.
    Majority(String),
    InternalFailure,
    Panic,
}

/// A scripted DNS. Names without a scripted answer do not exist.
pub struct ScriptedDns {
    answers: Mutex<HashMap<String, DnsAnswer>>,
    questions: Mutex<Vec<Question>>,
    /// How many probes may end.
    pub permits: Semaphore,
    /// Whether the canary fails.
    pub canary_fails: AtomicBool,
}

impl ScriptedDns {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            answers: Mutex::default(),
            questions: Mutex::default(),
            permits: Semaphore::new(Semaphore::MAX_PERMITS),
            canary_fails: AtomicBool::new(false),
        })
    }

    /// A DNS in which every probe waits for one of `permits`.
    pub fn blocked() -> Arc<Self> {
        let mut dns = Self::new();
        Arc::get_mut(&mut dns).unwrap().permits = Semaphore::new(0);
        dns
    }

    pub fn set_answer(&self, name: &str, answer: DnsAnswer) {
        self.answers.lock().unwrap().insert(name.to_owned(), answer);
    }

    /// Publishes the records of these claims, all at one name.
    pub fn publish(&self, name: &str, claims: &[u8]) {
        let values = claims.iter().map(|claim| value(*claim)).collect();
        self.set_answer(&format!("_deed.{name}"), DnsAnswer::Values(values));
    }

    pub fn questions(&self) -> Vec<Question> {
        self.questions.lock().unwrap().clone()
    }
}

#[async_trait]
impl Probe for ScriptedDns {
    async fn canary_failing(&self) -> bool {
        self.canary_fails.load(Ordering::SeqCst)
    }

    async fn probe(&self, question: Question) -> Observation {
        self.questions.lock().unwrap().push(question.clone());
        self.permits.acquire().await.unwrap().forget();
        let answer = self.answers.lock().unwrap().get(&question.name).cloned().unwrap_or(DnsAnswer::NxDomain);
        let mut seen = Observation {
            name: question.name.clone(),
            zone: Some("acme.com".to_owned()),
            queries: 3,
            took_ms: 7,
            vantage: "test".to_owned(),
            ..Observation::default()
        };
        if self.canary_fails.load(Ordering::SeqCst) {
            seen.failure = Some(ProbeFailure::Canary("timeout".to_owned()));
            return seen;
        }
        let reply = match answer {
            DnsAnswer::Values(values) => {
                let values: Vec<_> = values.into_iter().map(String::into_bytes).collect();
                // Presence and absence are both confirmed by signatures.
                seen.confirmation = secure(Some(0), &values);
                reply(0, values)
            }
            DnsAnswer::NxDomain => {
                seen.confirmation = secure(Some(3), &[]);
                reply(3, vec![])
            }
            DnsAnswer::Unconfirmed => reply(3, vec![]),
            DnsAnswer::WrongClock(values) => {
                let values: Vec<_> = values.into_iter().map(String::into_bytes).collect();
                let reply = reply(if values.is_empty() { 3 } else { 0 }, values);
                seen.confirmation = wrong_clock(server(3, reply.clone()));
                reply
            }
            DnsAnswer::Majority(value) => {
                let values = vec![value.into_bytes()];
                seen.confirmation = secure(Some(0), &values);
                seen.servers = vec![server(1, reply(0, values.clone())), server(2, reply(0, values))];
                reply(3, vec![])
            }
            DnsAnswer::Timeout => Reply::Fault(deed_diagnosis::NetworkFault::Timeout),
            DnsAnswer::InternalFailure => {
                seen.failure = Some(ProbeFailure::Internal("no descriptors".to_owned()));
                return seen;
            }
            DnsAnswer::Panic => panic!("the probe was scripted to panic"),
        };
        seen.servers.push(server(3, reply));
        seen
    }
}

/// An authoritative message with these values; without values it is negative.
fn reply(rcode: u16, values: Vec<Vec<u8>>) -> Reply {
    Reply::Message {
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
        soa: values.is_empty().then(|| SoaSeen { owner: "acme.com".to_owned(), serial: 1, negative_ttl: 60 }),
        values,
        oversize: false,
    }
}

fn server(n: u8, reply: Reply) -> ServerAnswer {
    let (server, address) = (format!("ns{n}.acme.com"), Some([192, 0, 2, n].into()));
    ServerAnswer { server, address, transport: Transport::Udp, reply, ms: 3 }
}

/// The confirmation of a zone whose signatures are valid.
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

/// The confirmation of a prober by whose clock even the root's signatures are expired: only the repeated answer.
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

pub struct VerifierFixture {
    _folder: TempDir,
    pub store: SqliteStore,
    pub clock: Arc<FakeClock>,
    pub dns: Arc<ScriptedDns>,
    pub config: VerifierConfig,
}

impl VerifierFixture {
    pub async fn new(dns: Arc<ScriptedDns>) -> Self {
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

    /// Carries out one piece of work.
    pub async fn work(&self, claim: u8, name: &str, task: VerificationTask) -> WorkOutcome {
        self.verifier().work(&work(claim, name, task)).await.unwrap()
    }

    pub async fn check(&self, claim: u8, name: &str, attempt: u32) -> WorkOutcome {
        self.work(claim, name, VerificationTask::Check { attempt }).await
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

    /// Claims a name with these templates and requests its verification.
    pub async fn start_verifying_with(&self, templates: &ChallengeTemplates, claim: u8, name: &str) {
        self.claim(templates, &format!("ws_{claim}"), claim, name).await;
    }

    /// The same for a given workspace, which may have other claims.
    pub async fn start_verifying_for(&self, workspace: &str, claim: u8, name: &str) {
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
        self.execute(&stream, initiate).await.unwrap();
        self.execute(&stream, Command::RequestVerification { claim_id: id(claim) }).await.unwrap();
    }

    pub async fn start_verifying(&self, claim: u8, name: &str) {
        self.start_verifying_with(&ChallengeTemplates::default(), claim, name).await;
    }

    /// Claims a name and records a proof without a probe.
    pub async fn grant_with(&self, templates: &ChallengeTemplates, claim: u8, name: &str) {
        self.start_verifying_with(templates, claim, name).await;
        self.prove(claim, name, 1).await;
    }

    pub async fn grant(&self, claim: u8, name: &str) {
        self.grant_with(&ChallengeTemplates::default(), claim, name).await;
    }

    pub async fn prove(&self, claim: u8, name: &str, attempt: u32) {
        let seen = ScriptedDns::new().probe(Question::default()).await;
        let command = Command::RecordCheck {
            claim_id: id(claim),
            attempt,
            outcome: Outcome::Proven,
            holder_outcome: None,
            evidence: Evidence::from(&seen),
        };
        self.execute(&apex(name), command).await.unwrap();
    }

    /// The claim's stream.
    pub async fn stream(&self, name: &str) -> Loaded<Ownership> {
        load(&self.store, &apex(name)).await.unwrap()
    }

    /// Kinds of the events after a version.
    pub async fn kinds_after(&self, name: &str, version: Version) -> Vec<&'static str> {
        let events = self.store.read_stream(&apex(name), version, usize::MAX).await.unwrap();
        events.into_iter().map(|recorded| recorded.event.kind()).collect()
    }
}

pub fn work(claim: u8, name: &str, task: VerificationTask) -> VerificationWork {
    VerificationWork {
        message_id: "evt_1".to_owned(),
        stream: apex(name),
        claim_id: id(claim),
        task,
        sent_at: None,
        trace: None,
    }
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
