//! Reads one claim from its stream: `GET /v1/domains/claims/{domain}`.
use std::sync::Arc;

use deed_claims::name::NameError;
use deed_http::{ContractError, JsonResponse, RequestError, RequestId};

use super::claim_ref::ClaimRef;
use super::error::{ApiError, ErrorAnswer, NoSuchClaim};
use super::view::{ChallengeBody, Success};
use crate::call::{Call, claim_position};

/// Why a claim is not shown.
#[derive(Debug, thiserror::Error)]
pub enum GetClaimError {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    NoSuchClaim(#[from] NoSuchClaim),
}

impl ContractError for GetClaimError {
    fn response(&self, request: &RequestId) -> JsonResponse {
        let answer = match self {
            Self::Request(error) => ErrorAnswer::of_request(error, request),
            Self::Name(error) => error.into(),
            Self::NoSuchClaim(error) => error.into(),
        };
        answer.response(self)
    }
}

/// Get Domain Claim
///
/// The newest claim of this workspace on the name, also when it has ended.
#[utoipa::path(
    get,
    path = "/v1/domains/claims/{domain}",
    operation_id = "GetDomainClaim",
    tag = "Domains",
    params(("domain" = String, Path, example = "acme.com", description = "The domain or any name under it, also percent-encoded Unicode")),
    responses(
        (status = 200, description = "The claim", body = Success<ChallengeBody>),
        (status = 404, description = "This workspace has no claim on the name", body = ApiError),
    )
)]
pub async fn get_claim(call: Arc<Call>) -> Result<JsonResponse, GetClaimError> {
    let claim_ref = ClaimRef::from_path(&call)?;
    let loaded = call.load(&claim_ref.stream).await?;
    let claim = claim_ref.claim::<GetClaimError>(&loaded.state)?;
    let challenge = claim_ref.view(&loaded.state, claim).challenge();
    Ok(JsonResponse::ok(&Success::of(challenge))?.at(claim_position(&call, &loaded, claim.id).await?))
}
