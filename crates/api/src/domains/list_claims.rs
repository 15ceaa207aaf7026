//! A workspace's claims: `GET /v1/domains/claims`.
use std::sync::Arc;

use deed_claims::Status;
use deed_http::{ContractError, JsonResponse, RequestError, RequestId};

use super::claim_page::{claim_page, statuses};
use super::error::ErrorAnswer;
use super::view::{ClaimBody, ClaimView, Page};
use crate::bodies::schemas::StatusSchema;
use crate::call::Call;

/// Why claims are not listed.
#[derive(Debug, thiserror::Error)]
pub enum ListClaimsError {
    #[error(transparent)]
    Request(#[from] RequestError),
}

impl ContractError for ListClaimsError {
    fn response(&self, request: &RequestId) -> JsonResponse {
        let Self::Request(error) = self;
        ErrorAnswer::of_request(error, request).response(self)
    }
}

/// List Domain Claims
///
/// The newest claim of this workspace on each name, the newest first, ended ones included.
#[utoipa::path(
    get,
    path = "/v1/domains/claims",
    operation_id = "ListDomainClaims",
    tag = "Domains",
    params(
        ("status" = Option<Vec<StatusSchema>>, Query, style = Form, explode = false, min_items = 1, description = "Only claims with one of these statuses"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Claims on a page; 500 unless given"),
        ("cursor" = Option<String>, Query, pattern = "^[A-Za-z0-9_-]{32}$", description = "The `nextCursor` of the page before"),
        ("atLeast" = Option<u64>, Query, minimum = 0, maximum = 9_007_199_254_740_991_u64, description = "Answers once the list tells of everything up to this `Deed-Position`"),
    ),
    responses((status = 200, description = "A page of claims", body = Page<ClaimBody>))
)]
pub async fn list_claims(call: Arc<Call>) -> Result<JsonResponse, ListClaimsError> {
    let given = statuses(&call.query)?;
    let wanted = if given.is_empty() { Status::ALL.to_vec() } else { given };
    Ok(claim_page(&call, wanted, as_claim).await?)
}

fn as_claim(view: ClaimView<'_>) -> ClaimBody {
    view.claim()
}
