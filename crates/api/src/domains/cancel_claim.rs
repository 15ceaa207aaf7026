//! Cancels a claim: `DELETE /v1/domains/claims/{domain}`.
use std::sync::Arc;

use deed_claims::name::{DomainName, NameError};
use deed_claims::{Command, Ownership, Rejection, Status};
use deed_http::{ContractError, Decision, JsonResponse, RequestError, RequestId};
use deed_store::Loaded;
use serde_json::json;

use super::claim_ref::{ClaimRef, apply};
use super::error::{ApiError, ClaimEnded, ErrorAnswer, NoSuchClaim};
use super::view::{ChallengeBody, Success};
use crate::call::{Call, record_claim_id, unexpected};

/// Why a claim is not cancelled.
#[derive(Debug, thiserror::Error)]
pub enum CancelClaimError {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    NoSuchClaim(#[from] NoSuchClaim),
    #[error(transparent)]
    Ended(#[from] ClaimEnded),
    #[error("{0} is verified and not merely claimed: give it up with DELETE /v1/domains/{0}")]
    AlreadyVerified(DomainName),
}

impl ContractError for CancelClaimError {
    fn response(&self, request: &RequestId) -> JsonResponse {
        let answer = match self {
            Self::Request(error) => ErrorAnswer::of_request(error, request),
            Self::Name(error) => error.into(),
            Self::NoSuchClaim(error) => error.into(),
            Self::Ended(error) => error.into(),
            Self::AlreadyVerified(domain) => {
                ErrorAnswer::conflict("ALREADY_VERIFIED", json!({ "domain": domain }))
            }
        };
        answer.response(self)
    }
}

/// Cancel Domain Claim
///
/// Withdraws a claim that is not verified. A verified name is given up with `DELETE /v1/domains/{domain}`.
#[utoipa::path(
    delete,
    path = "/v1/domains/claims/{domain}",
    operation_id = "CancelDomainClaim",
    tag = "Domains",
    params(("domain" = String, Path, example = "acme.com", description = "The domain or any name under it, also percent-encoded Unicode")),
    responses(
        (status = 200, description = "The claim, cancelled", body = Success<ChallengeBody>),
        (status = 404, description = "This workspace has no claim on the name", body = ApiError),
        (status = 409, description = "The name is verified (`ALREADY_VERIFIED`), the claim has ended in another way (`CLAIM_ENDED`), or the Idempotency-Key was used before", body = ApiError),
    )
)]
pub async fn cancel_claim(call: Arc<Call>) -> Result<JsonResponse, CancelClaimError> {
    let claim_ref = ClaimRef::from_path(&call)?;
    call.respond(claim_ref.stream.clone(), |loaded: &Loaded<Ownership>, at| {
        let ownership = &loaded.state;
        let claim = claim_ref.claim::<CancelClaimError>(ownership)?;
        let claim_id = claim.id;
        record_claim_id(claim_id);
        let events = if claim.status() == Status::Cancelled {
            vec![]
        } else {
            let decided = ownership.decide(Command::Cancel { claim_id }, &call.state.policy, at);
            decided.map_err(|rejection| match rejection {
                Rejection::AlreadyHeld => CancelClaimError::AlreadyVerified(claim.requested.clone()),
                Rejection::Ended => CancelClaimError::Ended(claim.into()),
                other => unexpected(other).into(),
            })?
        };
        let ownership = apply(ownership.clone(), &events);
        let cancelled = claim_ref.claim::<CancelClaimError>(&ownership)?;
        let response = JsonResponse::ok(&Success::of(claim_ref.view(&ownership, cancelled).challenge()))?;
        Ok(Decision { writes: claim_ref.writes(events), response })
    })
    .await
}

#[cfg(test)]
mod tests {
    use deed_store::KeyScope;
    use insta::assert_json_snapshot;
    use serde_json::json;

    use crate::testing::Harness;

    const ACME: &str = "apex:acme.com";

    #[actix_web::test]
    async fn cancels_claim_once() {
        let harness = Harness::start().await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        harness.post("/v1/domains/claims", &key, json!({ "domain": "acme.com" })).await;
        let cancelled = harness.delete("/v1/domains/claims/acme.com", &key).await;
        assert_json_snapshot!("cancelled", cancelled.snapshot());
        let again = harness.delete("/v1/domains/claims/www.acme.com", &key).await;
        assert_eq!(again.text, cancelled.text);
        assert_eq!(harness.load(ACME).await.events.len(), 2);
        assert_eq!(harness.delete("/v1/domains/acme.com", &key).await.status.as_u16(), 404);
    }
}
