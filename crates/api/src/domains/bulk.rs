//! Requests checks of many claims at once: `POST /v1/domains/claims/verify`.
use std::sync::Arc;
use std::time::Duration;

use deed_http::{ContractError, JsonResponse, RequestError, RequestId};
use deed_store::Position;
use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use tracing::Instrument;
use utoipa::ToSchema;

use super::claim_ref::ClaimRef;
use super::error::ErrorAnswer;
use super::verification::{verify, wait_limit};
use super::verify_claim::VerifyClaimError;
use super::view::{ChallengeBody, Success};
use crate::call::{Call, claim_position};

/// Names in one request at most.
const MAX_ITEMS: usize = 50;
/// Items that are processed at the same time.
const CONCURRENCY: usize = 50;

/// The names to verify.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkVerifyRequest {
    /// Each as the path of a single verification would have it, not encoded.
    #[schema(min_items = 1, max_items = 50)]
    domains: Vec<String>,
}

/// The results, in the order of the request.
#[derive(Debug, Serialize, ToSchema)]
pub struct BulkVerifyBody {
    results: Vec<BulkVerifyItem>,
}

/// What a single verification would have answered.
#[derive(Debug, Serialize, ToSchema)]
pub struct BulkVerifyItem {
    /// As given.
    domain: String,
    success: bool,
    /// The HTTP status a single verification would have had.
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    data: Option<ChallengeBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    code: Option<String>,
}

/// Why no check of any claim is requested.
#[derive(Debug, thiserror::Error)]
pub enum VerifyClaimsError {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("the field `domains` has 1 to {MAX_ITEMS} names")]
    Items,
}

impl ContractError for VerifyClaimsError {
    fn response(&self, request: &RequestId) -> JsonResponse {
        let answer = match self {
            Self::Request(error) => ErrorAnswer::of_request(error, request),
            Self::Items => ErrorAnswer::invalid_field("domains"),
        };
        answer.response(self)
    }
}

/// Verify Domain Claims
///
/// Asks for a check of up to 50 claims, with a result for each. Unlike a single verification it does not wait for
/// the outcomes unless told to with `Prefer: wait=N`.
#[utoipa::path(
    post,
    path = "/v1/domains/claims/verify",
    operation_id = "VerifyDomainClaims",
    tag = "Domains",
    params(("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds for the outcomes")),
    request_body = BulkVerifyRequest,
    responses((status = 200, description = "A result for each name", body = Success<BulkVerifyBody>))
)]
pub async fn verify_claims(call: Arc<Call>) -> Result<JsonResponse, VerifyClaimsError> {
    let body: BulkVerifyRequest = call.json()?;
    if !(1..=MAX_ITEMS).contains(&body.domains.len()) {
        return Err(VerifyClaimsError::Items);
    }
    let wait = wait_limit(&call, Duration::ZERO);
    let results = stream::iter(body.domains)
        .map(|domain| item(&call, domain, wait))
        .buffered(CONCURRENCY)
        .collect::<Vec<_>>()
        .await;
    // An internal error fails the whole request, which can be repeated as a whole.
    let results = results.into_iter().collect::<Result<Vec<_>, RequestError>>()?;
    let (results, positions): (Vec<_>, Vec<_>) = results.into_iter().unzip();
    let body = Success::of(BulkVerifyBody { results });
    let response = JsonResponse::ok(&body)?.at(positions.into_iter().flatten().max());
    Ok(if call.wait.is_some() { response.waited(wait) } else { response })
}

/// The result for one name, and the position of its claim.
async fn item(
    call: &Call,
    domain: String,
    wait: Duration,
) -> Result<(BulkVerifyItem, Option<Position>), RequestError> {
    let verified = async {
        let claim_ref = ClaimRef::parse(call, &domain)?;
        let verified = verify(call, &claim_ref, wait, ClaimRef::claim::<VerifyClaimError>).await?;
        let (claim_id, status, data) =
            verified.show(&claim_ref, |status, view| Ok((view.claim.id, status, view.challenge())))?;
        let loaded = call.load(&claim_ref.stream).await?;
        Ok((status, data, claim_position(call, &loaded, claim_id).await?))
    };
    let span = tracing::error_span!("claim.verify", claim = tracing::field::Empty);
    match verified.instrument(span).await {
        Ok((status, data, position)) => {
            let (success, status) = (true, status.as_u16());
            let item = BulkVerifyItem { domain, success, status, data: Some(data), error: None, code: None };
            Ok((item, position))
        }
        Err(VerifyClaimError::Request(error)) => Err(error),
        Err(e) => {
            let ErrorAnswer { status, code, .. } = e.answer(&call.request);
            let (success, status, error) = (false, status.as_u16(), e.to_string());
            let item =
                BulkVerifyItem { domain, success, status, data: None, error: Some(error), code: Some(code) };
            Ok((item, None))
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use deed_store::KeyScope;
    use insta::assert_json_snapshot;
    use serde_json::{Value, json};

    use crate::testing::{Harness, with_key};

    const BULK: &str = "/v1/domains/claims/verify";

    #[actix_web::test]
    async fn returns_one_result_per_name_in_order() {
        let harness = Harness::start().await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        let other = harness.workspace_key("ws_b", &KeyScope::ALL).await;
        harness.post("/v1/domains/claims", &key, json!({ "domain": "acme.com" })).await;
        harness.post("/v1/domains/claims", &other, json!({ "domain": "theirs.com" })).await;
        let body = json!({ "domains": ["acme.com", "theirs.com", "none.com", "not a name"] });
        let answer = harness.post(BULK, &key, body).await;
        assert_json_snapshot!("results", answer.snapshot());
        assert!(
            harness.ownership("apex:acme.com").await.claims.values().all(|claim| claim.pending.is_some())
        );
        assert!(
            harness.ownership("apex:theirs.com").await.claims.values().all(|claim| claim.pending.is_none())
        );
    }

    #[actix_web::test]
    async fn bulk_response_has_position_and_applied_wait() {
        let harness = Harness::start().await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        for name in ["acme.com", "acme.org"] {
            harness.post("/v1/domains/claims", &key, json!({ "domain": name })).await;
        }
        let body = json!({ "domains": ["acme.org", "none.com", "acme.com"] });
        let request = TestRequest::post().uri(BULK).insert_header(("prefer", "wait=0")).set_json(body);
        let answer = harness.request(with_key(request, &key)).await;
        assert_eq!(answer.header("deed-position"), Some("4"));
        assert_eq!(answer.header("preference-applied"), Some("wait=0"));
        let none = harness.post(BULK, &key, json!({ "domains": ["none.com"] })).await;
        assert_eq!((none.header("deed-position"), none.header("preference-applied")), (None, None));
    }

    #[actix_web::test]
    async fn accepts_one_to_fifty_names() {
        let harness = Harness::start().await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        let names = |count: usize| -> Vec<Value> { (0..count).map(|i| json!(format!("n{i}.com"))).collect() };
        assert_json_snapshot!(
            "no_names",
            harness.post(BULK, &key, json!({ "domains": [] })).await.snapshot()
        );
        let over = harness.post(BULK, &key, json!({ "domains": names(51) })).await;
        assert_eq!((over.status.as_u16(), &over.body["data"]["field"]), (400, &json!("domains")));
        let full = harness.post(BULK, &key, json!({ "domains": names(50) })).await;
        assert_eq!(full.body["data"]["results"].as_array().unwrap().len(), 50);
    }
}
