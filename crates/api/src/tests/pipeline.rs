//! Tests of the checks and headers that all operations share.
use std::sync::{Arc, Mutex};

use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use actix_web::test::TestRequest;
use deed_claims::Clock as _;
use deed_http::{Rate, RequestError, RequestId};
use deed_store::{Begin, Idempotency as _, KeyHash, KeyScope, Keys as _};
use insta::assert_json_snapshot;
use serde_json::{Value, json};

use crate::testing::{Harness, Setup, TestResponse, with_key};

const CLAIMS: &str = "/v1/domains/claims";
const ACME: &str = "apex:acme.com";

fn claim(name: &str) -> Value {
    json!({ "domain": name })
}

fn code(answer: &TestResponse) -> (u16, &str) {
    (answer.status.as_u16(), answer.body["code"].as_str().unwrap_or_default())
}

async fn post_with(
    harness: &Harness,
    path: &str,
    key: &str,
    idempotency: &str,
    body: &Value,
) -> TestResponse {
    let request =
        TestRequest::post().uri(path).insert_header(("idempotency-key", idempotency)).set_json(body);
    harness.request(with_key(request, key)).await
}

#[actix_web::test]
async fn accepts_api_key_in_three_notations() {
    let harness = Harness::start().await;
    let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    let ask = async |name: &'static str, value: String| {
        let request = TestRequest::get().uri("/v1/domains").insert_header((name, value));
        harness.request(request).await.status.as_u16()
    };
    assert_eq!(ask("authorization", format!("Bearer {key}")).await, 200);
    assert_eq!(ask("authorization", format!("apikey {key}")).await, 200);
    assert_eq!(ask("x-api-key", key.clone()).await, 200);
    assert_eq!(ask("authorization", format!("Basic {key}")).await, 401);
    assert_eq!(ask("authorization", key.clone()).await, 401);
    assert_eq!(ask("authorization", "Bearer ".into()).await, 401);
    assert_eq!(ask("x-api-key", format!("{key}0")).await, 401);
    assert_eq!(ask("x-api-key", "k".repeat(9000)).await, 401);
}

#[actix_web::test]
async fn rejects_repeated_headers() {
    let harness = Harness::start().await;
    let key = harness.service_key(&KeyScope::ALL).await;
    let other = harness.service_key(&KeyScope::ALL).await;
    let ask = async |headers: &[(&'static str, String)]| {
        let mut request = TestRequest::post().uri(CLAIMS).set_json(claim("acme.com"));
        for header in headers {
            request = request.append_header(header.clone());
        }
        harness.request(request).await
    };
    let bearer = |key: &str| ("authorization", format!("Bearer {key}"));
    let bare = |key: &str| ("x-api-key", key.to_owned());
    let workspace = |id: &str| ("deed-workspace", id.to_owned());
    let idempotency = |key: &str| ("idempotency-key", key.to_owned());
    for keys in [[bearer(&key), bearer(&key)], [bare(&key), bare(&other)], [bearer(&key), bare(&other)]] {
        let answer = ask(&[keys.as_slice(), &[workspace("ws_a")]].concat()).await;
        assert_eq!(code(&answer), (401, "UNAUTHORIZED"), "{keys:?}");
        let how = Some("Bearer realm=\"deed\", error=\"invalid_request\"");
        assert_eq!(answer.header("www-authenticate"), how);
    }
    let answer = ask(&[bearer(&key), workspace("ws_a"), workspace("ws_b")]).await;
    assert_eq!(
        (code(&answer), &answer.body["data"]),
        ((400, "WORKSPACE_INVALID"), &json!({ "header": "Deed-Workspace" }))
    );
    let answer = ask(&[bearer(&key), workspace("ws_a"), idempotency("k1"), idempotency("k2")]).await;
    assert_eq!(
        (code(&answer), &answer.body["data"]),
        ((400, "IDEMPOTENCY_KEY_INVALID"), &json!({ "header": "Idempotency-Key" }))
    );
    assert!(harness.load(ACME).await.events.is_empty());
    let same = ask(&[bearer(&key), bare(&key), workspace("ws_a"), idempotency("k1")]).await;
    assert_eq!(same.status, StatusCode::OK);
}

#[actix_web::test]
async fn unauthenticated_requests_get_a_challenge() {
    let harness = Harness::start().await;
    let missing = harness.request(TestRequest::get().uri("/v1/domains")).await;
    assert_json_snapshot!("key_missing", missing.snapshot());
    assert_eq!(missing.header("www-authenticate"), Some("Bearer realm=\"deed\""));

    let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    let found = harness.store.find(KeyHash::of(&key)).await.unwrap().unwrap();
    harness.store.revoke(&found.id, harness.clock.now()).await.unwrap();
    let revoked = harness.get("/v1/domains", &key).await;
    let unknown = harness.get("/v1/domains", "deed_nobody").await;
    assert_json_snapshot!("key_unknown", unknown.snapshot());
    assert_eq!(revoked.text, unknown.text);
    assert_eq!(unknown.header("www-authenticate"), Some("Bearer realm=\"deed\", error=\"invalid_token\""));
}

#[actix_web::test]
async fn checks_run_in_fixed_order() {
    let harness = Harness::start().await;
    let reader = harness.workspace_key("ws_a", &[KeyScope::DomainRead]).await;
    let writer = harness.workspace_key("ws_a", &[KeyScope::DomainWrite]).await;
    let bad = || TestRequest::post().uri(CLAIMS).set_payload("{");
    assert_eq!(code(&harness.request(bad()).await), (401, "UNAUTHORIZED"));
    let forbidden = harness.request(with_key(bad(), &reader)).await;
    assert_json_snapshot!("scope_missing", forbidden.snapshot());
    assert_eq!(code(&harness.request(with_key(bad(), &writer)).await), (400, "INVALID_BODY"));
    // The size of the body is checked before the resource is looked up.
    let large = TestRequest::delete().uri("/v1/domains/acme.com").set_payload(vec![b'x'; 16 * 1024 + 1]);
    let large = harness.request(with_key(large, &writer)).await;
    assert_json_snapshot!("too_large", large.snapshot());
    let fits = TestRequest::delete().uri("/v1/domains/acme.com").set_payload(vec![b'x'; 16 * 1024]);
    assert_eq!(code(&harness.request(with_key(fits, &writer)).await), (404, "DOMAIN_NOT_FOUND"));
}

#[actix_web::test]
async fn service_key_must_name_its_workspace() {
    let harness = Harness::start().await;
    let service = harness.service_key(&KeyScope::ALL).await;
    let own = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    let ask = async |key: &str, workspace: &str| {
        let request = TestRequest::post().uri(CLAIMS).insert_header(("deed-workspace", workspace));
        harness.request(with_key(request.set_json(claim("acme.com")), key)).await
    };
    assert_json_snapshot!(
        "workspace_required",
        harness.post(CLAIMS, &service, claim("acme.com")).await.snapshot()
    );
    assert_eq!(code(&ask(&service, "a b").await), (400, "WORKSPACE_INVALID"));
    assert_eq!(code(&ask(&own, "ws_b").await), (403, "FORBIDDEN"));
    let (by_service, by_own) = (ask(&service, "ws_a").await, ask(&own, "ws_a").await);
    assert_eq!(by_service.status, StatusCode::OK);
    assert_eq!(by_service.text, by_own.text);
    assert_eq!(harness.ownership(ACME).await.claims.len(), 1);
}

#[actix_web::test]
async fn routing_errors_follow_the_contract_of_the_path() {
    let harness = Harness::start().await;
    let ask = async |request: TestRequest| harness.request(request).await;
    assert_json_snapshot!("unknown_a", ask(TestRequest::get().uri("/v1/nothing")).await.snapshot());
    assert_json_snapshot!(
        "unknown_b",
        ask(TestRequest::get().uri("/v1/apps/x/y/z/%E2%80%AE")).await.snapshot()
    );
    let put = ask(TestRequest::put().uri("/v1/domains/acme.com")).await;
    assert_json_snapshot!("not_allowed_a", put.snapshot());
    assert_eq!(put.header("allow"), Some("DELETE, GET"));
    let patch = ask(TestRequest::patch().uri("/v1/apps")).await;
    assert_json_snapshot!("not_allowed_b", patch.snapshot());
    assert_eq!(patch.header("allow"), Some("GET, POST"));
    // The contract follows the decoded path.
    let encoded = ask(TestRequest::put().uri("/v1/%61pps")).await;
    assert_eq!(encoded.body["error"]["type"], "MethodNotAllowedError", "{}", encoded.text);
    let encoded = ask(TestRequest::get().uri("/v1/%61pps/x/y/z")).await;
    assert_eq!(encoded.body["error"]["code"], "unknown_route", "{}", encoded.text);
    let options = ask(TestRequest::with_uri("/v1/domains").method(actix_web::http::Method::OPTIONS)).await;
    assert_eq!((options.status.as_u16(), options.header("allow")), (405, Some("GET, POST")));
    let head = ask(TestRequest::with_uri("/v1/domains").method(actix_web::http::Method::HEAD)).await;
    assert_eq!((head.status.as_u16(), head.header("allow")), (405, Some("GET, POST")));
    for answer in [put, patch, options] {
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert!(answer.header("x-request-id").is_some());
    }
}

#[actix_web::test]
async fn literal_path_segment_wins_over_parameter() {
    let harness = Harness::start().await;
    let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    assert_eq!(
        code(&harness.post("/v1/domains/claims/verify", &key, json!({})).await),
        (400, "INVALID_BODY")
    );
    assert_eq!(harness.get("/v1/domains/claims", &key).await.body["data"], json!([]));
}

#[actix_web::test]
async fn request_id_and_trace_reach_response_and_log() {
    let harness = Harness::start().await;
    let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = TestRequest::post()
        .uri(CLAIMS)
        .insert_header(("x-request-id", "mine-1"))
        .insert_header(("traceparent", trace))
        .set_json(claim("acme.com"));
    let answer = harness.request(with_key(request, &key)).await;
    assert_eq!(answer.header("x-request-id"), Some("mine-1"));
    assert_eq!(answer.header("traceparent"), Some(trace));
    let metadata = &harness.load(ACME).await.events[0].metadata;
    assert_eq!(metadata.request_id.as_deref(), Some("mine-1"));
    assert_eq!(metadata.traceparent.as_deref(), Some(trace));
    assert!(metadata.actor.as_deref().is_some_and(|actor| actor.starts_with("key_")));
}

#[actix_web::test]
async fn rate_limited_request_has_no_effect_and_gets_retry_after() {
    let mut setup = Setup::default();
    setup.caps.rate = Rate { per_second: 0.5, burst: 2 };
    let harness = Harness::with(setup).await;
    let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    let other = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    let first = harness.get("/v1/domains", &key).await;
    assert_eq!(first.header("ratelimit-policy"), Some("\"key\";q=2;w=4"));
    assert_eq!(first.header("ratelimit"), Some("\"key\";r=1;t=2"));
    harness.get("/v1/domains", &key).await;
    let over = post_with(&harness, CLAIMS, &key, "k1", &claim("acme.com")).await;
    assert_json_snapshot!("rate_limited", over.snapshot());
    assert_eq!(over.header("retry-after"), Some("2"));
    assert!(harness.load(ACME).await.events.is_empty());
    assert_eq!(harness.get("/v1/domains", &other).await.status, StatusCode::OK);
    // A 429 is not stored: the same request succeeds later.
    harness.clock.advance(chrono::Duration::seconds(2));
    let later = post_with(&harness, CLAIMS, &key, "k1", &claim("acme.com")).await;
    assert_eq!((later.status.as_u16(), later.header("idempotency-replayed")), (200, None));
}

#[actix_web::test]
async fn replays_idempotent_response_verbatim() {
    let harness = Harness::start().await;
    let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    let first = post_with(&harness, CLAIMS, &key, "k1", &claim("acme.com")).await;
    // A later change does not alter the stored response.
    harness.delete("/v1/domains/claims/acme.com", &key).await;
    let again = post_with(&harness, CLAIMS, &key, "\"k1\"", &claim("acme.com")).await;
    assert_eq!((again.status, &again.text), (first.status, &first.text));
    assert_eq!(first.header("idempotency-replayed"), None);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(harness.load(ACME).await.events.len(), 2);
    // The position of the replay is at or after that of the effect.
    assert_eq!((first.header("deed-position"), again.header("deed-position")), (Some("1"), Some("2")));
    // After a day the key is forgotten.
    harness.clock.advance(chrono::Duration::hours(25));
    let new = post_with(&harness, CLAIMS, &key, "k1", &claim("acme.com")).await;
    assert_eq!((new.status.as_u16(), new.header("idempotency-replayed")), (200, None));
    assert_ne!(new.text, first.text);
}

#[actix_web::test]
async fn idempotency_key_belongs_to_one_request_and_api_key() {
    let harness = Harness::start().await;
    let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    let other = harness.workspace_key("ws_b", &KeyScope::ALL).await;
    post_with(&harness, CLAIMS, &key, "k1", &claim("acme.com")).await;
    let body = post_with(&harness, CLAIMS, &key, "k1", &claim("acme.org")).await;
    assert_json_snapshot!("idempotency_conflict", body.snapshot());
    let path = post_with(&harness, "/v1/domains", &key, "k1", &claim("acme.com")).await;
    assert_eq!(code(&path), (409, "IDEMPOTENCY_CONFLICT"));
    let theirs = post_with(&harness, CLAIMS, &other, "k1", &claim("acme.com")).await;
    assert_eq!((theirs.status.as_u16(), theirs.header("idempotency-replayed")), (200, None));
    let long = post_with(&harness, CLAIMS, &key, &"k".repeat(101), &claim("acme.com")).await;
    assert_json_snapshot!("idempotency_key_invalid", long.snapshot());
}

#[actix_web::test]
async fn concurrent_duplicates_run_once() {
    let harness = Harness::start().await;
    let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    let body = claim("acme.com");
    let all = futures::future::join_all((0..8).map(|_| post_with(&harness, CLAIMS, &key, "k1", &body))).await;
    let replayed = all.iter().filter(|answer| answer.header("idempotency-replayed").is_some()).count();
    assert_eq!(replayed, 7);
    assert!(all.iter().all(|answer| answer.status == StatusCode::OK && answer.text == all[0].text));
    assert_eq!(harness.load(ACME).await.events.len(), 1);
}

#[actix_web::test]
async fn running_request_is_not_executed_twice() {
    let harness = Harness::start().await;
    let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    let key_id = harness.store.find(KeyHash::of(&key)).await.unwrap().unwrap().id;
    let (body, workspace) = (claim("acme.com"), "ws_a".parse().unwrap());
    let print = deed_http::fingerprint("POST", CLAIMS, &workspace, body.to_string().as_bytes());
    let request = deed_store::RequestKey { key_id, idempotency_key: "k1".into() };
    let now = harness.clock.now();
    let begun =
        harness.store.begin(&request, print, now, now + chrono::Duration::seconds(60), now).await.unwrap();
    assert_eq!(begun, Begin::Started);
    // A stopping service does not wait for the other run.
    harness.state.http.stop.cancel();
    let running = post_with(&harness, CLAIMS, &key, "k1", &body).await;
    assert_json_snapshot!("idempotency_in_progress", running.snapshot());
    assert_eq!(running.header("retry-after"), Some("1"));
    // A run without a response counts as dead after its time limit.
    harness.clock.advance(chrono::Duration::seconds(61));
    assert_eq!(post_with(&harness, CLAIMS, &key, "k1", &body).await.status, StatusCode::OK);
}

#[actix_web::test]
async fn response_is_stored_with_its_effect() {
    let harness = Harness::start().await;
    let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    let answer = post_with(&harness, CLAIMS, &key, "k1", &claim("acme.com")).await;
    let key_id = harness.store.find(KeyHash::of(&key)).await.unwrap().unwrap().id;
    let request = deed_store::RequestKey { key_id, idempotency_key: "k1".into() };
    let print = deed_http::fingerprint(
        "POST",
        CLAIMS,
        &"ws_a".parse().unwrap(),
        claim("acme.com").to_string().as_bytes(),
    );
    let now = harness.clock.now();
    let kept =
        harness.store.begin(&request, print, now, now, now - chrono::Duration::hours(1)).await.unwrap();
    let Begin::Answered(kept) = kept else { panic!("{kept:?}") };
    assert_eq!((kept.status, kept.body), (200, answer.text));
}

#[actix_web::test]
async fn unavailable_store_gives_503_without_details() {
    let harness = Harness::start().await;
    let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    harness.store.close().await.unwrap();
    let answer = harness.get("/v1/domains/acme.com", &key).await;
    assert_json_snapshot!("unavailable", answer.snapshot());
    assert_eq!(answer.header("retry-after"), Some("1"));
}

/// The log output of a test.
#[derive(Clone, Default)]
struct LogBuffer(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for LogBuffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[actix_web::test]
async fn logs_failure_with_request_id_at_warn_level() {
    let harness = Harness::start().await;
    let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    harness.store.close().await.unwrap();
    let written = LogBuffer::default();
    let written_to = written.clone();
    let subscriber =
        tracing_subscriber::fmt().with_env_filter("warn").with_writer(move || written_to.clone()).finish();
    let logging = tracing::subscriber::set_default(subscriber);
    let request = TestRequest::get().uri("/v1/domains/acme.com").insert_header(("x-request-id", "mine-2"));
    harness.request(with_key(request, &key)).await;
    drop(logging);
    let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("a request failed") && text.contains("mine-2"), "{text}");
}

#[test]
fn internal_errors_hide_their_cause() {
    let request = RequestId::of(&HeaderMap::new(), &deed_store::OsEntropy);
    for contract in [&crate::domains::CONTRACT, &crate::apps::CONTRACT] {
        let response =
            (contract.response)(RequestError::internal("reading the vault", "the key is 1234"), &request);
        assert_eq!(response.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(response.body.contains(request.as_str()), "{}", response.body);
        assert!(!response.body.contains("vault") && !response.body.contains("1234"), "{}", response.body);
    }
}

#[actix_web::test]
async fn rejects_invalid_bodies_by_field() {
    let harness = Harness::start().await;
    let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    let ask = async |content_type: &str, body: &str| {
        let request = TestRequest::post().uri(CLAIMS).insert_header(("content-type", content_type));
        harness.request(with_key(request.set_payload(body.to_owned()), &key)).await.snapshot()
    };
    let json = "application/json";
    let answers = [
        ask(json, "").await,
        ask(json, "{").await,
        ask(json, "[]").await,
        ask(json, "{}").await,
        ask(json, r#"{"domain": 7}"#).await,
        ask(json, r#"{"domain": "acme.com", "tenant": "x"}"#).await,
        ask("text/plain", r#"{"domain": "acme.com"}"#).await,
    ];
    assert_json_snapshot!("bad_bodies", answers);
    assert!(harness.load(ACME).await.events.is_empty());
}

#[actix_web::test]
async fn counts_requests_by_operation_and_status_class() {
    let harness = Harness::start().await;
    let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    harness.get("/v1/domains/acme.com", &key).await;
    harness.get("/v1/secret-name.com", &key).await;
    let text = prometheus::TextEncoder::new().encode_to_string(&harness.registry.gather()).unwrap();
    let counted = text.lines().filter(|line| line.starts_with("deed_http_requests_total"));
    // The other series are exported with 0.
    let counted: Vec<_> = counted.filter(|line| !line.ends_with(" 0")).collect();
    assert_eq!(
        counted,
        [
            "deed_http_requests_total{operation=\"GetDomain\",status_class=\"4xx\"} 1",
            "deed_http_requests_total{operation=\"unknown_route\",status_class=\"4xx\"} 1",
        ]
    );
    assert!(!text.contains("secret-name") && !text.contains("acme"));
}

#[actix_web::test]
async fn serves_openapi_and_docs_without_external_assets() {
    let harness = Harness::start().await;
    let ask = async |path: &str| harness.request(TestRequest::get().uri(path)).await;
    let json = ask("/openapi.json").await;
    assert_eq!(json.body["openapi"], "3.1.0");
    assert_eq!(json.text, crate::openapi());
    let folder = ask("/docs").await;
    assert_eq!((folder.status.as_u16(), folder.header("location")), (308, Some("/docs/")));
    assert_eq!(folder.body["data"]["location"], "/docs/");
    let page = ask("/docs/").await;
    assert!(page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
    assert!(
        page.text.contains("swagger-ui") && !page.text.contains("http://") && !page.text.contains("https://")
    );
    let script = ask("/docs/swagger-initializer.js").await;
    assert!(script.text.contains("/openapi.json"), "{}", script.text);
    assert!(script.text.contains(r#""validatorUrl": "none""#), "{}", script.text);
    assert_eq!(code(&ask("/docs/none").await), (404, "UNKNOWN_ROUTE"));
}
