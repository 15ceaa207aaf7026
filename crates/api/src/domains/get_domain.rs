//! Reads one domain from its stream: `GET /v1/domains/{domain}`.
use std::sync::Arc;

use deed_claims::name::NameError;
use deed_http::{ContractError, JsonResponse, RequestError, RequestId};

use super::claim_ref::{ClaimRef, is_deleted};
use super::error::{ApiError, ErrorAnswer, NoSuchDomain};
use super::view::{DomainBody, Success};
use crate::call::{Call, claim_position};

/// Why a domain is not shown.
#[derive(Debug, thiserror::Error)]
pub enum GetDomainError {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    NoSuchDomain(#[from] NoSuchDomain),
}

impl ContractError for GetDomainError {
    fn response(&self, request: &RequestId) -> JsonResponse {
        let answer = match self {
            Self::Request(error) => ErrorAnswer::of_request(error, request),
            Self::Name(error) => error.into(),
            Self::NoSuchDomain(error) => error.into(),
        };
        answer.response(self)
    }
}

/// Get Domain
///
/// The domain as it stands. A domain that was deleted is not found any more; one that was lost in another way is, and
/// its status says how.
#[utoipa::path(
    get,
    path = "/v1/domains/{domain}",
    operation_id = "GetDomain",
    tag = "Domains",
    params(("domain" = String, Path, example = "acme.com", description = "The domain or any name under it, also percent-encoded Unicode")),
    responses(
        (status = 200, description = "The domain", body = Success<DomainBody>),
        (status = 404, description = "This workspace has no such domain", body = ApiError),
    )
)]
pub async fn get_domain(call: Arc<Call>) -> Result<JsonResponse, GetDomainError> {
    let claim_ref = ClaimRef::from_path(&call)?;
    let loaded = call.load(&claim_ref.stream).await?;
    let claim = claim_ref.domain::<GetDomainError>(&loaded.state)?;
    if is_deleted(claim.status()) {
        return Err(claim_ref.domain_not_found());
    }
    let domain = claim_ref.view(&loaded.state, claim).domain();
    Ok(JsonResponse::ok(&Success::of(domain))?.at(claim_position(&call, &loaded, claim.id).await?))
}

#[cfg(test)]
mod tests {
    use deed_diagnosis::Outcome;
    use deed_store::KeyScope;
    use insta::assert_json_snapshot;
    use serde_json::json;

    use crate::testing::{Harness, absent};

    const ACME: &str = "apex:acme.com";

    #[actix_web::test]
    async fn foreign_domain_looks_like_a_missing_one() {
        let harness = Harness::start().await;
        let owner = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        let other = harness.workspace_key("ws_b", &KeyScope::ALL).await;
        let before: Vec<_> = answers(&harness, &other).await;
        harness.post("/v1/domains", &owner, json!({ "domain": "acme.com" })).await;
        harness.verify("/v1/domains/acme.com/verify", &owner).await;
        harness.record_check(ACME, "ws_a", Outcome::Proven).await;
        harness.project().await;
        let after = answers(&harness, &other).await;
        assert_json_snapshot!("not_found", after);
        assert_eq!(before, after);
    }

    /// The responses of all operations about acme.com to one workspace.
    async fn answers(harness: &Harness, key: &str) -> Vec<serde_json::Value> {
        vec![
            harness.get("/v1/domains/acme.com", key).await.snapshot(),
            harness.get("/v1/domains/claims/acme.com", key).await.snapshot(),
            harness.get("/v1/domains/claims/acme.com/history", key).await.snapshot(),
            harness.delete("/v1/domains/acme.com", key).await.snapshot(),
            harness.delete("/v1/domains/claims/acme.com", key).await.snapshot(),
            harness.verify("/v1/domains/acme.com/verify", key).await.snapshot(),
            harness.verify("/v1/domains/claims/acme.com/verify", key).await.snapshot(),
            harness.get("/v1/domains", key).await.snapshot(),
            harness.get("/v1/domains/claims", key).await.snapshot(),
        ]
    }

    #[actix_web::test]
    async fn shows_verified_and_at_risk_status() {
        let harness = Harness::start().await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        harness.post("/v1/domains", &key, json!({ "domain": "acme.com" })).await;
        harness.verify("/v1/domains/acme.com/verify", &key).await;
        harness.record_check(ACME, "ws_a", Outcome::Proven).await;
        let verified = harness.get("/v1/domains/acme.com", &key).await;
        assert_json_snapshot!("verified", verified.snapshot());
        assert_eq!(verified.header("deed-position"), Some("5"));
        harness.clock.advance(chrono::Duration::days(8));
        harness.record_check(ACME, "ws_a", absent()).await;
        assert_json_snapshot!("at_risk", harness.get("/v1/domains/claims/acme.com", &key).await.snapshot());
    }

    #[actix_web::test]
    async fn contest_is_visible_without_the_other_party() {
        let harness = Harness::start().await;
        let (holder, challenger) = (
            harness.workspace_key("ws_holder", &KeyScope::ALL).await,
            harness.workspace_key("ws_challenger", &KeyScope::ALL).await,
        );
        for (key, workspace, view) in
            [(&holder, "ws_holder", None), (&challenger, "ws_challenger", Some(Outcome::Proven))]
        {
            harness.post("/v1/domains/claims", key, json!({ "domain": "acme.com" })).await;
            harness.verify("/v1/domains/claims/acme.com/verify", key).await;
            harness.record_contested_check(ACME, workspace, Outcome::Proven, view).await;
        }
        let theirs = harness.get("/v1/domains/claims/acme.com", &challenger).await;
        assert_json_snapshot!("challenger", theirs.snapshot());
        assert!(!theirs.text.contains("ws_holder"));
        let own = harness.get("/v1/domains/claims/acme.com", &holder).await;
        assert_json_snapshot!("holder", own.snapshot());
        assert!(!own.text.contains("ws_challenger"));
        let challenge = harness.ownership(ACME).await.claims.values().next().unwrap().challenge.clone();
        assert_eq!(theirs.body["data"]["contest"]["removeRecord"]["value"], json!(challenge.record_value));
        // Lists show the same.
        harness.project().await;
        let listed = harness.get("/v1/domains", &holder).await;
        assert_eq!(listed.body["data"][0]["contest"], own.body["data"]["contest"]);
        let listed = harness.get("/v1/domains/claims", &challenger).await;
        assert_eq!(listed.body["data"][0]["contest"], theirs.body["data"]["contest"]);
    }

    #[actix_web::test]
    async fn position_follows_own_claim_only() {
        let harness = Harness::start().await;
        let own = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        let other = harness.workspace_key("ws_b", &KeyScope::ALL).await;
        let claims = "/v1/domains/claims";
        for key in [&own, &other] {
            harness.post(claims, key, json!({ "domain": "acme.com" })).await;
        }
        for (path, key, position) in [
            ("/v1/domains/acme.com", &own, "1"),
            ("/v1/domains/claims/acme.com", &own, "1"),
            ("/v1/domains/claims/acme.com/history", &own, "1"),
            ("/v1/domains/claims/acme.com", &other, "2"),
        ] {
            assert_eq!(harness.get(path, key).await.header("deed-position"), Some(position), "{path}");
        }
        // The holder sees the contest too.
        for (key, workspace, view) in [(&own, "ws_a", None), (&other, "ws_b", Some(Outcome::Proven))] {
            harness.verify("/v1/domains/acme.com/verify", key).await;
            harness.record_contested_check(ACME, workspace, Outcome::Proven, view).await;
        }
        let position = harness.last_position().await.to_string();
        let answer = harness.get("/v1/domains/acme.com", &own).await;
        assert_eq!(answer.header("deed-position"), Some(position.as_str()));
    }

    #[actix_web::test]
    async fn rejects_path_that_is_not_a_name() {
        let harness = Harness::start().await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        for (path, code) in [
            ("/v1/domains/acme", "SINGLE_LABEL"),
            ("/v1/domains/a%2Fb.com", "URL"),
            ("/v1/domains/claims/%20", "NAME_EMPTY"),
            ("/v1/domains/claims/%25.com", "URL"),
            ("/v1/domains/%FF.com", "BAD_LABEL"),
        ] {
            let answer = harness.get(path, &key).await;
            assert_eq!((answer.status.as_u16(), &answer.body["code"]), (400, &json!(code)), "{path}");
        }
    }
}
