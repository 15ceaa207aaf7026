//! The operations port, without authentication: liveness, readiness, metrics, and what a surface adds.
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, Resource, web};
use deed_store::EventStore;
use prometheus::{Registry, TextEncoder};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::metrics::ReadyMetric;
use crate::server::{Server, ServerConfig, Timeouts};

/// How long readiness waits for the store.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long metrics wait for the store: a scrape must not time out because the store hangs.
const METRICS_TIMEOUT: Duration = Duration::from_millis(500);

/// Which parts of the process are ready; clones share their state.
#[derive(Debug, Clone)]
pub struct Readiness(Arc<Mutex<BTreeMap<&'static str, Result<(), String>>>>);

impl Readiness {
    /// All of these parts are still starting.
    pub fn awaiting(parts: impl IntoIterator<Item = &'static str>) -> Self {
        let parts = parts.into_iter().map(|part| (part, Err("starting".to_owned())));
        Self(Arc::new(Mutex::new(parts.collect())))
    }

    /// Marks a part as ready.
    pub fn ready(&self, part: &'static str) {
        self.set(part, Ok(()));
    }

    /// Marks a part as not ready, with the reason.
    pub fn unready(&self, part: &'static str, why: impl Into<String>) {
        self.set(part, Err(why.into()));
    }

    fn set(&self, part: &'static str, state: Result<(), String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(part, state);
    }

    /// The parts that are not ready, each with the reason; empty when the process is ready.
    pub fn waiting_for(&self) -> BTreeMap<&'static str, String> {
        let parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        parts.iter().filter_map(|(part, state)| Some((*part, state.as_ref().err()?.clone()))).collect()
    }
}

/// Where the operations port listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpsConfig {
    /// The address; port 0 takes any free one.
    pub listen: SocketAddr,
}

/// What the operations port reports on.
#[derive(Clone)]
pub struct Health {
    /// The log, for readiness.
    pub store: Arc<dyn EventStore>,
    /// Readiness of the process.
    pub readiness: Readiness,
    /// All metrics.
    pub registry: Registry,
    /// The readiness metric in the registry.
    pub ready: ReadyMetric,
}

impl Health {
    /// The parts that are not ready, and the store when it does not answer in time.
    async fn waiting_for(&self, timeouts: Duration) -> BTreeMap<&'static str, String> {
        let mut waiting = self.readiness.waiting_for();
        let asked = tokio::time::timeout(timeouts, self.store.last_position()).await;
        if !matches!(asked, Ok(Ok(_))) {
            waiting.insert("store", "does not answer".to_owned());
        }
        waiting
    }
}

/// A bound operations port.
pub struct Ops(Server);

impl Ops {
    /// Binds the address, with more routes than those of every process. To be called within a Tokio runtime.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn bind(
        config: &OpsConfig,
        routes: impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let drain = Duration::from_secs(1);
        let config = ServerConfig { listen: config.listen, workers: 1, drain, timeouts: Timeouts::default() };
        Server::bind(&config, CancellationToken::new(), routes).map(Self)
    }

    /// The addresses that it listens on.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.0.addresses()
    }

    /// Serves until `stop` is cancelled.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn run(self, stop: CancellationToken) -> io::Result<()> {
        self.0.run(stop).await
    }
}

/// The routes of every process.
pub fn configure(config: &mut web::ServiceConfig, health: &Health) {
    // Load balancers probe with HEAD; actix-web drops the body then.
    let probe = |path: &str| resource(path, "GET, HEAD");
    config
        .app_data(web::Data::new(health.clone()))
        .service(probe("/livez").route(web::get().to(livez)).route(web::head().to(livez)))
        .service(probe("/readyz").route(web::get().to(readyz)).route(web::head().to(readyz)))
        .service(resource("/metrics", "GET").route(web::get().to(metrics)))
        .default_service(web::to(async || {
            json_response(StatusCode::NOT_FOUND, &json!({ "error": "there is nothing here" }))
        }));
}

/// A path that answers other methods than those in `allow` with 405.
pub fn resource(path: &str, allow: &'static str) -> Resource {
    web::resource(path).default_service(web::to(move || async move { not_allowed(allow) }))
}

/// A response with a JSON body.
pub fn json_response(status: StatusCode, body: &serde_json::Value) -> HttpResponse {
    HttpResponse::build(status).content_type("application/json").body(body.to_string())
}

fn not_allowed(allow: &'static str) -> HttpResponse {
    let error = format!("use {}", allow.split(',').next().unwrap_or(allow));
    let mut answer = json_response(StatusCode::METHOD_NOT_ALLOWED, &json!({ "error": error }));
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    answer
}

async fn livez() -> HttpResponse {
    json_response(StatusCode::OK, &json!({ "status": "alive" }))
}

async fn readyz(health: web::Data<Health>) -> HttpResponse {
    let waiting = health.waiting_for(STORE_TIMEOUT).await;
    if waiting.is_empty() {
        json_response(StatusCode::OK, &json!({ "status": "ready" }))
    } else {
        json_response(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "unready", "waitingFor": waiting }))
    }
}

async fn metrics(health: web::Data<Health>) -> HttpResponse {
    health.ready.set(health.waiting_for(METRICS_TIMEOUT).await.is_empty());
    match TextEncoder::new().encode_to_string(&health.registry.gather()) {
        Ok(text) => HttpResponse::Ok().content_type(prometheus::TEXT_FORMAT).body(text),
        Err(error) => {
            tracing::error!(%error, "metrics could not be written");
            json_response(
                StatusCode::INTERNAL_SERVER_ERROR,
                &json!({ "error": "metrics could not be written" }),
            )
        }
    }
}
