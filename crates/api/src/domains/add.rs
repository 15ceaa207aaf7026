//! Adds a domain that no other workspace has: `POST /v1/domains`.
use std::sync::Arc;

use deed_claims::name::{DomainName, NameError};
use deed_claims::{IfHeldByAnother, MAX_REGION, Rejection, is_region};
use deed_http::{ContractError, JsonResponse, RequestError, RequestId};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::claim_ref::ClaimRef;
use super::error::{ApiError, ErrorAnswer};
use super::new_claim::{ClaimRequest, TooManyClaims, TooManyClaimsOnName, claim};
use super::view::{ClaimView, DomainBody, Success};
use crate::call::{Call, unexpected};

/// The domain to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DomainAddRequest {
    /// The name, such as `acme.com` or `send.acme.com`.
    #[schema(example = "acme.com")]
    domain: String,
    /// Kept and shown again, nothing more; without one the deployment's is shown.
    #[serde(default)]
    #[schema(max_length = 64, pattern = "^[ -~]*$")]
    region: Option<String>,
}

/// Why a domain is not added.
#[derive(Debug, thiserror::Error)]
pub enum AddDomainError {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("the field `region` has at most {MAX_REGION} printable ASCII characters")]
    Region,
    /// Another workspace has the name; the response never says which.
    #[error("{domain} is in use by another workspace: claim it with POST /v1/domains/claims")]
    Claimable { domain: DomainName, root: DomainName },
    #[error(transparent)]
    TooManyClaims(#[from] TooManyClaims),
    #[error(transparent)]
    TooManyClaimsOnName(#[from] TooManyClaimsOnName),
}

impl ContractError for AddDomainError {
    fn response(&self, request: &RequestId) -> JsonResponse {
        let answer = match self {
            Self::Request(error) => ErrorAnswer::of_request(error, request),
            Self::Name(error) => error.into(),
            Self::Region => ErrorAnswer::invalid_field("region"),
            Self::Claimable { domain, root } => ErrorAnswer::conflict(
                "DOMAIN_CLAIMABLE",
                json!({
                    "domain": domain,
                    "rootDomain": root,
                    "claim": { "method": "POST", "path": "/v1/domains/claims" },
                }),
            ),
            Self::TooManyClaims(error) => error.into(),
            Self::TooManyClaimsOnName(error) => error.into(),
        };
        answer.response(self)
    }
}

impl AddDomainError {
    fn rejected(rejection: Rejection, claim_ref: &ClaimRef) -> Self {
        match rejection {
            Rejection::HeldByAnother => {
                Self::Claimable { domain: claim_ref.name.clone(), root: claim_ref.root.clone() }
            }
            Rejection::TooManyClaims { limit } => {
                TooManyClaimsOnName { domain: claim_ref.root.clone(), limit }.into()
            }
            other => unexpected(other).into(),
        }
    }
}

/// Add Domain
///
/// Adds a name to this workspace and hands out the TXT record that proves it. Asked again, the answer is the same
/// domain. A name that another workspace has is refused with `DOMAIN_CLAIMABLE`: it can be claimed with
/// `POST /v1/domains/claims`.
#[utoipa::path(
    post,
    path = "/v1/domains",
    operation_id = "AddDomain",
    tag = "Domains",
    request_body = DomainAddRequest,
    responses(
        (status = 200, description = "The domain, new or as it was", body = Success<DomainBody>),
        (status = 409, description = "Another workspace has the name (`DOMAIN_CLAIMABLE`), too many claims are open, or the Idempotency-Key was used before", body = ApiError),
    )
)]
pub async fn add_domain(call: Arc<Call>) -> Result<JsonResponse, AddDomainError> {
    let body: DomainAddRequest = call.json()?;
    if body.region.as_deref().is_some_and(|region| !is_region(region)) {
        return Err(AddDomainError::Region);
    }
    let request = ClaimRequest {
        domain: &body.domain,
        region: body.region.map(Arc::from),
        if_held_by_another: IfHeldByAnother::Refuse,
    };
    let show = |view: ClaimView<'_>| JsonResponse::ok(&Success::of(view.domain()));
    claim(&call, &request, show, AddDomainError::rejected).await
}

#[cfg(test)]
mod tests {
    use deed_diagnosis::Outcome;
    use deed_store::KeyScope;
    use insta::assert_json_snapshot;
    use serde_json::json;

    use crate::testing::Harness;

    #[actix_web::test]
    async fn adds_domain_once_and_keeps_region() {
        let harness = Harness::start().await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        let first =
            harness.post("/v1/domains", &key, json!({ "domain": "acme.com", "region": "eu-west-1" })).await;
        assert_json_snapshot!("domain", first.snapshot());
        let again = harness.post("/v1/domains", &key, json!({ "domain": "acme.com" })).await;
        assert_eq!(again.text, first.text);
    }

    #[actix_web::test]
    async fn domain_without_region_shows_default() {
        let harness = Harness::start().await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        for body in [json!({ "domain": "acme.com" }), json!({ "domain": "acme.org", "region": null })] {
            let added = harness.post("/v1/domains", &key, body).await;
            assert_eq!(added.body["data"]["region"], "default");
        }
        harness.post("/v1/domains/claims", &key, json!({ "domain": "acme.net" })).await;
        let read = harness.get("/v1/domains/acme.net", &key).await;
        assert_eq!(read.body["data"]["region"], "default");
        let verified = harness.verify("/v1/domains/acme.net/verify", &key).await;
        assert_eq!(verified.body["data"]["region"], "default");
        harness.project().await;
        let listed = harness.get("/v1/domains", &key).await;
        let regions: Vec<_> =
            listed.body["data"].as_array().unwrap().iter().map(|row| row["region"].clone()).collect();
        assert_eq!(regions, ["default", "default", "default"]);
        // The region is the default and is not stored with the claim.
        let claims = harness.ownership("apex:acme.net").await.claims;
        assert!(claims.values().all(|claim| claim.region.is_none()));
    }

    #[actix_web::test]
    async fn held_name_is_claimable_and_hides_its_holder() {
        let harness = Harness::start().await;
        let holder = harness.workspace_key("ws_holder", &KeyScope::ALL).await;
        let other = harness.workspace_key("ws_b", &KeyScope::ALL).await;
        harness.post("/v1/domains", &holder, json!({ "domain": "acme.com" })).await;
        harness.verify("/v1/domains/acme.com/verify", &holder).await;
        harness.record_check("apex:acme.com", "ws_holder", Outcome::Proven).await;
        let refused = harness.post("/v1/domains", &other, json!({ "domain": "send.acme.com" })).await;
        assert_json_snapshot!("claimable", refused.snapshot());
        assert!(!refused.text.contains("ws_holder"));
        assert_eq!(harness.ownership("apex:acme.com").await.claims.len(), 1);
        // Its holder gets its own domain.
        let own = harness.post("/v1/domains", &holder, json!({ "domain": "acme.com" })).await;
        assert_eq!((own.status.as_u16(), &own.body["data"]["isVerified"]), (200, &json!(true)));
    }

    #[actix_web::test]
    async fn rejects_long_or_unprintable_region() {
        let harness = Harness::start().await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        let body = json!({ "domain": "acme.com", "region": "x".repeat(65) });
        assert_json_snapshot!("region_too_long", harness.post("/v1/domains", &key, body).await.snapshot());
        for bad in ["eu\nwest", "\u{7f}", "\u{202e}eu", "zürich"] {
            let body = json!({ "domain": "acme.com", "region": bad });
            let answer = harness.post("/v1/domains", &key, body).await;
            assert_eq!((answer.status.as_u16(), &answer.body["data"]["field"]), (400, &json!("region")));
        }
        let full = json!({ "domain": "acme.com", "region": " ~".repeat(32) });
        assert_eq!(harness.post("/v1/domains", &key, full).await.status.as_u16(), 200);
    }
}
