//! The operations port: liveness, readiness, metrics, and the question of on-demand-TLS proxies. No key.
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::http::header::{self, HeaderValue};
use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use deed_claims::name::DomainName;
use deed_claims::{Scope, StreamId};
use deed_store::EventStore;
use prometheus::{Registry, TextEncoder};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::query::Query;
use crate::server::run_until;

/// How long readiness and TLS questions wait for the store.
const PATIENCE: Duration = Duration::from_secs(2);

/// Which parts of the process are ready; cloned handles tell the same.
#[derive(Debug, Clone)]
pub struct Readiness(Arc<Mutex<BTreeMap<&'static str, Result<(), String>>>>);

impl Readiness {
    /// None of these parts is ready yet.
    pub fn awaiting(parts: impl IntoIterator<Item = &'static str>) -> Self {
        let parts = parts.into_iter().map(|part| (part, Err("starting".to_owned())));
        Self(Arc::new(Mutex::new(parts.collect())))
    }

    /// A part is ready.
    pub fn ready(&self, part: &'static str) {
        self.set(part, Ok(()));
    }

    /// A part is not ready, and why.
    pub fn unready(&self, part: &'static str, why: impl Into<String>) {
        self.set(part, Err(why.into()));
    }

    fn set(&self, part: &'static str, state: Result<(), String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(part, state);
    }

    /// What keeps the process from being ready, part by part; empty when it is.
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

/// What the operations port tells about.
#[derive(Clone)]
pub struct OpsParts {
    /// Asked for holders of hostnames, and whether it answers at all.
    pub store: Arc<dyn EventStore>,
    /// The parts of the process.
    pub readiness: Readiness,
    /// Everything that is measured.
    pub registry: Registry,
}

/// A bound operations port.
pub struct Ops {
    server: Server,
    addresses: Vec<SocketAddr>,
}

impl Ops {
    /// Binds the address. To be called within a Tokio runtime.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn bind(config: &OpsConfig, parts: OpsParts) -> io::Result<Self> {
        let server = HttpServer::new(move || App::new().configure(|config| configure(config, &parts)))
            .workers(1)
            .shutdown_timeout(1)
            .disable_signals()
            .bind(config.listen)?;
        let addresses = server.addrs();
        Ok(Self { server: server.run(), addresses })
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves until `stop` is cancelled.
    ///
    /// # Errors
    /// When the server ends by itself.
    pub async fn run(self, stop: CancellationToken) -> io::Result<()> {
        run_until(self.server, stop).await
    }
}

pub(crate) fn configure(config: &mut web::ServiceConfig, parts: &OpsParts) {
    let get = |path: &str| web::resource(path).default_service(web::to(not_allowed));
    config
        .app_data(web::Data::new(parts.clone()))
        .service(get("/livez").route(web::get().to(livez)))
        .service(get("/readyz").route(web::get().to(readyz)))
        .service(get("/metrics").route(web::get().to(metrics)))
        .service(get("/v1/tls/ask").route(web::get().to(tls_ask)))
        .default_service(web::to(async || say(StatusCode::NOT_FOUND, &json!({ "error": "there is nothing here" }))));
}

fn say(status: StatusCode, body: &serde_json::Value) -> HttpResponse {
    HttpResponse::build(status).content_type("application/json").body(body.to_string())
}

async fn not_allowed() -> HttpResponse {
    let mut answer = say(StatusCode::METHOD_NOT_ALLOWED, &json!({ "error": "use GET" }));
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
    answer
}

async fn livez() -> HttpResponse {
    say(StatusCode::OK, &json!({ "status": "alive" }))
}

async fn readyz(parts: web::Data<OpsParts>) -> HttpResponse {
    let mut waiting = parts.readiness.waiting_for();
    let asked = tokio::time::timeout(PATIENCE, parts.store.last_position()).await;
    if !matches!(asked, Ok(Ok(_))) {
        waiting.insert("store", "does not answer".to_owned());
    }
    if waiting.is_empty() {
        say(StatusCode::OK, &json!({ "status": "ready" }))
    } else {
        say(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "unready", "waitingFor": waiting }))
    }
}

async fn metrics(parts: web::Data<OpsParts>) -> HttpResponse {
    match TextEncoder::new().encode_to_string(&parts.registry.gather()) {
        Ok(text) => HttpResponse::Ok().content_type(prometheus::TEXT_FORMAT).body(text),
        Err(error) => {
            tracing::error!(%error, "metrics could not be written");
            say(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "error": "metrics could not be written" }))
        }
    }
}

/// Whether a certificate may be asked for: the hostname is held and in service.
async fn tls_ask(parts: web::Data<OpsParts>, req: HttpRequest) -> HttpResponse {
    let query = Query::parse(req.query_string());
    let no = || say(StatusCode::NOT_FOUND, &json!({ "allowed": false }));
    let Some(name) = query.all("domain").next().and_then(|text| DomainName::parse(text).ok()) else { return no() };
    let stream = StreamId::ownership(Scope::Host, &name);
    match tokio::time::timeout(PATIENCE, deed_store::load(&*parts.store, &stream)).await {
        Ok(Ok(loaded)) => {
            let ownership = loaded.ownership();
            let held = ownership.holder_claim().and_then(|claim| claim.held());
            if held.is_some_and(|held| !held.awaits_activation) {
                say(StatusCode::OK, &json!({ "allowed": true }))
            } else {
                no()
            }
        }
        Ok(Err(error)) => {
            tracing::error!(%error, "a TLS question could not be answered");
            say(StatusCode::SERVICE_UNAVAILABLE, &json!({ "error": "the store does not answer" }))
        }
        Err(_) => say(StatusCode::SERVICE_UNAVAILABLE, &json!({ "error": "the store does not answer" })),
    }
}
