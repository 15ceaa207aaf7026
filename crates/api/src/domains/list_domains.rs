//! A workspace's domains: `GET /v1/domains`.
use std::sync::Arc;

use deed_claims::Status;
use deed_http::{ContractError, JsonResponse, RequestError, RequestId};

use super::claim_page::{claim_page, statuses};
use super::claim_ref::is_deleted;
use super::error::ErrorAnswer;
use super::view::{ClaimView, DomainBody, Page};
use crate::bodies::schemas::StatusSchema;
use crate::call::Call;

/// Why domains are not listed.
#[derive(Debug, thiserror::Error)]
pub enum ListDomainsError {
    #[error(transparent)]
    Request(#[from] RequestError),
}

impl ContractError for ListDomainsError {
    fn response(&self, request: &RequestId) -> JsonResponse {
        let Self::Request(error) = self;
        ErrorAnswer::of_request(error, request).response(self)
    }
}

/// List Domains
///
/// The domains of this workspace, the newest first. Domains that were deleted are left out.
#[utoipa::path(
    get,
    path = "/v1/domains",
    operation_id = "ListDomains",
    tag = "Domains",
    params(
        ("status" = Option<Vec<StatusSchema>>, Query, style = Form, explode = false, min_items = 1, description = "Only domains with one of these statuses"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Domains on a page; 500 unless given"),
        ("cursor" = Option<String>, Query, pattern = "^[A-Za-z0-9_-]{32}$", description = "The `nextCursor` of the page before"),
        ("atLeast" = Option<u64>, Query, minimum = 0, maximum = 9_007_199_254_740_991_u64, description = "Answers once the list tells of everything up to this `Deed-Position`"),
    ),
    responses((status = 200, description = "A page of domains", body = Page<DomainBody>))
)]
pub async fn list_domains(call: Arc<Call>) -> Result<JsonResponse, ListDomainsError> {
    let given = statuses(&call.query)?;
    let wanted = if given.is_empty() { Status::ALL } else { &given[..] };
    let wanted = wanted.iter().copied().filter(|status| !is_deleted(*status)).collect();
    Ok(claim_page(&call, wanted, as_domain).await?)
}

fn as_domain(view: ClaimView<'_>) -> DomainBody {
    view.domain()
}

#[cfg(test)]
mod tests {
    use deed_store::KeyScope;
    use insta::assert_json_snapshot;
    use serde_json::{Value, json};

    use crate::testing::{Harness, TestResponse};

    fn names(answer: &TestResponse) -> Vec<&str> {
        let rows = answer.body["data"].as_array().unwrap();
        rows.iter().map(|row| row["rootDomain"].as_str().unwrap()).collect()
    }

    async fn three(harness: &Harness) -> String {
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        for name in ["one.com", "two.com", "three.com"] {
            harness.post("/v1/domains", &key, json!({ "domain": name })).await;
            harness.clock.advance(chrono::Duration::seconds(1));
        }
        harness.delete("/v1/domains/one.com", &key).await;
        harness.verify("/v1/domains/two.com/verify", &key).await;
        harness.project().await;
        key
    }

    #[actix_web::test]
    async fn only_domain_list_omits_deleted() {
        let harness = Harness::start().await;
        let key = three(&harness).await;
        let domains = harness.get("/v1/domains", &key).await;
        assert_json_snapshot!("domains", domains.snapshot());
        assert_eq!(
            names(&harness.get("/v1/domains/claims", &key).await),
            ["three.com", "two.com", "one.com"]
        );
        let some = harness.get("/v1/domains/claims?status=verifying,cancelled", &key).await;
        assert_eq!(names(&some), ["two.com", "one.com"]);
        assert_eq!(names(&harness.get("/v1/domains?status=cancelled", &key).await), [""; 0]);
    }

    #[actix_web::test]
    async fn pages_through_claims() {
        let harness = Harness::start().await;
        let key = three(&harness).await;
        let first = harness.get("/v1/domains/claims?limit=2", &key).await;
        assert_eq!(names(&first), ["three.com", "two.com"]);
        let cursor = first.body["nextCursor"].as_str().unwrap();
        let last = harness.get(&format!("/v1/domains/claims?limit=2&cursor={cursor}"), &key).await;
        assert_eq!(names(&last), ["one.com"]);
        assert_eq!(last.body.get("nextCursor"), None);
    }

    #[actix_web::test]
    async fn rejects_bad_and_ignores_unknown_parameters() {
        let harness = Harness::start().await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        let mut answers: Vec<Value> = vec![];
        for query in ["limit=0", "cursor=x", "atLeast=x", "status=gone"] {
            answers.push(harness.get(&format!("/v1/domains?{query}"), &key).await.snapshot());
        }
        assert_json_snapshot!("bad_parameters", answers);
        assert_eq!(harness.get("/v1/domains?page=3", &key).await.status.as_u16(), 200);
    }

    #[actix_web::test]
    async fn list_waits_for_requested_position() {
        let harness = Harness::start().await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        let added = harness.post("/v1/domains", &key, json!({ "domain": "acme.com" })).await;
        let path = format!("/v1/domains?atLeast={}", added.header("deed-position").unwrap());
        let (listed, ()) = futures::join!(harness.get(&path, &key), harness.project());
        assert_eq!(names(&listed), ["acme.com"]);
        // A position beyond the log is rejected without a wait.
        let beyond = harness.get("/v1/domains?atLeast=99", &key).await;
        assert_json_snapshot!("beyond_the_log", beyond.snapshot());
        // The wait is bounded, and a stopping service does not wait.
        harness.state.http.stop.cancel();
        harness.delete("/v1/domains/acme.com", &key).await;
        let behind = harness.get("/v1/domains?atLeast=2", &key).await;
        assert_json_snapshot!("not_caught_up", behind.snapshot());
        assert_eq!(behind.header("retry-after"), Some("1"));
    }
}
