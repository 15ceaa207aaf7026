//! Requests a check of a domain and waits a moment for it: `POST /v1/domains/{domain}/verify`.
use std::sync::Arc;

use deed_claims::name::NameError;
use deed_http::{ContractError, JsonResponse, RequestError, RequestId};

use super::claim_ref::ClaimRef;
use super::error::{ApiError, ClaimEnded, ErrorAnswer, NoSuchDomain};
use super::verification::{DEFAULT_WAIT, verify, wait_limit};
use super::view::{ClaimView, DomainChallengeBody, Success};
use crate::call::Call;

/// Why no check of a domain is requested.
#[derive(Debug, thiserror::Error)]
pub enum VerifyDomainError {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    NoSuchDomain(#[from] NoSuchDomain),
    #[error(transparent)]
    Ended(#[from] ClaimEnded),
}

impl ContractError for VerifyDomainError {
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

/// Verify Domain
///
/// As the verification of the domain's claim.
#[utoipa::path(
    post,
    path = "/v1/domains/{domain}/verify",
    operation_id = "VerifyDomain",
    tag = "Domains",
    params(
        ("domain" = String, Path, example = "acme.com", description = "The domain or any name under it, also percent-encoded Unicode"),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds for the outcome"),
    ),
    responses(
        (status = 200, description = "The domain is verified", body = Success<DomainChallengeBody>),
        (status = 202, description = "The record is being watched for", body = Success<DomainChallengeBody>),
        (status = 404, description = "This workspace has no such domain", body = ApiError),
        (status = 409, description = "The claim has ended (`CLAIM_ENDED`), or the Idempotency-Key was used before", body = ApiError),
    )
)]
pub async fn verify_domain(call: Arc<Call>) -> Result<JsonResponse, VerifyDomainError> {
    let claim_ref = ClaimRef::from_path(&call)?;
    let verified = verify(&call, &claim_ref, wait_limit(&call, DEFAULT_WAIT), ClaimRef::domain).await?;
    let show =
        |status, view: ClaimView<'_>| JsonResponse::json(status, &Success::of(view.domain_challenge()));
    verified.response(&call, &claim_ref, show).await
}
