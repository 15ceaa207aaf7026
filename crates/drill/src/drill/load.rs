//! The load: a constant stream of names that are claimed, proven, transferred, withdrawn or left pending.
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

use super::api_client::{ApiClient, Request};
use super::infrastructure::WORKSPACES;
use super::notes::Notes;
use crate::acknowledged::{Acknowledged, Promise};
use crate::clock::now;
use crate::dns::Records;
use crate::journal::Journal;

/// Unproven claims at a time; the oldest is withdrawn beyond that.
const IN_VAIN: usize = 40;
/// The delay of late records.
const LATE: Duration = Duration::from_secs(3);
/// Seconds that clients wait for a check that cannot succeed yet.
const WAIT: u8 = 2;
/// The pause without requests after which all writes are on disk.
const SILENCE: Duration = Duration::from_secs(1);
/// The polling interval for a verification.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Counters of the load.
#[derive(Debug, Default)]
pub struct LoadCounters {
    pub claimed: AtomicU64,
    pub requested: AtomicU64,
    pub cancelled: AtomicU64,
    pub transfers: AtomicU64,
    pub contests: AtomicU64,
}

/// The request was abandoned.
struct Abandoned;

/// The scenario of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scenario {
    Prove,
    /// Verification is requested before the record is published.
    ProveLate,
    Transfer,
    /// The old record is removed after the new holder has requested verification.
    Contest,
    /// The hostname of an app.
    Host,
    Leave,
    InVain,
}

impl Scenario {
    /// The distribution: half of the names are proven, a tenth of them twice.
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

/// A claim from a response.
#[derive(Debug, Clone)]
struct Claimed {
    /// The id, if the response has it.
    id: Option<String>,
    name: String,
    workspace: usize,
    record: (String, String),
}

impl Claimed {
    fn read(data: &Value, name: &str, workspace: usize) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let record = (text(&data["record"]["name"])?, text(&data["record"]["value"])?);
        Some(Self { id: Some(text(&data["id"])?), name: name.to_owned(), workspace, record })
    }
}

/// The shared state of all names.
pub struct LoadContext {
    pub client: ApiClient,
    pub counters: LoadCounters,
    keys: Vec<String>,
    records: Records,
    journal: Journal,
    notes: Notes,
    in_vain: Mutex<VecDeque<Claimed>>,
    /// Values of the records that were published.
    published: Mutex<BTreeSet<String>>,
    /// The number of names claimed while the load was silent.
    silences: AtomicU64,
    /// One app per tenant.
    apps: Vec<OnceCell<String>>,
}

/// The running load.
pub struct Load {
    pub shared: Arc<LoadContext>,
    stop: CancellationToken,
    driver: JoinHandle<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Load {
    pub fn start(
        client: ApiClient,
        keys: Vec<String>,
        records: Records,
        journal: Journal,
        notes: Notes,
        pace: Pace,
    ) -> Self {
        let shared = Arc::new(LoadContext {
            client,
            counters: LoadCounters::default(),
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

    /// Stops taking new names and waits until those in progress are done and unproven claims are withdrawn;
    /// after the timeout requests are abandoned.
    pub async fn finish(self, patience: Duration) -> Arc<LoadContext> {
        self.stop.cancel();
        let (shared, mut driver) = (self.shared, self.driver);
        if tokio::time::timeout(patience, &mut driver).await.is_err() {
            shared.notes.anomaly("the clients do not get their answers");
            shared.client.abandon.cancel();
            let _ = driver.await;
        }
        shared
    }
}

impl Load {
    /// Abandons all requests, because the service is gone.
    pub async fn abandon(self) -> Arc<LoadContext> {
        self.stop.cancel();
        self.shared.client.abandon.cancel();
        let _ = self.driver.await;
        self.shared
    }
}

/// The rate of the load.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    pub rate: u32,
    pub in_hand: usize,
    pub seed: u64,
}

async fn drive(shared: Arc<LoadContext>, pace: Pace, stop: CancellationToken) {
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
            // None when the request was abandoned.
            let _ = shared.one(pace.seed, number, hand).await;
        });
    }
    while names.join_next().await.is_some() {}
    loop {
        let Some(claim) = lock(&shared.in_vain).pop_front() else { break };
        let _ = shared.cancel(&claim).await;
    }
}

impl LoadContext {
    /// Values of the records that were published.
    pub fn published(&self) -> BTreeSet<String> {
        lock(&self.published).clone()
    }

    /// Runs the scenario of one name.
    async fn one(&self, seed: u64, number: u64, hand: OwnedSemaphorePermit) -> Option<()> {
        let name = format!("drill-{seed:x}-{number}.com");
        let workspace = usize::try_from(number).unwrap_or_default() % WORKSPACES.len();
        if Scenario::of(number) == Scenario::Host {
            return self.host(&format!("docs.{name}"), workspace).await;
        }
        let claim = self.claim(&name, workspace).await?;
        match Scenario::of(number) {
            Scenario::Host | Scenario::Leave => {}
            Scenario::InVain => {
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
            Scenario::ProveLate => {
                self.request_and_wait(&claim).await?;
                tokio::time::sleep(LATE).await;
                self.publish(&claim);
            }
            Scenario::Prove => {
                self.publish(&claim);
                self.request(&claim).await?;
            }
            scenario @ (Scenario::Transfer | Scenario::Contest) => {
                self.publish(&claim);
                self.request(&claim).await?;
                // The slot is freed while verification takes its time.
                drop(hand);
                self.until_verified(&claim).await?;
                self.transfer(&claim, scenario).await?;
            }
        }
        Some(())
    }

    /// Another tenant claims a held name and proves it.
    async fn transfer(&self, held: &Claimed, scenario: Scenario) -> Option<()> {
        let claim = self.claim(&held.name, (held.workspace + 1) % WORKSPACES.len()).await?;
        self.publish(&claim);
        if scenario == Scenario::Transfer {
            self.unpublish(held);
        }
        self.request(&claim).await?;
        if scenario == Scenario::Contest {
            tokio::time::sleep(LATE).await;
            self.unpublish(held);
            self.counters.contests.fetch_add(1, Ordering::Relaxed);
        }
        self.counters.transfers.fetch_add(1, Ordering::Relaxed);
        Some(())
    }

    async fn claim(&self, name: &str, workspace: usize) -> Option<Claimed> {
        let path = "/v1/domains/claims".to_owned();
        let request = changing(Method::POST, path, Some(json!({ "domain": name })), name, workspace);
        let body = self.ask(workspace, &request).await?;
        let Some(claim) = Claimed::read(&body["data"], name, workspace) else {
            self.client.unexpected(&request, 200, &body);
            return None;
        };
        self.acknowledged(Promise::Claimed, &claim);
        self.counters.claimed.fetch_add(1, Ordering::Relaxed);
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
            self.client.unexpected(&request, 200, &body);
            return None;
        };
        let record = (format!("_deed-verify.{name}"), format!("deed-site-verification={token}"));
        let claim = Claimed { id: None, name: name.to_owned(), workspace, record };
        self.acknowledged(Promise::Claimed, &claim);
        self.counters.claimed.fetch_add(1, Ordering::Relaxed);
        self.publish(&claim);
        self.request_at(format!("{domains}/{name}/verify"), &claim).await
    }

    /// Creates the app of a tenant.
    async fn app(&self, workspace: usize) -> Result<String, Abandoned> {
        let body = Some(json!({ "name": "Drill" }));
        let request = changing(Method::POST, "/v1/apps".to_owned(), body, "app", workspace);
        let body = self.ask(workspace, &request).await.ok_or(Abandoned)?;
        body["app_id"].as_str().map(str::to_owned).ok_or(Abandoned)
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
        self.counters.requested.fetch_add(1, Ordering::Relaxed);
        Some(())
    }

    async fn cancel(&self, claim: &Claimed) -> Option<()> {
        let path = format!("/v1/domains/claims/{}", claim.name);
        let request = changing(Method::DELETE, path, None, &claim.name, claim.workspace);
        self.ask(claim.workspace, &request).await?;
        self.acknowledged(Promise::Cancelled, claim);
        self.counters.cancelled.fetch_add(1, Ordering::Relaxed);
        Some(())
    }

    /// Withdraws a claim that is not proven any more; it may have ended already.
    pub async fn withdraw(&self, workspace: &str, name: &str) {
        let Some(workspace) = WORKSPACES.iter().position(|known| *known == workspace) else { return };
        let Some(key) = self.keys.get(workspace) else { return };
        let request = changing(Method::DELETE, format!("/v1/domains/claims/{name}"), None, name, workspace);
        let idempotency_key = Some(format!("{name}/{workspace}/withdraw"));
        let request = Request { idempotency_key, ..request };
        self.client.ask(key, &request).await;
    }

    async fn until_verified(&self, claim: &Claimed) -> Option<()> {
        let path = format!("/v1/domains/claims/{}", claim.name);
        let request = Request { method: Method::GET, path, body: None, idempotency_key: None, wait: 0 };
        loop {
            let body = self.ask(claim.workspace, &request).await?;
            if body["data"]["status"] == "verified" {
                return Some(());
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Claims a name while the load is silent, runs `done`, and requests verification.
    pub async fn in_silence(&self, done: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
        let _silence = self.client.gate.write().await;
        tokio::time::sleep(SILENCE).await;
        let name = format!("drill-silence-{}.com", self.silences.fetch_add(1, Ordering::Relaxed));
        let key = self.keys.first().context("there is a tenant")?;
        let path = "/v1/domains/claims".to_owned();
        let request = changing(Method::POST, path, Some(json!({ "domain": name })), &name, 0);
        let (status, body) = self.client.ask_alone(key, &request).await;
        let claim = Claimed::read(&body["data"], &name, 0);
        let claim = claim.with_context(|| format!("{name} is claimed: {status} {body}"))?;
        self.acknowledged(Promise::Claimed, &claim);
        done.await?;
        let request = changing(Method::POST, format!("/v1/domains/claims/{name}/verify"), None, &name, 0);
        let (status, body) = self.client.ask_alone(key, &request).await;
        anyhow::ensure!((200..300).contains(&status), "{name} is verified: {status} {body}");
        self.acknowledged(Promise::Requested, &claim);
        lock(&self.in_vain).push_back(claim);
        Ok(())
    }

    /// The body of a success; any other status is an anomaly and ends the name.
    async fn ask(&self, workspace: usize, request: &Request) -> Option<Value> {
        let (status, body) = self.client.ask(self.keys.get(workspace)?, request).await?;
        if (200..300).contains(&status) {
            return Some(body);
        }
        self.client.unexpected(request, status, &body);
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

/// A request with side effects and its own idempotency key.
fn changing(method: Method, path: String, body: Option<Value>, name: &str, workspace: usize) -> Request {
    let what = if path.ends_with("/verify") { "verify" } else { method.as_str() };
    let idempotency_key = Some(format!("{name}/{workspace}/{what}"));
    Request { method, path, body, idempotency_key, wait: 0 }
}
