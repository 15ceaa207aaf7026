//! An HTTP client that repeats a request with the same idempotency key until there is an answer.
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;

use super::balancer::Balancer;
use super::notes::Notes;

/// The timeout of a request.
const TIMEOUT: Duration = Duration::from_secs(15);
/// The pause before a retry.
const RETRY_PAUSE: Duration = Duration::from_millis(250);
/// The pause before a retry after a refused connection.
const CONNECT_RETRY_PAUSE: Duration = Duration::from_millis(20);
/// The upper limit of `Retry-After`.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Counters of requests.
#[derive(Debug, Default)]
pub struct RequestCounters {
    pub sent: AtomicU64,
    pub answered: AtomicU64,
    pub unavailable: AtomicU64,
    /// 503 without `Retry-After`.
    pub unavailable_without_retry_after: AtomicU64,
    pub in_progress: AtomicU64,
    pub too_many: AtomicU64,
    pub timeouts: AtomicU64,
    /// Connection refused; nothing was sent.
    pub refused: AtomicU64,
    /// Sent, but the connection ended before the complete response.
    pub broken: AtomicU64,
    pub server_errors: AtomicU64,
}

impl RequestCounters {
    /// A summary in one line.
    pub fn summary(&self) -> String {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        format!(
            "requests {} · answered {} · 503 {} (without Retry-After {}) · other 5xx {} · 409 in progress {} · 429 {} · \
             timed out {} · connection refused {} · connection cut {}",
            read(&self.sent),
            read(&self.answered),
            read(&self.unavailable),
            read(&self.unavailable_without_retry_after),
            read(&self.server_errors),
            read(&self.in_progress),
            read(&self.too_many),
            read(&self.timeouts),
            read(&self.refused),
            read(&self.broken),
        )
    }
}

/// A request, the same on each attempt.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: Method,
    pub path: String,
    pub body: Option<Value>,
    /// An idempotency key for requests with side effects.
    pub idempotency_key: Option<String>,
    /// Seconds to wait within the request (`Prefer: wait`).
    pub wait: u8,
}

/// A client of all `api` processes, in turn.
pub struct ApiClient {
    http: reqwest::Client,
    balancer: Balancer,
    pub counters: RequestCounters,
    notes: Notes,
    /// Read-locked by requests of the load, write-locked to silence it.
    pub gate: RwLock<()>,
    /// Cancelled to abandon all requests.
    pub abandon: CancellationToken,
}

/// The result of an attempt.
enum AttemptResult {
    Done(u16, Value),
    Retry(Duration),
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl ApiClient {
    pub fn new(balancer: Balancer, notes: Notes) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build()?;
        let counters = RequestCounters::default();
        Ok(Self {
            http,
            balancer,
            counters,
            notes,
            gate: RwLock::default(),
            abandon: CancellationToken::new(),
        })
    }

    /// Repeats a request until a retry would not help; none when abandoned.
    pub async fn ask(&self, key: &str, request: &Request) -> Option<(u16, Value)> {
        let asked = async {
            loop {
                let next = {
                    let _gate = self.gate.read().await;
                    self.attempt(key, request).await
                };
                match next {
                    AttemptResult::Done(status, body) => return (status, body),
                    AttemptResult::Retry(pause) => tokio::time::sleep(pause).await,
                }
            }
        };
        self.abandon.run_until_cancelled(asked).await
    }

    /// Like `ask`, while the load is silenced.
    pub async fn ask_alone(&self, key: &str, request: &Request) -> (u16, Value) {
        loop {
            match self.attempt(key, request).await {
                AttemptResult::Done(status, body) => return (status, body),
                AttemptResult::Retry(pause) => tokio::time::sleep(pause).await,
            }
        }
    }

    async fn attempt(&self, key: &str, request: &Request) -> AttemptResult {
        let Some(api) = self.balancer.pick() else { return AttemptResult::Retry(RETRY_PAUSE) };
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
            count(&self.counters.unavailable_without_retry_after);
        }
        let wait = wait.map_or(RETRY_PAUSE, Duration::from_secs).clamp(RETRY_PAUSE, LONGEST_PAUSE);
        let body = match answer.bytes().await {
            Ok(bytes) => serde_json::from_slice::<Value>(&bytes).unwrap_or_default(),
            Err(error) => return self.no_answer(&error),
        };
        count(&self.counters.answered);
        self.judge(request, status, body, wait)
    }

    fn no_answer(&self, error: &reqwest::Error) -> AttemptResult {
        let (counters, connecting) = (&self.counters, error.is_connect());
        count(match error.is_timeout() {
            true => &counters.timeouts,
            false if connecting => &counters.refused,
            false => &counters.broken,
        });
        // A refused request goes to the next process at once.
        AttemptResult::Retry(if connecting { CONNECT_RETRY_PAUSE } else { RETRY_PAUSE })
    }

    fn judge(&self, request: &Request, status: u16, body: Value, wait: Duration) -> AttemptResult {
        match status {
            // A request that did not arrive in time was not begun.
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
            _ => return AttemptResult::Done(status, body),
        }
        AttemptResult::Retry(wait)
    }

    /// Logs an unexpected response as an anomaly.
    pub fn unexpected(&self, request: &Request, status: u16, body: &Value) {
        self.notes.anomaly(&format!("{} {} was answered {status}: {body}", request.method, request.path));
    }
}
