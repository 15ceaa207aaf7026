//! Requests a check of a claim and waits a moment for it: `POST /v1/domains/claims/{domain}/verify`.
use std::sync::Arc;

use deed_claims::name::NameError;
use deed_http::{ContractError, JsonResponse, RequestError, RequestId};

use super::claim_ref::ClaimRef;
use super::error::{ApiError, ClaimEnded, ErrorAnswer, NoSuchClaim};
use super::verification::{DEFAULT_WAIT, verify, wait_limit};
use super::view::{ChallengeBody, ClaimView, Success};
use crate::call::Call;

/// Why no check of a claim is requested.
#[derive(Debug, thiserror::Error)]
pub enum VerifyClaimError {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    NoSuchClaim(#[from] NoSuchClaim),
    #[error(transparent)]
    Ended(#[from] ClaimEnded),
}

impl VerifyClaimError {
    /// What the error answers, also as a result of a bulk verification.
    pub fn answer(&self, request: &RequestId) -> ErrorAnswer {
        match self {
            Self::Request(error) => ErrorAnswer::of_request(error, request),
            Self::Name(error) => error.into(),
            Self::NoSuchClaim(error) => error.into(),
            Self::Ended(error) => error.into(),
        }
    }
}

impl ContractError for VerifyClaimError {
    fn response(&self, request: &RequestId) -> JsonResponse {
        self.answer(request).response(self)
    }
}

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
pub async fn verify_claim(call: Arc<Call>) -> Result<JsonResponse, VerifyClaimError> {
    let claim_ref = ClaimRef::from_path(&call)?;
    let verified = verify(&call, &claim_ref, wait_limit(&call, DEFAULT_WAIT), ClaimRef::claim).await?;
    let show = |status, view: ClaimView<'_>| JsonResponse::json(status, &Success::of(view.challenge()));
    verified.response(&call, &claim_ref, show).await
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
