//! The load: a constant stream of names that are claimed, proven, transferred, watched in vain, or left alone.
use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::notes::Notes;
use super::place::WORKSPACES;
use super::talk::{Request, Talk};
use crate::acknowledged::{Acknowledged, Promise};
use crate::clock::now;
use crate::dns::Records;
use crate::journal::Journal;

/// Claims watched in vain at a time; the oldest is withdrawn when there are more.
const IN_VAIN: usize = 40;
/// How much later than asked for some records are published.
const LATE: Duration = Duration::from_secs(3);
/// How many seconds clients wait within a request for a check that cannot prove anything yet.
const WAIT: u8 = 2;
/// How long nothing is asked for until what was written is surely on the disk.
const SILENCE: Duration = Duration::from_secs(1);
/// How often a holder looks whether the name is theirs.
const LOOK: Duration = Duration::from_millis(500);

/// What the load has done so far.
#[derive(Debug, Default)]
pub struct Tally {
    pub claimed: AtomicU64,
    pub requested: AtomicU64,
    pub cancelled: AtomicU64,
    pub transfers: AtomicU64,
    pub contests: AtomicU64,
}

/// Nobody waits for the answer any more.
struct GaveUp;

/// What becomes of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    Prove,
    /// Verification is asked for before the record stands.
    ProveLate,
    Transfer,
    /// The old record is removed only after the new holder asked for verification.
    Contest,
    /// The hostname of an app.
    Host,
    Leave,
    InVain,
}

impl Plan {
    /// Half of the names are proven, a tenth of them twice.
    fn of(number: u64) -> Self {
        match number % 40 {
            0 => Self::Contest,
            1..=3 => Self::Transfer,
            4..=5 => Self::ProveLate,
            6..=17 => Self::Prove,
            18..=20 => Self::Host,
            21..=36 => Self::Leave,
            _ => Self::InVain,
        }
    }
}

/// A claim as the service answered it.
#[derive(Debug, Clone)]
struct Claimed {
    /// Where the answer names it.
    id: Option<String>,
    name: String,
    workspace: usize,
    record: (String, String),
}

impl Claimed {
    fn read(data: &Value, name: &str, workspace: usize) -> Option<Self> {
        let word = |value: &Value| value.as_str().map(str::to_owned);
        let record = (word(&data["record"]["name"])?, word(&data["record"]["value"])?);
        Some(Self { id: Some(word(&data["id"])?), name: name.to_owned(), workspace, record })
    }
}

/// What every name in hand works with.
pub struct Shared {
    pub talk: Talk,
    pub tally: Tally,
    keys: Vec<String>,
    records: Records,
    journal: Journal,
    notes: Notes,
    in_vain: Mutex<VecDeque<Claimed>>,
    /// Values of the records that were published.
    published: Mutex<BTreeSet<String>>,
    /// Names claimed in silence so far.
    silences: AtomicU64,
    /// An app of each tenant.
    apps: Vec<OnceCell<String>>,
}

/// The running load.
pub struct Load {
    pub shared: Arc<Shared>,
    stop: CancellationToken,
    driver: JoinHandle<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Load {
    pub fn start(
        talk: Talk,
        keys: Vec<String>,
        records: Records,
        journal: Journal,
        notes: Notes,
        pace: Pace,
    ) -> Self {
        let shared = Arc::new(Shared {
            talk,
            tally: Tally::default(),
            keys,
            records,
            journal,
            notes,
            in_vain: Mutex::default(),
            published: Mutex::default(),
            silences: AtomicU64::new(0),
            apps: WORKSPACES.iter().map(|_| OnceCell::new()).collect(),
        });
        let stop = CancellationToken::new();
        let driver = tokio::spawn(drive(Arc::clone(&shared), pace, stop.clone()));
        Self { shared, stop, driver }
    }

    /// Takes no new names, and waits until those in hand are done and what is watched in vain is withdrawn; after the
    /// patience, nobody waits for answers any more.
    pub async fn finish(self, patience: Duration) -> Arc<Shared> {
        self.stop.cancel();
        let (shared, mut driver) = (self.shared, self.driver);
        if tokio::time::timeout(patience, &mut driver).await.is_err() {
            shared.notes.anomaly("the clients do not get their answers");
            shared.talk.abandon.cancel();
            let _ = driver.await;
        }
        shared
    }
}

impl Load {
    /// Leaves everything as it is: nobody answers any more.
    pub async fn abandon(self) -> Arc<Shared> {
        self.stop.cancel();
        self.shared.talk.abandon.cancel();
        let _ = self.driver.await;
        self.shared
    }
}

/// How fast.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    pub rate: u32,
    pub in_hand: usize,
    pub seed: u64,
}

async fn drive(shared: Arc<Shared>, pace: Pace, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / pace.rate.max(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let hands = Arc::new(Semaphore::new(pace.in_hand.max(1)));
    let mut names = JoinSet::new();
    for number in 0.. {
        let turn = async {
            ticks.tick().await;
            Arc::clone(&hands).acquire_owned().await
        };
        let Some(Ok(hand)) = stop.run_until_cancelled(turn).await else { break };
        while names.try_join_next().is_some() {}
        let shared = Arc::clone(&shared);
        names.spawn(async move {
            // None: nobody waits for answers any more.
            let _ = shared.one(pace.seed, number, hand).await;
        });
    }
    while names.join_next().await.is_some() {}
    loop {
        let Some(claim) = lock(&shared.in_vain).pop_front() else { break };
        let _ = shared.cancel(&claim).await;
    }
}

impl Shared {
    /// Values of the records that were published.
    pub fn published(&self) -> BTreeSet<String> {
        lock(&self.published).clone()
    }

    /// One name from its claim to its end.
    async fn one(&self, seed: u64, number: u64, hand: OwnedSemaphorePermit) -> Option<()> {
        let name = format!("drill-{seed:x}-{number}.com");
        let workspace = usize::try_from(number).unwrap_or_default() % WORKSPACES.len();
        if Plan::of(number) == Plan::Host {
            return self.host(&format!("docs.{name}"), workspace).await;
        }
        let claim = self.claim(&name, workspace).await?;
        match Plan::of(number) {
            Plan::Host | Plan::Leave => {}
            Plan::InVain => {
                self.request(&claim).await?;
                let oldest = {
                    let mut in_vain = lock(&self.in_vain);
                    in_vain.push_back(claim);
                    if in_vain.len() > IN_VAIN { in_vain.pop_front() } else { None }
                };
                if let Some(oldest) = oldest {
                    self.cancel(&oldest).await?;
                }
            }
            Plan::ProveLate => {
                self.request_and_wait(&claim).await?;
                tokio::time::sleep(LATE).await;
                self.publish(&claim);
            }
            Plan::Prove => {
                self.publish(&claim);
                self.request(&claim).await?;
            }
            plan @ (Plan::Transfer | Plan::Contest) => {
                self.publish(&claim);
                self.request(&claim).await?;
                // While verification takes as long as it takes, others go on.
                drop(hand);
                self.until_verified(&claim).await?;
                self.transfer(&claim, plan).await?;
            }
        }
        Some(())
    }

    /// Another tenant claims a held name and proves it.
    async fn transfer(&self, held: &Claimed, plan: Plan) -> Option<()> {
        let claim = self.claim(&held.name, (held.workspace + 1) % WORKSPACES.len()).await?;
        self.publish(&claim);
        if plan == Plan::Transfer {
            self.unpublish(held);
        }
        self.request(&claim).await?;
        if plan == Plan::Contest {
            tokio::time::sleep(LATE).await;
            self.unpublish(held);
            self.tally.contests.fetch_add(1, Ordering::Relaxed);
        }
        self.tally.transfers.fetch_add(1, Ordering::Relaxed);
        Some(())
    }

    async fn claim(&self, name: &str, workspace: usize) -> Option<Claimed> {
        let path = "/v1/domains/claims".to_owned();
        let request = changing(Method::POST, path, Some(json!({ "domain": name })), name, workspace);
        let body = self.ask(workspace, &request).await?;
        let Some(claim) = Claimed::read(&body["data"], name, workspace) else {
            self.talk.unexpected(&request, 200, &body);
            return None;
        };
        self.acknowledged(Promise::Claimed, &claim);
        self.tally.claimed.fetch_add(1, Ordering::Relaxed);
        Some(claim)
    }

    /// An app gets a hostname and proves it.
    async fn host(&self, name: &str, workspace: usize) -> Option<()> {
        let app = self.apps.get(workspace)?.get_or_try_init(|| self.app(workspace)).await.ok()?;
        let domains = format!("/v1/apps/{app}/domains");
        let request =
            changing(Method::POST, domains.clone(), Some(json!({ "domain": name })), name, workspace);
        let body = self.ask(workspace, &request).await?;
        let Some(token) = body["verification_token"].as_str() else {
            self.talk.unexpected(&request, 200, &body);
            return None;
        };
        let record = (format!("_deed-verify.{name}"), format!("deed-site-verification={token}"));
        let claim = Claimed { id: None, name: name.to_owned(), workspace, record };
        self.acknowledged(Promise::Claimed, &claim);
        self.tally.claimed.fetch_add(1, Ordering::Relaxed);
        self.publish(&claim);
        self.request_at(format!("{domains}/{name}/verify"), &claim).await
    }

    /// Makes a tenant's app.
    async fn app(&self, workspace: usize) -> Result<String, GaveUp> {
        let body = Some(json!({ "name": "Drill" }));
        let request = changing(Method::POST, "/v1/apps".to_owned(), body, "app", workspace);
        let body = self.ask(workspace, &request).await.ok_or(GaveUp)?;
        body["app_id"].as_str().map(str::to_owned).ok_or(GaveUp)
    }

    async fn request(&self, claim: &Claimed) -> Option<()> {
        self.request_at(format!("/v1/domains/claims/{}/verify", claim.name), claim).await
    }

    async fn request_and_wait(&self, claim: &Claimed) -> Option<()> {
        let path = format!("/v1/domains/claims/{}/verify", claim.name);
        let asked = changing(Method::POST, path, None, &claim.name, claim.workspace);
        self.request_by(&Request { wait: WAIT, ..asked }, claim).await
    }

    async fn request_at(&self, path: String, claim: &Claimed) -> Option<()> {
        let request = changing(Method::POST, path, None, &claim.name, claim.workspace);
        self.request_by(&request, claim).await
    }

    async fn request_by(&self, request: &Request, claim: &Claimed) -> Option<()> {
        self.ask(claim.workspace, request).await?;
        self.acknowledged(Promise::Requested, claim);
        self.tally.requested.fetch_add(1, Ordering::Relaxed);
        Some(())
    }

    async fn cancel(&self, claim: &Claimed) -> Option<()> {
        let path = format!("/v1/domains/claims/{}", claim.name);
        let request = changing(Method::DELETE, path, None, &claim.name, claim.workspace);
        self.ask(claim.workspace, &request).await?;
        self.acknowledged(Promise::Cancelled, claim);
        self.tally.cancelled.fetch_add(1, Ordering::Relaxed);
        Some(())
    }

    /// Withdraws a claim that nobody proves any more. It may be over meanwhile.
    pub async fn withdraw(&self, workspace: &str, name: &str) {
        let Some(workspace) = WORKSPACES.iter().position(|known| *known == workspace) else { return };
        let Some(key) = self.keys.get(workspace) else { return };
        let request = changing(Method::DELETE, format!("/v1/domains/claims/{name}"), None, name, workspace);
        let idempotency_key = Some(format!("{name}/{workspace}/withdraw"));
        let request = Request { idempotency_key, ..request };
        self.talk.ask(key, &request).await;
    }

    async fn until_verified(&self, claim: &Claimed) -> Option<()> {
        let path = format!("/v1/domains/claims/{}", claim.name);
        let request = Request { method: Method::GET, path, body: None, idempotency_key: None, wait: 0 };
        loop {
            let body = self.ask(claim.workspace, &request).await?;
            if body["data"]["status"] == "verified" {
                return Some(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Claims a name while nothing else is asked for, has something done, and only then asks for verification.
    pub async fn in_silence(&self, done: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
        let _silence = self.talk.gate.write().await;
        tokio::time::sleep(SILENCE).await;
        let name = format!("drill-silence-{}.com", self.silences.fetch_add(1, Ordering::Relaxed));
        let key = self.keys.first().context("there is a tenant")?;
        let path = "/v1/domains/claims".to_owned();
        let request = changing(Method::POST, path, Some(json!({ "domain": name })), &name, 0);
        let (status, body) = self.talk.ask_alone(key, &request).await;
        let claim = Claimed::read(&body["data"], &name, 0);
        let claim = claim.with_context(|| format!("{name} is claimed: {status} {body}"))?;
        self.acknowledged(Promise::Claimed, &claim);
        done.await?;
        let request = changing(Method::POST, format!("/v1/domains/claims/{name}/verify"), None, &name, 0);
        let (status, body) = self.talk.ask_alone(key, &request).await;
        anyhow::ensure!((200..300).contains(&status), "{name} is verified: {status} {body}");
        self.acknowledged(Promise::Requested, &claim);
        lock(&self.in_vain).push_back(claim);
        Ok(())
    }

    /// The body of a success; anything else may not come, and ends the name.
    async fn ask(&self, workspace: usize, request: &Request) -> Option<Value> {
        let (status, body) = self.talk.ask(self.keys.get(workspace)?, request).await?;
        if (200..300).contains(&status) {
            return Some(body);
        }
        self.talk.unexpected(request, status, &body);
        None
    }

    fn acknowledged(&self, what: Promise, claim: &Claimed) {
        let line = Acknowledged {
            at: now(),
            what,
            record: claim.record.1.clone(),
            claim_id: claim.id.clone(),
            name: claim.name.clone(),
            workspace: WORKSPACES.get(claim.workspace).copied().unwrap_or_default().to_owned(),
        };
        if let Err(error) = self.journal.write(&line) {
            self.notes.anomaly(&format!("what was acknowledged could not be kept: {error:#}"));
        }
    }

    fn publish(&self, claim: &Claimed) {
        lock(&self.published).insert(claim.record.1.clone());
        if let Err(error) = self.records.set(&claim.record.0, &claim.record.1) {
            self.notes.anomaly(&format!("a record could not be published: {error:#}"));
        }
    }

    fn unpublish(&self, claim: &Claimed) {
        if let Err(error) = self.records.clear(&claim.record.0, &claim.record.1) {
            self.notes.anomaly(&format!("a record could not be removed: {error:#}"));
        }
    }
}

/// A request that changes something, with a key of its own.
fn changing(method: Method, path: String, body: Option<Value>, name: &str, workspace: usize) -> Request {
    let what = if path.ends_with("/verify") { "verify" } else { method.as_str() };
    let idempotency_key = Some(format!("{name}/{workspace}/{what}"));
    Request { method, path, body, idempotency_key, wait: 0 }
}
