//! Makes a workspace's claim on a name, or finds the open one.
use std::sync::Arc;

use deed_claims::name::{DomainName, NameError};
use deed_claims::{Command, IfHeldByAnother, Ownership, Rejection, Scope};
use deed_http::{ContractError, Decision, JsonResponse, RequestError};
use deed_store::Loaded;
use serde_json::json;

use super::claim_ref::{ClaimRef, apply};
use super::error::ErrorAnswer;
use super::view::ClaimView;
use crate::call::{Call, record_claim_id};

/// The workspace has the most open claims that it may have.
#[derive(Debug, thiserror::Error)]
#[error("this workspace has reached its limit of open claims ({limit}): verify or cancel some first")]
pub struct TooManyClaims {
    limit: u64,
}

impl From<&TooManyClaims> for ErrorAnswer {
    fn from(TooManyClaims { limit }: &TooManyClaims) -> Self {
        Self::conflict("TOO_MANY_CLAIMS", json!({ "limit": limit }))
    }
}

/// The workspace has the most open claims on one name that it may have.
#[derive(Debug, thiserror::Error)]
#[error(
    "this workspace has reached its limit of open claims on {domain} ({limit}): verify or cancel one first"
)]
pub struct TooManyClaimsOnName {
    /// The registrable domain.
    pub domain: DomainName,
    /// The limit.
    pub limit: usize,
}

impl From<&TooManyClaimsOnName> for ErrorAnswer {
    fn from(TooManyClaimsOnName { domain, limit }: &TooManyClaimsOnName) -> Self {
        Self::conflict("TOO_MANY_CLAIMS_ON_NAME", json!({ "domain": domain, "limit": limit }))
    }
}

/// The name to claim, and how.
pub struct ClaimRequest<'a> {
    pub domain: &'a str,
    pub region: Option<Arc<str>>,
    pub if_held_by_another: IfHeldByAnother,
}

/// Creates a claim or finds the open one, and shows it. `rejected` makes the error of a rejected command.
pub async fn claim<E: ContractError + From<NameError> + From<TooManyClaims>>(
    call: &Call,
    request: &ClaimRequest<'_>,
    show: impl Fn(ClaimView<'_>) -> Result<JsonResponse, RequestError> + Send + Sync,
    rejected: fn(Rejection, &ClaimRef) -> E,
) -> Result<JsonResponse, E> {
    let (name, root) = call.state.claimable(request.domain, Scope::Apex)?.into_parts();
    let claim_ref = ClaimRef::new(call, name.clone(), root.clone());
    let quota_reached = call.state.quota_reached(&call.caller.workspace).await?;
    let claim_id = call.state.new_claim_id()?;
    let challenge = call.state.templates.challenge(Scope::Apex, &root, call.state.new_token()?);
    call.respond(claim_ref.stream.clone(), |loaded: &Loaded<Ownership>, at| {
        let ownership = &loaded.state;
        let own = ownership.claim_of(&claim_ref.holder);
        let is_new = own.is_none_or(|own| !own.is_open() || own.is_overdue(at));
        if let Some(limit) = quota_reached.filter(|_| is_new) {
            return Err(TooManyClaims { limit }.into());
        }
        let command = Command::Initiate {
            claim_id,
            holder: claim_ref.holder.clone(),
            name: root.clone(),
            requested: name.clone(),
            region: request.region.clone(),
            challenge: challenge.clone(),
            if_held_by_another: request.if_held_by_another,
        };
        let decided = ownership.decide(command, &call.state.policy, at);
        let events = decided.map_err(|rejection| rejected(rejection, &claim_ref))?;
        let ownership = apply(ownership.clone(), &events);
        let claim = ownership
            .claim_of(&claim_ref.holder)
            .ok_or_else(|| RequestError::internal("making a claim", "its first event makes none"))?;
        record_claim_id(claim.id);
        let response = show(claim_ref.view(&ownership, claim))?;
        Ok(Decision { writes: claim_ref.writes(events), response })
    })
    .await
}
