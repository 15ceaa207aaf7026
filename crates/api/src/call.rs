//! The calls of this surface, and what they read of claims.
use deed_claims::{ClaimId, Ownership, Rejection};
use deed_http::RequestError;
use deed_store::{Loaded, Position, RecordedEvent};
use tracing::Span;

use crate::state::AppState;

/// One admitted request.
pub type Call = deed_http::Call<AppState>;

/// Adds the claim id to the span of the request, and so to all of its later log lines.
pub fn record_claim_id(claim: ClaimId) {
    Span::current().record("claim", tracing::field::display(claim));
}

/// One event more than a page of the history of a claim holds, after its first `after` ones.
///
/// # Errors
/// When the store does not answer.
pub async fn read_claim(
    call: &Call,
    loaded: &Loaded<Ownership>,
    claim_id: ClaimId,
    after: u64,
    limit: usize,
) -> Result<Vec<RecordedEvent>, RequestError> {
    Ok(call.http().store.read_claim(&loaded.stream, claim_id, after, limit + 1).await?)
}

/// The position of the newest event of the history of a claim.
///
/// # Errors
/// When the store does not answer.
pub async fn claim_position(
    call: &Call,
    loaded: &Loaded<Ownership>,
    claim_id: ClaimId,
) -> Result<Option<Position>, RequestError> {
    Ok(loaded.claim_position(&*call.http().store, claim_id).await?)
}

/// The internal error for a rejection that the command of an operation never gets.
pub fn unexpected(rejection: Rejection) -> RequestError {
    RequestError::internal("asking the rules", rejection)
}
