//! Adding a domain that nobody else has: `POST /v1/domains`.
use std::sync::Arc;

use deed_claims::IfHeldByAnother;
use serde::Deserialize;
use utoipa::ToSchema;

use super::initiate::{Wish, claim};
use super::view::{DomainBody, Success};
use crate::call::Call;
use crate::error_a::{ApiError, ErrorA};
use crate::reply::Reply;

/// Characters of a region.
const MAX_REGION: usize = 64;

/// The domain to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DomainAddRequest {
    /// The name, such as `acme.com` or `send.acme.com`.
    domain: String,
    /// Kept and shown again, nothing more.
    #[serde(default)]
    #[schema(max_length = 64)]
    region: Option<String>,
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
pub async fn add_domain(call: Arc<Call>) -> Result<Reply, ErrorA> {
    let body: DomainAddRequest = call.json()?;
    if body.region.as_ref().is_some_and(|region| region.chars().count() > MAX_REGION) {
        let rule = format!("the field `region` has at most {MAX_REGION} characters");
        return Err(ErrorA::Field { field: "region", rule });
    }
    let wish = Wish {
        domain: &body.domain,
        region: body.region.map(Arc::from),
        if_held_by_another: IfHeldByAnother::Refuse,
    };
    claim(&call, &wish, |seen| Reply::ok(&Success::of(seen.domain()))).await
}
