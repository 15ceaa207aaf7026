//! Requests a check and waits a moment for it: `POST /v1/domains/claims/{domain}/verify`, and the same for a domain.
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, RETRY_AFTER};
use chrono::{DateTime, Utc};
use deed_claims::{ClaimId, Command, Ownership, OwnershipEvent, Rejection};
use deed_http::{JsonResponse, RequestError, Writes};
use deed_store::Loaded;

use super::claim_ref::ClaimRef;
use super::error::{ApiError, DomainsError};
use super::view::{ChallengeBody, ClaimView, DomainChallengeBody, Success};
use crate::call::{Call, claim_position, record_claim_id};

/// How long a response waits for the check by default.
const DEFAULT_WAIT: Duration = Duration::from_secs(3);
/// The longest wait a caller may prefer.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// The longest `Retry-After`; published clients sleep it through.
const MAX_RETRY_AFTER: i64 = 60;

/// Verify Domain Claim
///
/// Begins to watch the DNS for the record, or looks again, and waits a moment for the outcome (`Prefer: wait=N`, 3
/// seconds unless given, at most 30). When the record is not there yet the answer says why and when the next look
/// falls due; nothing more needs to be asked. Asked again too soon, nothing is started.
#[utoipa::path(
    post,
    path = "/v1/domains/claims/{domain}/verify",
    operation_id = "VerifyDomainClaim",
    tag = "Domains",
    params(
        ("domain" = String, Path, example = "acme.com", description = "The domain or any name under it, also percent-encoded Unicode"),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds for the outcome"),
    ),
    responses(
        (status = 200, description = "The name is verified for this workspace", body = Success<ChallengeBody>),
        (status = 202, description = "The record is being watched for", body = Success<ChallengeBody>),
        (status = 404, description = "This workspace has no claim on the name", body = ApiError),
        (status = 409, description = "The claim has ended (`CLAIM_ENDED`), or the Idempotency-Key was used before", body = ApiError),
    )
)]
pub async fn verify_claim(call: Arc<Call>) -> Result<JsonResponse, DomainsError> {
    let claim_ref = ClaimRef::from_path(&call)?;
    let verified = verify(&call, &claim_ref, wait_limit(&call, DEFAULT_WAIT)).await?;
    verified
        .response(&call, &claim_ref, |status, view| {
            JsonResponse::json(status, &Success::of(view.challenge()))
        })
        .await
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
pub async fn verify_domain(call: Arc<Call>) -> Result<JsonResponse, DomainsError> {
    let claim_ref = ClaimRef::from_path(&call)?;
    let verified = verify(&call, &claim_ref, wait_limit(&call, DEFAULT_WAIT)).await.map_err(|e| match e {
        DomainsError::NoSuchClaim(_) => claim_ref.domain_not_found(),
        other => other,
    })?;
    verified
        .response(&call, &claim_ref, |status, view| {
            JsonResponse::json(status, &Success::of(view.domain_challenge()))
        })
        .await
}

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
pub struct VerifyOutcome {
    claim_id: ClaimId,
    loaded: Loaded<Ownership>,
    again_at: Option<DateTime<Utc>>,
}

/// Requests a check and waits for its outcome.
pub async fn verify(
    call: &Call,
    claim_ref: &ClaimRef,
    wait: Duration,
) -> Result<VerifyOutcome, DomainsError> {
    let (stream, policy) = (&claim_ref.stream, &call.state.policy);
    let executed = call
        .append(stream.clone(), |loaded: &Loaded<Ownership>, at| {
            let ownership = &loaded.state;
            let claim = claim_ref.claim(ownership)?;
            let (claim_id, status, domain) = (claim.id, claim.status(), claim.requested.clone());
            let decided = ownership.decide(Command::RequestVerification { claim_id }, policy, at);
            let (writes, request): (Writes, CheckRequest) = match decided {
                Ok(events) if events.is_empty() => (vec![], CheckRequest::NotNeeded),
                Ok(events) => {
                    let attempt = requested_attempt(&events);
                    (claim_ref.writes(events), CheckRequest::Attempt(attempt))
                }
                Err(Rejection::TooSoon { again_at }) => (vec![], CheckRequest::TooSoon { again_at }),
                Err(other) => {
                    return Err(DomainsError::of_rejection(other, &domain, &claim_ref.root, Some(status)));
                }
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
    Ok(VerifyOutcome { claim_id, loaded, again_at })
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

impl VerifyOutcome {
    /// Shows the claim with the HTTP status: 200 when it is proven and held, 202 while it is being checked.
    pub fn show<R>(
        &self,
        claim_ref: &ClaimRef,
        show: impl FnOnce(StatusCode, ClaimView<'_>) -> Result<R, RequestError>,
    ) -> Result<R, DomainsError> {
        let ownership = &self.loaded.state;
        let claim = ownership.claims.get(&self.claim_id).ok_or_else(|| claim_ref.claim_not_found())?;
        if !claim.is_open() {
            let (domain, status) = (claim.requested.clone(), claim.status());
            return Err(DomainsError::ClaimEnded { domain, status });
        }
        let proven = matches!(claim.state, deed_claims::ClaimState::Held(_));
        let status = if proven { StatusCode::OK } else { StatusCode::ACCEPTED };
        let view = ClaimView { claim, again_at: self.again_at, ..claim_ref.view(ownership)? };
        Ok(show(status, view)?)
    }

    async fn response(
        &self,
        call: &Call,
        claim_ref: &ClaimRef,
        show: impl FnOnce(StatusCode, ClaimView<'_>) -> Result<JsonResponse, RequestError>,
    ) -> Result<JsonResponse, DomainsError> {
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

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use deed_diagnosis::{Code, Diagnosis, Outcome};
    use deed_store::KeyScope;
    use insta::assert_json_snapshot;
    use serde_json::json;

    use crate::testing::{Harness, TestResponse, absent, with_key};

    const ACME: &str = "apex:acme.com";
    const VERIFY: &str = "/v1/domains/claims/acme.com/verify";

    async fn claimed(harness: &Harness) -> String {
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        harness.post("/v1/domains/claims", &key, json!({ "domain": "acme.com" })).await;
        key
    }

    /// Requests verification, and settles the check while the response waits for it.
    async fn verify_while(harness: &Harness, key: &str, outcome: Outcome) -> TestResponse {
        let request = TestRequest::post().uri(VERIFY).insert_header(("prefer", "wait=30"));
        let claim_ref =
            harness.ownership(ACME).await.claims.values().map(|claim| claim.settled).max().unwrap();
        let settle = async {
            loop {
                let ownership = harness.ownership(ACME).await;
                let manual = ownership.claims.values().any(|claim| {
                    claim.pending.is_some_and(|pending| {
                        pending.attempt > claim_ref && pending.cause != deed_claims::CheckCause::Schedule
                    })
                });
                if manual {
                    break;
                }
                tokio::task::yield_now().await;
            }
            harness.record_check(ACME, "ws_a", outcome).await;
        };
        let (answer, ()) = futures::join!(harness.request(with_key(request, key)), settle);
        answer
    }

    #[actix_web::test]
    async fn waits_for_the_check_that_proves_the_record() {
        let harness = Harness::start().await;
        let key = claimed(&harness).await;
        let answer = verify_while(&harness, &key, Outcome::Proven).await;
        assert_json_snapshot!("proven", answer.snapshot());
        assert_eq!(answer.header("preference-applied"), Some("wait=30"));
        // Held: no check is requested.
        let before = harness.last_position().await;
        let again = harness.post(VERIFY, &key, json!({})).await;
        assert_eq!((again.status.as_u16(), harness.last_position().await), (200, before));
        assert_eq!(again.body["data"]["status"], "verified");
    }

    #[actix_web::test]
    async fn failed_check_shows_diagnosis_and_next_check() {
        let harness = Harness::start().await;
        let key = claimed(&harness).await;
        assert_json_snapshot!("absent", verify_while(&harness, &key, absent()).await.snapshot());
        // Repeated at once: no check is requested.
        let before = harness.last_position().await;
        let soon = harness.post(VERIFY, &key, json!({})).await;
        assert_json_snapshot!("too_soon", soon.snapshot());
        assert_eq!(soon.header("retry-after"), Some("11"));
        assert_eq!(harness.last_position().await, before);
        harness.clock.advance(chrono::Duration::seconds(11));
        let later = verify_while(&harness, &key, Outcome::Proven).await;
        assert_eq!(later.status.as_u16(), 200);
    }

    #[actix_web::test]
    async fn waits_no_longer_than_preferred() {
        let harness = Harness::start().await;
        let key = claimed(&harness).await;
        let answer = harness.verify("/v1/domains/acme.com/verify", &key).await;
        assert_json_snapshot!("watched", answer.snapshot());
        assert_eq!(answer.header("preference-applied"), Some("wait=0"));
    }

    #[actix_web::test]
    async fn rejects_verification_of_ended_claim() {
        let harness = Harness::start().await;
        let key = claimed(&harness).await;
        let refused = Outcome::NotProven(Diagnosis::from_text(
            Code::NameRefused,
            "The name may not be claimed.",
            "Claim another.",
        ));
        assert_json_snapshot!("refused", verify_while(&harness, &key, refused).await.snapshot());
        assert_eq!(harness.post(VERIFY, &key, json!({})).await.body["code"], "CLAIM_ENDED");
        // An overdue claim expires when verification is requested.
        harness.post("/v1/domains/claims", &key, json!({ "domain": "acme.org" })).await;
        harness.clock.advance(chrono::Duration::days(8));
        let overdue = harness.verify("/v1/domains/claims/acme.org/verify", &key).await;
        assert_json_snapshot!("expired", overdue.snapshot());
    }

    #[actix_web::test]
    async fn repeated_verification_shows_current_state() {
        let harness = Harness::start().await;
        let key = claimed(&harness).await;
        let ask = || {
            let request = TestRequest::post()
                .uri(VERIFY)
                .insert_header(("prefer", "wait=0"))
                .insert_header(("idempotency-key", "v1"));
            with_key(request, &key)
        };
        assert_eq!(harness.request(ask()).await.status.as_u16(), 202);
        harness.record_check(ACME, "ws_a", Outcome::Proven).await;
        let before = harness.last_position().await;
        let again = harness.request(ask()).await;
        assert_eq!((again.status.as_u16(), again.header("idempotency-replayed")), (200, None));
        assert_eq!(
            (&again.body["data"]["status"], harness.last_position().await),
            (&json!("verified"), before)
        );
    }
}
