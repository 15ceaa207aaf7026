//! Claiming a name: `POST /v1/domains/claims`.
use std::sync::Arc;

use deed_claims::name::NameError;
use deed_claims::{IfHeldByAnother, Rejection};
use deed_http::{ContractError, JsonResponse, RequestError, RequestId};
use serde::Deserialize;
use utoipa::ToSchema;

use super::claim_ref::ClaimRef;
use super::error::{ApiError, ErrorAnswer};
use super::new_claim::{ClaimRequest, TooManyClaims, TooManyClaimsOnName, claim};
use super::view::{ChallengeBody, ClaimView, Success};
use crate::call::{Call, unexpected};

/// The name to claim.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DomainClaimInitiateRequest {
    /// The name, such as `acme.com` or `send.acme.com`. The registrable domain is found by itself.
    #[schema(example = "send.acme.com")]
    pub domain: String,
}

/// Why no claim is handed out.
#[derive(Debug, thiserror::Error)]
pub enum InitiateClaimError {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    TooManyClaims(#[from] TooManyClaims),
    #[error(transparent)]
    TooManyClaimsOnName(#[from] TooManyClaimsOnName),
}

impl ContractError for InitiateClaimError {
    fn response(&self, request: &RequestId) -> JsonResponse {
        let answer = match self {
            Self::Request(error) => ErrorAnswer::of_request(error, request),
            Self::Name(error) => error.into(),
            Self::TooManyClaims(error) => error.into(),
            Self::TooManyClaimsOnName(error) => error.into(),
        };
        answer.response(self)
    }
}

impl InitiateClaimError {
    fn rejected(rejection: Rejection, claim_ref: &ClaimRef) -> Self {
        match rejection {
            Rejection::TooManyClaims { limit } => {
                TooManyClaimsOnName { domain: claim_ref.root.clone(), limit }.into()
            }
            other => unexpected(other).into(),
        }
    }
}

/// Initiate Domain Claim
///
/// Hands out the TXT record that proves control of the name's registrable domain, whether another workspace has the
/// name, nobody has it, or this workspace does. Asked again while the claim is open, the answer is the same claim
/// with the same record.
#[utoipa::path(
    post,
    path = "/v1/domains/claims",
    operation_id = "InitiateDomainClaim",
    tag = "Domains",
    request_body = DomainClaimInitiateRequest,
    responses(
        (status = 200, description = "Publish the record, then ask for verification", body = Success<ChallengeBody>),
        (status = 409, description = "Too many claims are open, or the Idempotency-Key was used before", body = ApiError),
    )
)]
pub async fn initiate_claim(call: Arc<Call>) -> Result<JsonResponse, InitiateClaimError> {
    let body: DomainClaimInitiateRequest = call.json()?;
    let request =
        ClaimRequest { domain: &body.domain, region: None, if_held_by_another: IfHeldByAnother::Challenge };
    let show = |view: ClaimView<'_>| JsonResponse::ok(&Success::of(view.challenge()));
    claim(&call, &request, show, InitiateClaimError::rejected).await
}

#[cfg(test)]
mod tests {
    use actix_web::http::StatusCode;
    use deed_diagnosis::Outcome;
    use deed_store::KeyScope;
    use insta::assert_json_snapshot;
    use serde_json::json;

    use crate::testing::{Harness, Setup};

    const CLAIMS: &str = "/v1/domains/claims";
    const ACME: &str = "apex:acme.com";

    #[actix_web::test]
    async fn repeated_claim_returns_same_record() {
        let harness = Harness::start().await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        let first = harness.post(CLAIMS, &key, json!({ "domain": "Send.Acme.com." })).await;
        assert_json_snapshot!("claim", first.snapshot());
        assert_eq!(first.header("deed-position"), Some("1"));
        let again = harness.post(CLAIMS, &key, json!({ "domain": "acme.com" })).await;
        assert_eq!(again.text, first.text);
        assert_eq!(again.header("deed-position"), None);
        assert_eq!(harness.load(ACME).await.events.len(), 1);
    }

    #[actix_web::test]
    async fn each_workspace_gets_its_own_record() {
        let harness = Harness::start().await;
        let (a, b) = (
            harness.workspace_key("ws_a", &KeyScope::ALL).await,
            harness.workspace_key("ws_b", &KeyScope::ALL).await,
        );
        let first = harness.post(CLAIMS, &a, json!({ "domain": "acme.com" })).await;
        harness.verify("/v1/domains/claims/acme.com/verify", &a).await;
        harness.record_check(ACME, "ws_a", Outcome::Proven).await;
        let second = harness.post(CLAIMS, &b, json!({ "domain": "acme.com" })).await;
        assert_eq!(second.status, StatusCode::OK);
        let value = |answer: &crate::testing::TestResponse| answer.body["data"]["record"]["value"].clone();
        assert_ne!(value(&first), value(&second));
        assert_eq!(
            first.snapshot()["body"],
            second.snapshot()["body"],
            "nothing but the record tells them apart"
        );
    }

    #[actix_web::test]
    async fn shows_international_name_as_a_label() {
        let harness = Harness::start().await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        let answer = harness.post(CLAIMS, &key, json!({ "domain": "münchen.de" })).await;
        assert_eq!(answer.body["data"]["rootDomain"], "xn--mnchen-3ya.de");
        let found = harness.get("/v1/domains/claims/m%C3%BCnchen.de", &key).await;
        assert_eq!(found.body["data"]["id"], answer.body["data"]["id"]);
        let domain = harness.get("/v1/domains/www.xn--mnchen-3ya.de", &key).await;
        assert_eq!(domain.body["data"]["unicodeDomain"], "münchen.de");
    }

    #[actix_web::test]
    async fn rejects_unclaimable_names_with_codes() {
        let harness = Harness::start().await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        let mut answers = vec![];
        for name in [
            "",
            &format!("{}com", "a.".repeat(125)),
            "-acme.com",
            "192.0.2.1",
            "localhost",
            "*.acme.com",
            "https://acme.com/x",
            "co.uk",
            "printer.local",
            "acme.nosuchtld",
            "gmail.com",
        ] {
            answers.push(harness.post(CLAIMS, &key, json!({ "domain": name })).await.snapshot());
        }
        assert_json_snapshot!("refused_names", answers);
        assert_eq!(harness.last_position().await.0, 0);
    }

    #[actix_web::test]
    async fn workspace_at_quota_keeps_existing_claims() {
        let mut setup = Setup::default();
        setup.caps.open_claims_per_workspace = 1;
        let harness = Harness::with(setup).await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        let first = harness.post(CLAIMS, &key, json!({ "domain": "acme.com" })).await;
        harness.project().await;
        let over = harness.post(CLAIMS, &key, json!({ "domain": "acme.org" })).await;
        assert_json_snapshot!("too_many_claims", over.snapshot());
        assert!(harness.load("apex:acme.org").await.events.is_empty());
        let again = harness.post(CLAIMS, &key, json!({ "domain": "acme.com" })).await;
        assert_eq!(again.text, first.text);
    }

    #[actix_web::test]
    async fn oldest_claim_gives_way_to_newcomer() {
        let mut setup = Setup::default();
        setup.policy.open_claims_per_name = 1;
        let harness = Harness::with(setup).await;
        let a = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        let b = harness.workspace_key("ws_b", &KeyScope::ALL).await;
        let first = harness.post(CLAIMS, &a, json!({ "domain": "acme.com" })).await;
        let second = harness.post(CLAIMS, &b, json!({ "domain": "acme.com" })).await;
        assert_eq!(second.status, StatusCode::OK);
        // Its workspace sees the expiry and can claim again at once.
        let ended = harness.get("/v1/domains/claims/acme.com", &a).await;
        assert_eq!(ended.body["data"]["status"], "expired");
        let history = harness.get("/v1/domains/claims/acme.com/history", &a).await;
        assert_json_snapshot!("gave_way", history.body["data"][1]);
        let again = harness.post(CLAIMS, &a, json!({ "domain": "acme.com" })).await;
        assert_eq!((again.status, &again.body["data"]["status"]), (StatusCode::OK, &json!("pending")));
        assert_ne!(again.body["data"]["record"]["value"], first.body["data"]["record"]["value"]);
    }

    #[actix_web::test]
    async fn expired_claim_is_replaced_with_new_record() {
        let harness = Harness::start().await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        let first = harness.post(CLAIMS, &key, json!({ "domain": "acme.com" })).await;
        harness.clock.advance(chrono::Duration::days(8));
        let second = harness.post(CLAIMS, &key, json!({ "domain": "acme.com" })).await;
        assert_ne!(first.body["data"]["id"], second.body["data"]["id"]);
        assert_ne!(first.body["data"]["record"]["value"], second.body["data"]["record"]["value"]);
    }
}
