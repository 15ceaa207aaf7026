//! HTTP as a good client speaks it: the same request with the same key until there is an answer.
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;

use super::balancer::Balancer;
use super::notes::Notes;

/// How long an answer is waited for.
const TIMEOUT: Duration = Duration::from_secs(15);
/// The pause before a request is sent again.
const PAUSE: Duration = Duration::from_millis(250);
/// The pause before a request that nobody took is sent to the next process.
const NEXT: Duration = Duration::from_millis(20);
/// The longest pause that a server is obeyed in.
const LONGEST: Duration = Duration::from_secs(2);

/// What became of requests.
#[derive(Debug, Default)]
pub struct Counters {
    pub sent: AtomicU64,
    pub answered: AtomicU64,
    pub unavailable: AtomicU64,
    /// Of these, those that do not say when to come again.
    pub unavailable_for_ever: AtomicU64,
    pub in_progress: AtomicU64,
    pub too_many: AtomicU64,
    pub timeouts: AtomicU64,
    /// No connection was to be had: nothing was sent.
    pub refused: AtomicU64,
    /// Sent, and the connection ended before the whole answer had come.
    pub broken: AtomicU64,
    pub server_errors: AtomicU64,
}

impl Counters {
    /// All of it in one line.
    pub fn told(&self) -> String {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        format!(
            "requests {} · answered {} · 503 {} (without Retry-After {}) · other 5xx {} · 409 in progress {} · 429 {} · \
             timed out {} · connection refused {} · connection cut {}",
            read(&self.sent),
            read(&self.answered),
            read(&self.unavailable),
            read(&self.unavailable_for_ever),
            read(&self.server_errors),
            read(&self.in_progress),
            read(&self.too_many),
            read(&self.timeouts),
            read(&self.refused),
            read(&self.broken),
        )
    }
}

/// One request, the same each time it is sent.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: Method,
    pub path: String,
    pub body: Option<Value>,
    /// Of one's own for each request that changes something.
    pub idempotency_key: Option<String>,
    /// How many seconds the client waits within the request for what comes of it.
    pub wait: u8,
}

/// Speaks to all `api` processes in turn.
pub struct Talk {
    http: reqwest::Client,
    balancer: Balancer,
    pub counters: Counters,
    notes: Notes,
    /// Held for reading by each request of the load, and for writing by whoever wants silence.
    pub gate: RwLock<()>,
    /// Nobody waits for answers any more.
    pub abandon: CancellationToken,
}

/// What to do after an answer, or after none.
enum Next {
    Take(u16, Value),
    Again(Duration),
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Talk {
    pub fn new(balancer: Balancer, notes: Notes) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build()?;
        let counters = Counters::default();
        Ok(Self {
            http,
            balancer,
            counters,
            notes,
            gate: RwLock::default(),
            abandon: CancellationToken::new(),
        })
    }

    /// Asks until there is an answer that trying again would not change; none once nobody waits any more.
    pub async fn ask(&self, key: &str, request: &Request) -> Option<(u16, Value)> {
        let asked = async {
            loop {
                let next = {
                    let _gate = self.gate.read().await;
                    self.once(key, request).await
                };
                match next {
                    Next::Take(status, body) => return (status, body),
                    Next::Again(pause) => tokio::time::sleep(pause).await,
                }
            }
        };
        self.abandon.run_until_cancelled(asked).await
    }

    /// The same for whoever keeps the load silent meanwhile.
    pub async fn ask_alone(&self, key: &str, request: &Request) -> (u16, Value) {
        loop {
            match self.once(key, request).await {
                Next::Take(status, body) => return (status, body),
                Next::Again(pause) => tokio::time::sleep(pause).await,
            }
        }
    }

    async fn once(&self, key: &str, request: &Request) -> Next {
        let Some(api) = self.balancer.pick() else { return Next::Again(PAUSE) };
        let url = format!("http://{api}{}", request.path);
        let mut sending = self
            .http
            .request(request.method.clone(), url)
            .bearer_auth(key)
            .header("prefer", format!("wait={}", request.wait));
        if let Some(idempotency_key) = &request.idempotency_key {
            sending = sending.header("idempotency-key", idempotency_key);
        }
        if let Some(body) = &request.body {
            sending = sending.json(body);
        }
        count(&self.counters.sent);
        let answer = match sending.send().await {
            Ok(answer) => answer,
            Err(error) => return self.no_answer(&error),
        };
        let status = answer.status().as_u16();
        let wait = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        if status == 503 && wait.is_none() {
            count(&self.counters.unavailable_for_ever);
        }
        let wait = wait.map_or(PAUSE, Duration::from_secs).clamp(PAUSE, LONGEST);
        let body = match answer.bytes().await {
            Ok(bytes) => serde_json::from_slice::<Value>(&bytes).unwrap_or_default(),
            Err(error) => return self.no_answer(&error),
        };
        count(&self.counters.answered);
        self.judge(request, status, body, wait)
    }

    fn no_answer(&self, error: &reqwest::Error) -> Next {
        let (counters, connecting) = (&self.counters, error.is_connect());
        count(match error.is_timeout() {
            true => &counters.timeouts,
            false if connecting => &counters.refused,
            false => &counters.broken,
        });
        // What nobody took goes to the next at once.
        Next::Again(if connecting { NEXT } else { PAUSE })
    }

    fn judge(&self, request: &Request, status: u16, body: Value, wait: Duration) -> Next {
        match status {
            // What did not arrive in time, on a machine that is busy with faults, was not begun.
            408 => count(&self.counters.timeouts),
            503 => count(&self.counters.unavailable),
            429 => count(&self.counters.too_many),
            409 if body.to_string().to_lowercase().contains("idempotency_in_progress") => {
                count(&self.counters.in_progress);
            }
            500.. => {
                count(&self.counters.server_errors);
                self.notes
                    .anomaly(&format!("{} {} was answered {status}: {body}", request.method, request.path));
            }
            _ => return Next::Take(status, body),
        }
        Next::Again(wait)
    }

    /// An answer that a good client never gets.
    pub fn unexpected(&self, request: &Request, status: u16, body: &Value) {
        self.notes.anomaly(&format!("{} {} was answered {status}: {body}", request.method, request.path));
    }
}
