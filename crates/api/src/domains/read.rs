//! One domain, one claim, as their streams tell them: `GET /v1/domains/{domain}`, `GET /v1/domains/claims/{domain}`.
use std::sync::Arc;

use deed_claims::Status;
use deed_store::{Loaded, Position};

use super::own::Asked;
use super::view::{ChallengeBody, DomainBody, Success};
use crate::call::Call;
use crate::error_a::{ApiError, ErrorA};
use crate::reply::Reply;

/// Get Domain
///
/// The domain as it stands. A domain that was deleted is not found any more; one that was lost in another way is, and
/// its status says how.
#[utoipa::path(
    get,
    path = "/v1/domains/{domain}",
    operation_id = "GetDomain",
    tag = "Domains",
    params(("domain" = String, Path, description = "The domain or any name under it, also percent-encoded Unicode")),
    responses(
        (status = 200, description = "The domain", body = Success<DomainBody>),
        (status = 404, description = "This workspace has no such domain", body = ApiError),
    )
)]
pub async fn get_domain(call: Arc<Call>) -> Result<Reply, ErrorA> {
    let asked = Asked::by(&call)?;
    let loaded = call.load(&asked.stream).await?;
    let ownership = loaded.ownership();
    let seen = asked.seen(&ownership).map_err(|_| asked.no_domain())?;
    if is_deleted(seen.claim.status()) {
        return Err(asked.no_domain());
    }
    Ok(Reply::ok(&Success::of(seen.domain()))?.at(position(&loaded)))
}

/// Get Domain Claim
///
/// The newest claim of this workspace on the name, also when it has ended.
#[utoipa::path(
    get,
    path = "/v1/domains/claims/{domain}",
    operation_id = "GetDomainClaim",
    tag = "Domains",
    params(("domain" = String, Path, description = "The domain or any name under it, also percent-encoded Unicode")),
    responses(
        (status = 200, description = "The claim", body = Success<ChallengeBody>),
        (status = 404, description = "This workspace has no claim on the name", body = ApiError),
    )
)]
pub async fn get_claim(call: Arc<Call>) -> Result<Reply, ErrorA> {
    let asked = Asked::by(&call)?;
    let loaded = call.load(&asked.stream).await?;
    let ownership = loaded.ownership();
    let seen = asked.seen(&ownership)?;
    Ok(Reply::ok(&Success::of(seen.challenge()))?.at(position(&loaded)))
}

/// Whether a domain in this status was given up by its own workspace: then it is gone.
pub fn is_deleted(status: Status) -> bool {
    matches!(status, Status::Released | Status::Cancelled)
}

/// How far the log had come when a stream was last written to.
pub fn position(loaded: &Loaded) -> Option<Position> {
    loaded.events.last().map(|event| event.position)
}
