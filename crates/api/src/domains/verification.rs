//! A request for a check of a workspace's claim, and the wait for its outcome.
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, RETRY_AFTER};
use chrono::{DateTime, Utc};
use deed_claims::{Claim, ClaimId, ClaimState, Command, Ownership, OwnershipEvent, Rejection};
use deed_http::{ContractError, JsonResponse, RequestError, Writes};
use deed_store::Loaded;

use super::claim_ref::ClaimRef;
use super::error::ClaimEnded;
use super::view::ClaimView;
use crate::call::{Call, claim_position, record_claim_id, unexpected};

/// How long a response waits for the check by default.
pub const DEFAULT_WAIT: Duration = Duration::from_secs(3);
/// The longest wait a caller may prefer.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// The longest `Retry-After`; published clients sleep it through.
const MAX_RETRY_AFTER: i64 = 60;

/// How long to wait: as the caller prefers, within bounds.
pub fn wait_limit(call: &Call, unless_given: Duration) -> Duration {
    call.wait.unwrap_or(unless_given).min(MAX_WAIT)
}

/// The result of a request for a check.
enum CheckRequest {
    /// A check of this attempt was requested.
    Attempt(u32),
    /// No check is needed: the name is held, or the claim has expired.
    NotNeeded,
    /// The last check was requested too short a time ago.
    TooSoon { again_at: DateTime<Utc> },
}

/// A claim after a request for verification and the wait for its outcome.
pub struct VerifyOutcome<E> {
    find: FindClaim<E>,
    claim_id: ClaimId,
    loaded: Loaded<Ownership>,
    again_at: Option<DateTime<Utc>>,
}

/// Finds the workspace's claim, in the words of the operation.
pub type FindClaim<E> = for<'a> fn(&ClaimRef, &'a Ownership) -> Result<&'a Claim, E>;

/// Requests a check and waits for its outcome.
pub async fn verify<E: ContractError + From<ClaimEnded>>(
    call: &Call,
    claim_ref: &ClaimRef,
    wait: Duration,
    find: FindClaim<E>,
) -> Result<VerifyOutcome<E>, E> {
    let (stream, policy) = (&claim_ref.stream, &call.state.policy);
    let executed = call
        .append(stream.clone(), |loaded: &Loaded<Ownership>, at| {
            let claim = find(claim_ref, &loaded.state)?;
            let claim_id = claim.id;
            let decided = loaded.state.decide(Command::RequestVerification { claim_id }, policy, at);
            let (writes, request): (Writes, CheckRequest) = match decided {
                Ok(events) if events.is_empty() => (vec![], CheckRequest::NotNeeded),
                Ok(events) => {
                    let attempt = requested_attempt(&events);
                    (claim_ref.writes(events), CheckRequest::Attempt(attempt))
                }
                Err(Rejection::TooSoon { again_at }) => (vec![], CheckRequest::TooSoon { again_at }),
                Err(Rejection::Ended) => return Err(E::from(ClaimEnded::from(claim))),
                Err(other) => return Err(E::from(unexpected(other))),
            };
            Ok((writes, (claim_id, request)))
        })
        .await?;
    let (before, (claim_id, request)) = (executed.loaded, executed.result);
    record_claim_id(claim_id);
    let (loaded, again_at) = match request {
        CheckRequest::Attempt(attempt) => {
            let settled = |ownership: &Ownership| is_settled(ownership, claim_id, attempt);
            (call.state.wait_for(before, wait, settled).await?, None)
        }
        CheckRequest::NotNeeded => (before, None),
        CheckRequest::TooSoon { again_at } => (before, Some(again_at)),
    };
    Ok(VerifyOutcome { find, claim_id, loaded, again_at })
}

/// The attempt that was requested; if the claim has expired instead, one that never comes.
fn requested_attempt(events: &[OwnershipEvent]) -> u32 {
    let attempt = events.iter().find_map(|event| match event {
        OwnershipEvent::VerificationRequested(e) => Some(e.attempt),
        _ => None,
    });
    attempt.unwrap_or(u32::MAX)
}

fn is_settled(ownership: &Ownership, claim_id: ClaimId, attempt: u32) -> bool {
    let Some(claim) = ownership.claims.get(&claim_id) else { return true };
    claim.settled >= attempt || !claim.is_open()
}

impl<E: ContractError + From<ClaimEnded>> VerifyOutcome<E> {
    /// Shows the claim with the HTTP status: 200 when it is proven and held, 202 while it is being checked.
    pub fn show<R>(
        &self,
        claim_ref: &ClaimRef,
        show: impl FnOnce(StatusCode, ClaimView<'_>) -> Result<R, RequestError>,
    ) -> Result<R, E> {
        let ownership = &self.loaded.state;
        let claim = match ownership.claims.get(&self.claim_id) {
            Some(claim) => claim,
            None => (self.find)(claim_ref, ownership)?,
        };
        if !claim.is_open() {
            return Err(ClaimEnded::from(claim).into());
        }
        let proven = matches!(claim.state, ClaimState::Held(_));
        let status = if proven { StatusCode::OK } else { StatusCode::ACCEPTED };
        let view = ClaimView { again_at: self.again_at, ..claim_ref.view(ownership, claim) };
        Ok(show(status, view)?)
    }

    /// The response, with the position of the claim and the time of the next request.
    pub async fn response(
        &self,
        call: &Call,
        claim_ref: &ClaimRef,
        show: impl FnOnce(StatusCode, ClaimView<'_>) -> Result<JsonResponse, RequestError>,
    ) -> Result<JsonResponse, E> {
        let position = claim_position(call, &self.loaded, self.claim_id).await?;
        let mut response = self.show(claim_ref, show)?.at(position);
        if let Some(again_at) = self.again_at {
            let seconds = (again_at - call.state.http.clock.now()).num_seconds().saturating_add(1);
            let value = HeaderValue::from(seconds.clamp(1, MAX_RETRY_AFTER));
            response = response.header(RETRY_AFTER, value);
        }
        if call.wait.is_some() {
            response = response.waited(wait_limit(call, DEFAULT_WAIT));
        }
        Ok(response)
    }
}
