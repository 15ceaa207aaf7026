//! Deletes a domain: `DELETE /v1/domains/{domain}`.
use std::sync::Arc;

use deed_claims::name::{DomainName, NameError};
use deed_claims::{Command, Ownership, Rejection};
use deed_http::{ContractError, Decision, JsonResponse, RequestError, RequestId};
use deed_store::Loaded;
use serde::Serialize;
use utoipa::ToSchema;

use super::claim_ref::{ClaimRef, is_deleted};
use super::error::{ApiError, ClaimEnded, ErrorAnswer, NoSuchDomain};
use super::view::Success;
use crate::call::{Call, record_claim_id, unexpected};

/// Why a domain is not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteDomainError {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    NoSuchDomain(#[from] NoSuchDomain),
    #[error(transparent)]
    Ended(#[from] ClaimEnded),
}

impl ContractError for DeleteDomainError {
    fn response(&self, request: &RequestId) -> JsonResponse {
        let answer = match self {
            Self::Request(error) => ErrorAnswer::of_request(error, request),
            Self::Name(error) => error.into(),
            Self::NoSuchDomain(error) => error.into(),
            Self::Ended(error) => error.into(),
        };
        answer.response(self)
    }
}

/// A domain that is gone.
#[derive(Debug, Serialize, ToSchema)]
pub struct DomainDeleted {
    #[schema(value_type = String)]
    domain: DomainName,
    /// Always `true`.
    #[schema(default = true)]
    deleted: bool,
}

/// Delete Domain
///
/// Gives the name up, or cancels the claim on it. Where another workspace has proven the name too, it gets the name.
#[utoipa::path(
    delete,
    path = "/v1/domains/{domain}",
    operation_id = "DeleteDomain",
    tag = "Domains",
    params(("domain" = String, Path, example = "acme.com", description = "The domain or any name under it, also percent-encoded Unicode")),
    responses(
        (status = 200, description = "The domain is gone", body = Success<DomainDeleted>),
        (status = 404, description = "This workspace has no such domain", body = ApiError),
        (status = 409, description = "The claim on the name has ended in another way (`CLAIM_ENDED`), or the Idempotency-Key was used before", body = ApiError),
    )
)]
pub async fn delete_domain(call: Arc<Call>) -> Result<JsonResponse, DeleteDomainError> {
    let claim_ref = ClaimRef::from_path(&call)?;
    call.respond(claim_ref.stream.clone(), |loaded: &Loaded<Ownership>, at| {
        let ownership = &loaded.state;
        let claim = claim_ref.domain::<DeleteDomainError>(ownership)?;
        let (claim_id, status) = (claim.id, claim.status());
        record_claim_id(claim_id);
        if is_deleted(status) {
            return Err(claim_ref.domain_not_found());
        }
        let domain = claim.requested.clone();
        let command =
            if claim.is_held() { Command::Release { claim_id } } else { Command::Cancel { claim_id } };
        let decided = ownership.decide(command, &call.state.policy, at);
        let events = decided.map_err(|rejection| match rejection {
            Rejection::Ended => DeleteDomainError::Ended(claim.into()),
            other => unexpected(other).into(),
        })?;
        let response = JsonResponse::ok(&Success::of(DomainDeleted { domain, deleted: true }))?;
        Ok(Decision { writes: claim_ref.writes(events), response })
    })
    .await
}

#[cfg(test)]
mod tests {
    use deed_diagnosis::Outcome;
    use deed_store::KeyScope;
    use insta::assert_json_snapshot;
    use serde_json::json;

    use crate::testing::Harness;

    const ACME: &str = "apex:acme.com";

    #[actix_web::test]
    async fn deleted_domain_is_gone_and_claim_remains() {
        let harness = Harness::start().await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        harness.post("/v1/domains", &key, json!({ "domain": "acme.com" })).await;
        harness.verify("/v1/domains/acme.com/verify", &key).await;
        harness.record_check(ACME, "ws_a", Outcome::Proven).await;
        let cancel = harness.delete("/v1/domains/claims/acme.com", &key).await;
        assert_json_snapshot!("held", cancel.snapshot());
        let deleted = harness.delete("/v1/domains/acme.com", &key).await;
        assert_json_snapshot!("deleted", deleted.snapshot());
        assert_eq!(harness.get("/v1/domains/acme.com", &key).await.status.as_u16(), 404);
        assert_eq!(harness.delete("/v1/domains/acme.com", &key).await.status.as_u16(), 404);
        let claim = harness.get("/v1/domains/claims/acme.com", &key).await;
        assert_json_snapshot!("released", claim.snapshot());
        // A deleted domain can be added again.
        let anew = harness.post("/v1/domains", &key, json!({ "domain": "acme.com" })).await;
        assert_eq!(anew.body["data"]["status"], "pending");
    }

    #[actix_web::test]
    async fn rejects_deletion_of_ended_claim() {
        let harness = Harness::start().await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        harness.post("/v1/domains/claims", &key, json!({ "domain": "acme.com" })).await;
        let claim_id = harness.claim_id(ACME, "ws_a").await;
        harness.clock.advance(chrono::Duration::days(8));
        harness.command(ACME, deed_claims::Command::Expire { claim_id }).await;
        assert_json_snapshot!("ended", harness.delete("/v1/domains/acme.com", &key).await.snapshot());
        assert_eq!(harness.delete("/v1/domains/claims/acme.com", &key).await.status.as_u16(), 409);
        assert_eq!(harness.get("/v1/domains/acme.com", &key).await.body["data"]["status"], "expired");
    }
}
