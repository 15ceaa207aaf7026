//! The fixture for tests of the app contract: a workspace with a key and an app.
use actix_web::test::TestRequest;
use deed_claims::Activation;
use deed_diagnosis::Outcome;
use deed_store::KeyScope;
use serde_json::{Value, json};

use crate::testing::{Harness, Setup, TestResponse, with_key};

/// The hostname most tests are about.
pub const HOST: &str = "search.acme.com";

/// Sends requests to the `Harness` as one workspace.
pub struct Tenant {
    pub workspace: &'static str,
    pub key: String,
    /// `/v1/apps/app_…`
    pub app: String,
}

/// A deployment with external activation.
pub fn external() -> Setup {
    let mut setup = Setup::default();
    setup.policy.activation = Activation::External;
    setup
}

pub fn host(name: &str) -> String {
    format!("host:{name}")
}

impl Tenant {
    /// A workspace with an app.
    pub async fn new(harness: &Harness, workspace: &'static str) -> Self {
        let key = harness.workspace_key(workspace, &KeyScope::ALL).await;
        let app = app(harness, &key, json!({ "name": workspace })).await;
        Self { workspace, key, app }
    }

    pub fn domains(&self) -> String {
        format!("{}/domains", self.app)
    }

    pub fn domain(&self, name: &str) -> String {
        format!("{}/domains/{name}", self.app)
    }

    pub fn app_stream(&self) -> String {
        format!("app:{}", self.app.rsplit('/').next().unwrap())
    }

    pub async fn post(&self, harness: &Harness, path: &str, body: Value) -> TestResponse {
        harness.post(path, &self.key, body).await
    }

    /// Adds a hostname and expects success.
    pub async fn add(&self, harness: &Harness, name: &str) -> Value {
        let answer = self.post(harness, &self.domains(), json!({ "domain": name })).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.body
    }

    /// `POST` without a body to `…/domains/{name}/{verb}`.
    pub async fn post_action(&self, harness: &Harness, name: &str, verb: &str) -> TestResponse {
        let path = format!("{}/{verb}", self.domain(name));
        harness.request(with_key(TestRequest::post().uri(&path), &self.key)).await
    }

    /// Requests verification and records a check that finds the record.
    pub async fn prove(&self, harness: &Harness, name: &str) {
        let answer = self.post_action(harness, name, "verify").await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        harness.record_check(&host(name), self.workspace, Outcome::Proven).await;
    }

    /// A hostname of the app from the list.
    pub async fn listed(&self, harness: &Harness, name: &str) -> Value {
        let list = harness.get(&self.domains(), &self.key).await;
        assert_eq!(list.status, 200, "{}", list.text);
        let domains = list.body["domains"].as_array().unwrap();
        domains.iter().find(|domain| domain["domain"] == name).cloned().unwrap_or_default()
    }
}

/// Creates an app and returns its path.
pub async fn app(harness: &Harness, key: &str, body: Value) -> String {
    let answer = harness.post("/v1/apps", key, body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    format!("/v1/apps/{}", answer.body["app_id"].as_str().unwrap())
}

/// The same request under an idempotency key.
pub fn idempotent(request: TestRequest, key: &str, name: &str) -> TestRequest {
    with_key(request, key).insert_header(("idempotency-key", name))
}
