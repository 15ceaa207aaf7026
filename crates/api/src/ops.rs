//! The operations port: what every process has, dead letters, on-demand TLS.
use std::io;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use deed_bus::DeadLetters;
use deed_claims::name::DomainName;
use deed_claims::{Ownership, Scope, StreamId};
use deed_http::Query;
use deed_http::ops::{self, Health, Ops, OpsConfig, json_response};
use deed_store::EventStore;
use serde_json::json;

use crate::dead;

/// How long on-demand TLS waits for the store.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

/// The parts that the operations port reports on.
#[derive(Clone)]
pub struct OpsParts {
    /// What every process reports on.
    pub health: Health,
    /// The dead letters.
    pub dead_letters: Arc<dyn DeadLetters>,
}

/// Binds the operations port. To be called within a Tokio runtime.
///
/// # Errors
/// When the address cannot be bound.
pub fn bind(config: &OpsConfig, parts: OpsParts) -> io::Result<Ops> {
    Ops::bind(config, move |routes| configure(routes, &parts))
}

fn configure(config: &mut web::ServiceConfig, parts: &OpsParts) {
    let store: Arc<dyn EventStore> = parts.health.store.clone();
    ops::configure(config, &parts.health);
    dead::configure(config, &parts.dead_letters);
    config
        .app_data(web::Data::from(store))
        .service(ops::resource("/v1/tls/ask", "GET").route(web::get().to(tls_ask)));
}

/// Whether a TLS proxy may request a certificate: the hostname is held and in service.
async fn tls_ask(store: web::Data<dyn EventStore>, req: HttpRequest) -> HttpResponse {
    let query = Query::parse(req.query_string());
    let no = || json_response(StatusCode::NOT_FOUND, &json!({ "allowed": false }));
    let Some(name) = query.all("domain").next().and_then(|text| DomainName::parse(text).ok()) else {
        return no();
    };
    let stream = StreamId::ownership(Scope::Host, &name);
    match tokio::time::timeout(STORE_TIMEOUT, deed_store::load::<Ownership>(&**store, &stream)).await {
        Ok(Ok(loaded)) => {
            let held = loaded.state.holder_claim().and_then(|claim| claim.held());
            if held.is_some_and(|held| !held.awaits_activation) {
                json_response(StatusCode::OK, &json!({ "allowed": true }))
            } else {
                no()
            }
        }
        Ok(Err(error)) => {
            tracing::error!(%error, "a TLS question could not be answered");
            json_response(StatusCode::SERVICE_UNAVAILABLE, &json!({ "error": "the store does not answer" }))
        }
        Err(_) => {
            json_response(StatusCode::SERVICE_UNAVAILABLE, &json!({ "error": "the store does not answer" }))
        }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use actix_web::App;
    use actix_web::body::to_bytes;
    use actix_web::test::{self, TestRequest};
    use deed_http::ReadyMetric;
    use deed_http::ops::Readiness;

    use super::*;
    use crate::testing::Harness;

    pub(crate) fn parts_with(harness: &Harness, dead_letters: Arc<dyn DeadLetters>) -> OpsParts {
        OpsParts {
            health: Health {
                store: Arc::new(harness.store.clone()),
                readiness: Readiness::awaiting(["api"]),
                registry: harness.registry.clone(),
                ready: ReadyMetric::register(&harness.registry).unwrap(),
            },
            dead_letters,
        }
    }

    pub(crate) async fn ask(parts: &OpsParts, request: TestRequest) -> (u16, String) {
        let service = test::init_service(App::new().configure(|config| configure(config, parts))).await;
        let response = test::call_service(&service, request.to_request()).await;
        let status = response.status().as_u16();
        (status, String::from_utf8(to_bytes(response.into_body()).await.unwrap().to_vec()).unwrap())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::Ipv4Addr;

    use actix_web::test::TestRequest;
    use async_trait::async_trait;
    use deed_bus::{Bus as _, InProcess, InProcessConfig, Topology};
    use deed_diagnosis::Outcome;
    use deed_messages::queues;
    use deed_store::{
        Append, AppendError, Appended, KeyScope, Position, RecordedEvent, Unavailable, Version,
    };
    use serde_json::{Value, json};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::watch;
    use tokio_util::sync::CancellationToken;

    use super::testing::{ask, parts_with};
    use super::*;
    use crate::testing::{Harness, Setup, absent};

    fn parts(harness: &Harness) -> OpsParts {
        let bus =
            InProcess::new(Topology::new(queues::EXCHANGE, queues::ALL).unwrap(), InProcessConfig::default());
        parts_with(harness, bus.dead_letters())
    }

    async fn get(parts: &OpsParts, path: &str) -> (u16, String) {
        ask(parts, TestRequest::get().uri(path)).await
    }

    #[actix_web::test]
    async fn readiness_follows_parts_and_store() {
        let harness = Harness::start().await;
        let parts = parts(&harness);
        let (status, body) = get(&parts, "/readyz").await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (status, body),
            (503, json!({ "status": "unready", "waitingFor": { "api": "starting" } }))
        );
        parts.health.readiness.ready("api");
        assert_eq!(get(&parts, "/readyz").await.0, 200);
        parts.health.readiness.unready("api", "stopping");
        assert_eq!(get(&parts, "/readyz").await.0, 503);
        parts.health.readiness.ready("api");
        harness.store.close().await.unwrap();
        let (status, body) = get(&parts, "/readyz").await;
        assert!(status == 503 && body.contains("\"store\""), "{body}");
        // A process without its store is still alive.
        assert_eq!(get(&parts, "/livez").await.0, 200);
    }

    #[actix_web::test]
    async fn head_probe_gets_no_body() {
        let harness = Harness::start().await;
        let parts = parts(&harness);
        let ops = bind(&OpsConfig { listen: (Ipv4Addr::LOCALHOST, 0).into() }, parts.clone()).unwrap();
        let (address, stop) = (ops.addresses()[0], CancellationToken::new());
        let ask = async |method: &str, path: &str| {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            let undated = head.lines().filter(|line| !line.starts_with("date: ")).collect::<BTreeSet<_>>();
            (undated.into_iter().map(str::to_owned).collect::<Vec<_>>(), body.to_owned())
        };
        let asking = async {
            for path in ["/livez", "/readyz"] {
                let ((got, body), (head, none)) = (ask("GET", path).await, ask("HEAD", path).await);
                assert!(!body.is_empty(), "{path}");
                assert_eq!((head, none), (got, String::new()), "{path}");
            }
            parts.health.readiness.ready("api");
            let (head, _) = ask("HEAD", "/readyz").await;
            assert!(head.contains(&"HTTP/1.1 200 OK".to_owned()), "{head:?}");
            let (head, _) = ask("POST", "/livez").await;
            assert!(head.contains(&"allow: GET, HEAD".to_owned()), "{head:?}");
            stop.cancel();
        };
        let (served, ()) = tokio::join!(ops.run(stop.clone()), asking);
        served.unwrap();
    }

    #[actix_web::test]
    async fn serves_metrics_as_prometheus_text() {
        let harness = Harness::start().await;
        harness.request(TestRequest::get().uri("/v1/nothing")).await;
        let (status, text) = get(&parts(&harness), "/metrics").await;
        assert_eq!(status, 200);
        assert!(text.contains("# TYPE deed_http_requests_total counter"), "{text}");
        assert!(text.contains("\ndeed_http_requests_in_flight 0\n"), "{text}");
        for class in ["2xx", "4xx", "5xx"] {
            let series =
                format!("deed_http_requests_total{{operation=\"GetDomain\",status_class=\"{class}\"}} 0\n");
            assert!(text.contains(&series), "{series} is missing in {text}");
        }
    }

    #[actix_web::test]
    async fn ready_metric_follows_readiness() {
        let harness = Harness::start().await;
        let parts = parts(&harness);
        let ready = async || {
            let (_, text) = get(&parts, "/metrics").await;
            let line = text.lines().find_map(|line| line.strip_prefix("deed_ready ")).map(str::to_owned);
            line.unwrap_or_else(|| panic!("deed_ready is missing in {text}"))
        };
        assert_eq!(ready().await, "0");
        parts.health.readiness.ready("api");
        assert_eq!(ready().await, "1");
        harness.store.close().await.unwrap();
        assert_eq!(ready().await, "0");
    }

    /// A store that never answers, like a database that hangs.
    struct HangingStore(deed_store_sqlite::SqliteStore);

    #[async_trait]
    impl EventStore for HangingStore {
        async fn append(&self, _: Append) -> Result<Appended, AppendError> {
            std::future::pending().await
        }
        async fn read_stream(
            &self,
            _: &StreamId,
            _: Version,
            _: usize,
        ) -> Result<Vec<RecordedEvent>, Unavailable> {
            std::future::pending().await
        }
        async fn read_log(&self, _: Position, _: usize) -> Result<Vec<RecordedEvent>, Unavailable> {
            std::future::pending().await
        }
        async fn last_position(&self) -> Result<Position, Unavailable> {
            std::future::pending().await
        }
        fn head(&self) -> watch::Receiver<Position> {
            self.0.head()
        }
    }

    #[actix_web::test]
    async fn hanging_store_does_not_delay_metrics() {
        let harness = Harness::start().await;
        let mut parts = parts(&harness);
        parts.health.store = Arc::new(HangingStore(harness.store.clone()));
        parts.health.readiness.ready("api");
        tokio::time::pause();
        let begun = tokio::time::Instant::now();
        let (status, text) = get(&parts, "/metrics").await;
        assert!(status == 200 && text.contains("\ndeed_ready 0\n"), "{status} {text}");
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        assert_eq!(get(&parts, "/readyz").await.0, 503);
    }

    #[actix_web::test]
    async fn unknown_paths_and_methods_are_rejected_in_json() {
        let harness = Harness::start().await;
        let parts = parts(&harness);
        assert_eq!(
            get(&parts, "/other").await,
            (404, json!({ "error": "there is nothing here" }).to_string())
        );
        let (status, body) = ask(&parts, TestRequest::post().uri("/livez")).await;
        assert_eq!((status, body), (405, json!({ "error": "use GET" }).to_string()));
    }

    #[actix_web::test]
    async fn tls_ask_allows_active_hostnames_only() {
        let mut setup = Setup::default();
        setup.policy.activation = deed_claims::Activation::External;
        let harness = Harness::with(setup).await;
        let (parts, stream) = (parts(&harness), "host:search.acme.com");
        let asked = "/v1/tls/ask?domain=Search.acme.com";
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        assert_eq!(get(&parts, asked).await.0, 404);
        let app = harness.post("/v1/apps", &key, json!({ "name": "Docs" })).await;
        let domains = format!("/v1/apps/{}/domains", app.body["app_id"].as_str().unwrap());
        harness.post(&domains, &key, json!({ "domain": "search.acme.com" })).await;
        harness.verify(&format!("{domains}/search.acme.com/verify"), &key).await;
        harness.record_check(stream, "ws_a", Outcome::Proven).await;
        assert_eq!(get(&parts, asked).await.0, 404, "proven, but the TLS side has not said its word");
        harness.post(&format!("{domains}/search.acme.com/activate"), &key, json!({})).await;
        assert_eq!(get(&parts, asked).await.0, 200);
        harness.clock.advance(chrono::Duration::days(8));
        harness.record_check(stream, "ws_a", absent()).await;
        assert_eq!(get(&parts, asked).await.0, 200, "at risk is still in service");
        harness.delete(&format!("{domains}/search.acme.com"), &key).await;
        assert_eq!(get(&parts, asked).await.0, 404);
        for bad in
            ["/v1/tls/ask", "/v1/tls/ask?domain=", "/v1/tls/ask?domain=x", "/v1/tls/ask?domain=a%20b.com"]
        {
            assert_eq!(get(&parts, bad).await.0, 404, "{bad}");
        }
    }
}
