//! Claiming a name: `POST /v1/domains/claims`.
use std::sync::Arc;

use deed_claims::{Command, IfHeldByAnother, Scope};
use serde::Deserialize;
use utoipa::ToSchema;

use super::own::{Asked, after, first};
use super::view::{ChallengeBody, Seen, Success};
use crate::call::{Call, Decided};
use crate::cap;
use crate::error_a::{ApiError, ErrorA};
use crate::fault::Fault;
use crate::reply::Reply;

/// The name to claim.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DomainClaimInitiateRequest {
    /// The name, such as `acme.com` or `send.acme.com`. The registrable domain is found by itself.
    pub domain: String,
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
pub async fn initiate_claim(call: Arc<Call>) -> Result<Reply, ErrorA> {
    let body: DomainClaimInitiateRequest = call.json()?;
    let wish = Wish { domain: &body.domain, region: None, if_held_by_another: IfHeldByAnother::Challenge };
    claim(&call, &wish, |seen| Reply::ok(&Success::of(seen.challenge()))).await
}

/// What somebody wants to claim, and how.
pub struct Wish<'a> {
    pub domain: &'a str,
    pub region: Option<Arc<str>>,
    pub if_held_by_another: IfHeldByAnother,
}

/// Makes a claim, or finds the one there is, and shows it.
pub async fn claim(
    call: &Call,
    wish: &Wish<'_>,
    show: impl Fn(Seen<'_>) -> Result<Reply, Fault> + Send + Sync,
) -> Result<Reply, ErrorA> {
    let (name, root) = call.state.claimable(wish.domain)?.into_parts();
    let asked = Asked::of(call, name.clone(), root.clone());
    let full = cap::reached(call).await?;
    let claim_id = call.state.new_claim_id()?;
    let challenge = call.state.templates.challenge(Scope::Apex, &root, call.state.new_token()?);
    call.answer(std::slice::from_ref(&asked.stream), |loaded, at| {
        let ownership = first(loaded)?.ownership();
        let own = ownership.claim_of(&asked.holder);
        let is_new = own.is_none_or(|own| !own.is_open() || own.is_overdue(at));
        if let Some(limit) = full.filter(|_| is_new) {
            return Err(ErrorA::TooManyClaims { limit });
        }
        let command = Command::Initiate {
            claim_id,
            holder: asked.holder.clone(),
            name: root.clone(),
            requested: name.clone(),
            region: wish.region.clone(),
            challenge: challenge.clone(),
            if_held_by_another: wish.if_held_by_another,
        };
        let events = ownership
            .decide(command, &call.state.policy, at)
            .map_err(|rejection| ErrorA::of_rejection(rejection, &name, &root, None))?;
        let ownership = after(ownership, &events);
        let reply = show(asked.seen(&ownership)?)?;
        Ok(Decided { writes: asked.writes(events), reply })
    })
    .await
}
