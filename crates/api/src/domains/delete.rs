//! Giving up: a domain with `DELETE /v1/domains/{domain}`, a claim with `DELETE /v1/domains/claims/{domain}`.
use std::sync::Arc;

use deed_claims::name::DomainName;
use deed_claims::{Command, Status};
use serde::Serialize;
use utoipa::ToSchema;

use super::own::{Asked, after, first};
use super::read::is_deleted;
use super::view::{ChallengeBody, Success};
use crate::call::{Call, Decided};
use crate::error_a::{ApiError, ErrorA};
use crate::reply::Reply;

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
    params(("domain" = String, Path, description = "The domain or any name under it, also percent-encoded Unicode")),
    responses(
        (status = 200, description = "The domain is gone", body = Success<DomainDeleted>),
        (status = 404, description = "This workspace has no such domain", body = ApiError),
        (status = 409, description = "The claim on the name has ended in another way (`CLAIM_ENDED`), or the Idempotency-Key was used before", body = ApiError),
    )
)]
pub async fn delete_domain(call: Arc<Call>) -> Result<Reply, ErrorA> {
    let asked = Asked::by(&call)?;
    call.answer(std::slice::from_ref(&asked.stream), |loaded, at| {
        let ownership = first(loaded)?.ownership();
        let claim = asked.claim(&ownership).map_err(|_| asked.no_domain())?;
        let (claim_id, status) = (claim.id, claim.status());
        if is_deleted(status) {
            return Err(asked.no_domain());
        }
        let domain = claim.requested.clone();
        let command =
            if claim.is_held() { Command::Release { claim_id } } else { Command::Cancel { claim_id } };
        let events = ownership
            .decide(command, &call.state.policy, at)
            .map_err(|rejection| ErrorA::of_rejection(rejection, &domain, &asked.root, Some(status)))?;
        let reply = Reply::ok(&Success::of(DomainDeleted { domain, deleted: true }))?;
        Ok(Decided { writes: asked.writes(events), reply })
    })
    .await
}

/// Cancel Domain Claim
///
/// Withdraws a claim that is not verified. A verified name is given up with `DELETE /v1/domains/{domain}`.
#[utoipa::path(
    delete,
    path = "/v1/domains/claims/{domain}",
    operation_id = "CancelDomainClaim",
    tag = "Domains",
    params(("domain" = String, Path, description = "The domain or any name under it, also percent-encoded Unicode")),
    responses(
        (status = 200, description = "The claim, cancelled", body = Success<ChallengeBody>),
        (status = 404, description = "This workspace has no claim on the name", body = ApiError),
        (status = 409, description = "The name is verified (`ALREADY_VERIFIED`), the claim has ended in another way (`CLAIM_ENDED`), or the Idempotency-Key was used before", body = ApiError),
    )
)]
pub async fn cancel_claim(call: Arc<Call>) -> Result<Reply, ErrorA> {
    let asked = Asked::by(&call)?;
    call.answer(std::slice::from_ref(&asked.stream), |loaded, at| {
        let ownership = first(loaded)?.ownership();
        let claim = asked.claim(&ownership)?;
        let (claim_id, status, domain) = (claim.id, claim.status(), claim.requested.clone());
        let events = if status == Status::Cancelled {
            vec![]
        } else {
            ownership
                .decide(Command::Cancel { claim_id }, &call.state.policy, at)
                .map_err(|rejection| ErrorA::of_rejection(rejection, &domain, &asked.root, Some(status)))?
        };
        let ownership = after(ownership, &events);
        let reply = Reply::ok(&Success::of(asked.seen(&ownership)?.challenge()))?;
        Ok(Decided { writes: asked.writes(events), reply })
    })
    .await
}
