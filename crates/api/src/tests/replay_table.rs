//! For every response of every changing operation: whether it is replayed to the same request with the same key.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::http::Method;
use actix_web::test::TestRequest;
use async_trait::async_trait;
use deed_claims::{Activation, Command, StreamId};
use deed_diagnosis::Outcome;
use deed_http::Operation;
use deed_store::{
    Append, AppendError, Appended, EventStore, KeyScope, Position, RecordedEvent, Unavailable, Version,
};
use insta::assert_snapshot;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::apps::testing::{HOST, Tenant, app, idempotent};
use crate::routes::operations;
use crate::testing::{Harness, Setup, TestResponse, absent, with_key};

const ACME: &str = "apex:acme.com";
const CLAIMS: &str = "/v1/domains/claims";
const DOMAIN: &str = "/v1/domains/acme.com";
const CLAIM: &str = "/v1/domains/claims/acme.com";
const NO_APP: &str = "/v1/apps/app_aaaaaaaaaaaaaaaa";

/// A request that a test can send more than once.
struct TestCall {
    method: Method,
    path: String,
    body: Option<Value>,
}

impl TestCall {
    fn post(path: impl Into<String>, body: Value) -> Self {
        Self { method: Method::POST, path: path.into(), body: Some(body) }
    }

    fn post_empty(path: impl Into<String>) -> Self {
        Self { method: Method::POST, path: path.into(), body: None }
    }

    fn delete(path: impl Into<String>) -> Self {
        Self { method: Method::DELETE, path: path.into(), body: None }
    }

    async fn send(&self, harness: &Harness, key: &str) -> TestResponse {
        let request = TestRequest::with_uri(&self.path).method(self.method.clone());
        let request = request.insert_header(("prefer", "wait=0"));
        let request = match &self.body {
            Some(body) => request.set_json(body),
            None => request,
        };
        harness.request(idempotent(request, key, "once")).await
    }
}

/// A workspace with an app, and the steps to get every response.
struct ReplayFixture {
    harness: Harness,
    tenant: Tenant,
}

impl ReplayFixture {
    async fn new(operation: &str, status: u16) -> Self {
        let mut setup = Setup::default();
        setup.policy.activation = Activation::External;
        if matches!((operation, status), ("InitiateDomainClaim", 409) | ("AddCustomDomain", 400)) {
            setup.caps.open_claims_per_workspace = 1;
        }
        let harness = Harness::with(setup).await;
        let tenant = Tenant::new(&harness, "ws_a").await;
        Self { harness, tenant }
    }

    async fn claimed(&self) {
        self.harness.post(CLAIMS, &self.tenant.key, json!({ "domain": "acme.com" })).await;
    }

    async fn held(&self) {
        self.held_by("ws_a", &self.tenant.key).await;
    }

    async fn held_by(&self, workspace: &str, key: &str) {
        self.harness.post(CLAIMS, key, json!({ "domain": "acme.com" })).await;
        self.harness.verify("/v1/domains/acme.com/verify", key).await;
        self.harness.record_check(ACME, workspace, Outcome::Proven).await;
    }

    async fn ended(&self) {
        self.claimed().await;
        let claim_id = self.harness.claim_id(ACME, "ws_a").await;
        self.harness.clock.advance(chrono::Duration::days(8));
        self.harness.command(ACME, Command::Expire { claim_id }).await;
    }

    async fn at_the_cap(&self) {
        self.harness.post(CLAIMS, &self.tenant.key, json!({ "domain": "acme.org" })).await;
        self.harness.project().await;
    }

    /// The request to which the operation answers with this status.
    async fn call(&self, operation: &str, status: u16) -> TestCall {
        let acme = || json!({ "domain": "acme.com" });
        match (operation, status) {
            ("AddDomain", 200) => TestCall::post("/v1/domains", acme()),
            ("AddDomain", 400) => TestCall::post("/v1/domains", json!({ "domain": "co.uk" })),
            ("AddDomain", 409) => {
                let other = self.harness.workspace_key("ws_b", &KeyScope::ALL).await;
                self.held_by("ws_b", &other).await;
                TestCall::post("/v1/domains", acme())
            }
            ("InitiateDomainClaim", 409) => {
                self.at_the_cap().await;
                TestCall::post(CLAIMS, acme())
            }
            ("InitiateDomainClaim", 400) => TestCall::post(CLAIMS, json!({ "domain": 7 })),
            ("InitiateDomainClaim", _) => TestCall::post(CLAIMS, acme()),
            ("VerifyDomainClaims", 400) => TestCall::post("/v1/domains/claims/verify", json!({})),
            ("VerifyDomainClaims", _) => {
                TestCall::post("/v1/domains/claims/verify", json!({ "domains": ["acme.com"] }))
            }
            ("VerifyDomain" | "VerifyDomainClaim" | "DeleteDomain" | "CancelDomainClaim", _) => {
                self.asking_about_a_claim(operation, status).await
            }
            _ => self.asking_about_an_app(operation, status).await,
        }
    }

    async fn asking_about_a_claim(&self, operation: &str, status: u16) -> TestCall {
        match (operation, status) {
            (_, 404) => {}
            ("VerifyDomain" | "VerifyDomainClaim" | "DeleteDomain", 200) | ("CancelDomainClaim", 409) => {
                self.held().await;
            }
            (_, 409) => self.ended().await,
            _ => self.claimed().await,
        }
        let name =
            |path: &str| if status == 400 { path.replace("acme.com", "acme") } else { path.to_owned() };
        match operation {
            "VerifyDomain" => TestCall::post_empty(name("/v1/domains/acme.com/verify")),
            "VerifyDomainClaim" => TestCall::post_empty(name("/v1/domains/claims/acme.com/verify")),
            "DeleteDomain" => TestCall::delete(name(DOMAIN)),
            _ => TestCall::delete(name(CLAIM)),
        }
    }

    async fn asking_about_an_app(&self, operation: &str, status: u16) -> TestCall {
        let (harness, tenant) = (&self.harness, &self.tenant);
        let path = if status == 404 { NO_APP } else { &tenant.app };
        let domain = |verb: &str| {
            let name = if status == 422 { "acme" } else { HOST };
            format!("{path}/domains/{name}{verb}")
        };
        match (operation, status) {
            ("CreateApp", 409) => {
                app(harness, &tenant.key, json!({ "name": "One", "slug": "one" })).await;
                TestCall::post("/v1/apps", json!({ "name": "Two", "slug": "one" }))
            }
            ("CreateApp", 422) => TestCall::post("/v1/apps", json!({ "name": "" })),
            ("CreateApp", _) => TestCall::post("/v1/apps", json!({ "name": "One" })),
            ("DeleteApp", _) => TestCall::delete(path),
            ("AddCustomDomain", _) => {
                if status == 400 {
                    self.at_the_cap().await;
                }
                let name = if status == 422 { "co.uk" } else { HOST };
                TestCall::post(format!("{path}/domains"), json!({ "domain": name }))
            }
            ("VerifyCustomDomain", _) => {
                tenant.add(harness, HOST).await;
                if status == 400 {
                    harness.clock.advance(chrono::Duration::hours(73));
                }
                TestCall::post_empty(domain("/verify"))
            }
            ("ActivateCustomDomain", _) => {
                tenant.add(harness, HOST).await;
                if status == 200 {
                    tenant.prove(harness, HOST).await;
                }
                TestCall::post_empty(domain("/activate"))
            }
            ("RemoveCustomDomain", _) => {
                tenant.add(harness, HOST).await;
                TestCall::delete(domain(""))
            }
            other => panic!("{other:?} has no scenario: say how to get this answer"),
        }
    }
}

/// The statuses that each changing operation declares, and its status for an invalid request.
fn declared() -> BTreeMap<String, BTreeSet<u16>> {
    let changing = operations().into_iter().filter(Operation::changes);
    changing
        .map(|operation| {
            let own = operation.docs.responses.responses.keys().filter_map(|status| status.parse().ok());
            // A request with only an app id cannot be invalid.
            let bad = Some(operation.contract.invalid.as_u16()).filter(|_| operation.id != "DeleteApp");
            (operation.id.clone(), own.chain(bad).collect())
        })
        .collect()
}

#[actix_web::test]
async fn replays_only_responses_to_effects() {
    let mut table = String::new();
    for (operation, statuses) in declared() {
        for status in statuses {
            let fixture = ReplayFixture::new(&operation, status).await;
            let call = fixture.call(&operation, status).await;
            let (harness, key) = (&fixture.harness, &fixture.tenant.key);
            let first = call.send(harness, key).await;
            assert_eq!(first.status.as_u16(), status, "{operation}: {}", first.text);
            let after = harness.last_position().await;
            let again = call.send(harness, key).await;
            assert_eq!(harness.last_position().await, after, "{operation} {status} has a second effect");
            let replayed = again.header("idempotency-replayed") == Some("true");
            if replayed {
                assert_eq!((again.status, &again.text), (first.status, &first.text));
            }
            let said = if replayed { "given again" } else { "answered anew" };
            writeln!(table, "{operation} {status}: {said}").unwrap();
            // Stored or not, the key belongs to this request.
            let other = TestCall::post("/v1/apps", json!({ "name": "Another" })).send(harness, key).await;
            let code = other.body["error"]["code"].as_str();
            assert_eq!(
                (other.status.as_u16(), code),
                (409, Some("idempotency_conflict")),
                "{operation} {status}"
            );
        }
    }
    assert_snapshot!("replayed_responses", table);
}

#[actix_web::test]
async fn verification_responses_are_never_replayed() {
    let harness = Harness::start().await;
    let tenant = Tenant::new(&harness, "ws_a").await;
    harness.post(CLAIMS, &tenant.key, json!({ "domain": "acme.com" })).await;
    tenant.add(&harness, HOST).await;
    let bulk = || TestCall::post("/v1/domains/claims/verify", json!({ "domains": ["acme.com"] }));
    let host = || TestCall::post_empty(format!("{}/verify", tenant.domain(HOST)));
    let workspace = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    let claim = TestCall::post_empty("/v1/domains/claims/acme.com/verify");
    assert_eq!(claim.send(&harness, &workspace).await.status, 202);
    harness.record_check(ACME, "ws_a", absent()).await;
    let waiting = claim.send(&harness, &workspace).await;
    assert_eq!((waiting.status.as_u16(), &waiting.body["data"]["attempts"]), (202, &json!(1)));
    let status = |answer: &TestResponse| answer.body["data"]["results"][0]["status"].clone();
    let (bulk_key, host_key) = (
        harness.workspace_key("ws_a", &KeyScope::ALL).await,
        harness.workspace_key("ws_a", &KeyScope::ALL).await,
    );
    assert_eq!(status(&bulk().send(&harness, &bulk_key).await), 202);
    assert_eq!(host().send(&harness, &host_key).await.body["status"], "verifying");
    harness.clock.advance(chrono::Duration::seconds(30));
    claim.send(&harness, &workspace).await;
    harness.record_check(ACME, "ws_a", Outcome::Proven).await;
    harness.record_check("host:search.acme.com", "ws_a", Outcome::Proven).await;
    let proven = claim.send(&harness, &workspace).await;
    assert_eq!((proven.status.as_u16(), proven.header("idempotency-replayed")), (200, None));
    assert_eq!(status(&bulk().send(&harness, &bulk_key).await), 200);
    assert_eq!(host().send(&harness, &host_key).await.body["status"], "active");
    // A name that was proven and then released is not reported as proven.
    harness.delete(DOMAIN, &tenant.key).await;
    let lost = claim.send(&harness, &workspace).await;
    assert_eq!((lost.status.as_u16(), &lost.body["code"]), (409, &json!("CLAIM_ENDED")));
}

#[actix_web::test]
async fn refusals_are_not_replayed() {
    let harness = Harness::start().await;
    let (a, b) = (
        harness.workspace_key("ws_a", &KeyScope::ALL).await,
        harness.workspace_key("ws_b", &KeyScope::ALL).await,
    );
    let add = TestCall::post("/v1/domains", json!({ "domain": "acme.com" }));
    let remove = TestCall::delete("/v1/domains/acme.org");
    harness.post(CLAIMS, &b, json!({ "domain": "acme.com" })).await;
    harness.verify("/v1/domains/acme.com/verify", &b).await;
    harness.record_check(ACME, "ws_b", Outcome::Proven).await;
    assert_eq!(add.send(&harness, &a).await.body["code"], "DOMAIN_CLAIMABLE");
    harness.delete(DOMAIN, &b).await;
    let free = add.send(&harness, &a).await;
    assert_eq!((free.status.as_u16(), &free.body["data"]["status"]), (200, &json!("pending")));
    // From then on there is a response to an effect.
    assert_eq!(add.send(&harness, &a).await.header("idempotency-replayed"), Some("true"));
    assert_eq!(remove.send(&harness, &b).await.status, 404);
    harness.post(CLAIMS, &b, json!({ "domain": "acme.org" })).await;
    assert_eq!(remove.send(&harness, &b).await.status, 200);
}

#[actix_web::test]
async fn equivalent_json_bodies_share_a_response() {
    let harness = Harness::start().await;
    let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    let send = async |body: &'static str| {
        let request = TestRequest::post().uri("/v1/domains").set_payload(body);
        let request = request.insert_header(("content-type", "application/json"));
        harness.request(idempotent(request, &key, "once")).await
    };
    let first = send(r#"{"domain":"acme.com","region":"eu"}"#).await;
    assert_eq!(first.status, 200);
    let again = send("{ \"region\" : \"e\\u0075\",\n \"domain\":\"acme.com\" }").await;
    assert_eq!((again.header("idempotency-replayed"), &again.text), (Some("true"), &first.text));
    let other = send(r#"{"domain":"acme.com","region":"us"}"#).await;
    assert_eq!(other.body["code"], "IDEMPOTENCY_CONFLICT");
}

/// A store that fails once, before or after it has appended.
struct FailingStore {
    store: Arc<dyn EventStore>,
    fails: AtomicBool,
    writes: bool,
}

#[async_trait]
impl EventStore for FailingStore {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let fails = self.fails.swap(false, Ordering::Relaxed);
        if !fails || self.writes {
            let appended = self.store.append(append).await;
            if !fails {
                return appended;
            }
        }
        Err(Unavailable::new("append", std::io::Error::other("the connection broke")).into())
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        after: Version,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, Unavailable> {
        self.store.read_stream(stream, after, limit).await
    }

    async fn read_log(&self, after: Position, limit: usize) -> Result<Vec<RecordedEvent>, Unavailable> {
        self.store.read_log(after, limit).await
    }

    async fn last_position(&self) -> Result<Position, Unavailable> {
        self.store.last_position().await
    }

    fn head(&self) -> watch::Receiver<Position> {
        self.store.head()
    }
}

#[actix_web::test]
async fn retry_after_store_failure_has_one_effect() {
    for writes in [false, true] {
        let mut harness = Harness::start().await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        let state = Arc::get_mut(&mut harness.state).unwrap();
        state.http.store =
            Arc::new(FailingStore { store: state.http.store.clone(), fails: true.into(), writes });
        // Without the idempotency key, the second request would create a second app.
        let create = TestCall::post("/v1/apps", json!({ "name": "One" }));
        assert_eq!(create.send(&harness, &key).await.status, 503);
        let again = create.send(&harness, &key).await;
        assert_eq!(again.status, 200, "{}", again.text);
        assert_eq!(again.header("idempotency-replayed").is_some(), writes);
        assert_eq!(create.send(&harness, &key).await.text, again.text);
        assert_eq!(harness.last_position().await.0, 2);
    }
}

#[actix_web::test]
async fn concurrent_verifications_request_one_check() {
    let harness = Harness::start().await;
    let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    harness.post(CLAIMS, &key, json!({ "domain": "acme.com" })).await;
    let verify = TestCall::post_empty("/v1/domains/claims/acme.com/verify");
    let all = futures::future::join_all((0..8).map(|_| verify.send(&harness, &key))).await;
    assert!(all.iter().all(|answer| answer.status == 202), "{all:?}");
    assert_eq!(harness.load(ACME).await.events.len(), 2);
}

#[actix_web::test]
async fn ignores_stored_202_of_older_versions() {
    let harness = Harness::start().await;
    let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
    harness.post(CLAIMS, &key, json!({ "domain": "acme.com" })).await;
    let verify = TestCall::post_empty("/v1/domains/claims/acme.com/verify");
    assert_eq!(verify.send(&harness, &key).await.status, 202);
    let hash = deed_store::KeyHash::of(&key);
    let key_id = deed_store::Keys::find(&harness.store, hash).await.unwrap().unwrap().id;
    let request = deed_store::RequestKey { key_id, idempotency_key: "once".into() };
    let response = deed_store::StoredResponse { status: 202, body: "{}".into() };
    let receipt = deed_store::Receipt { request, response };
    deed_store::Idempotency::complete(&harness.store, &receipt).await.unwrap();
    harness.record_check(ACME, "ws_a", Outcome::Proven).await;
    let now = verify.send(&harness, &key).await;
    assert_eq!((now.status.as_u16(), now.header("idempotency-replayed")), (200, None));
    let other = with_key(TestRequest::delete().uri(DOMAIN), &key).insert_header(("idempotency-key", "once"));
    assert_eq!(harness.request(other).await.body["code"], "IDEMPOTENCY_CONFLICT");
}
