//! Asking for a check now and waiting a moment for it: `POST /v1/domains/claims/{domain}/verify`, and the same for a
//! domain.
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use chrono::{DateTime, Utc};
use deed_claims::{ClaimId, Command, Ownership, OwnershipEvent, Rejection};
use deed_store::Loaded;

use super::own::{Asked, first};
use super::view::{ChallengeBody, DomainChallengeBody, Seen, Success};
use crate::call::{Call, Writes, concerns};
use crate::error_a::{ApiError, ErrorA};
use crate::fault::Fault;
use crate::reply::Reply;
use crate::shown::Claimant;
use crate::shown::timeline::Timeline;

/// How long an answer waits for the first check unless the caller says otherwise.
const WAIT: Duration = Duration::from_secs(3);
/// The longest wait a caller may prefer.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// The longest `Retry-After`; published clients sleep it through.
const LONGEST_RETRY: i64 = 60;
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

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
pub async fn verify_claim(call: Arc<Call>) -> Result<Reply, ErrorA> {
    let asked = Asked::by(&call)?;
    let verified = verify(&call, &asked, patience(&call, WAIT)).await?;
    verified.reply(&call, &asked, |status, seen| Reply::json(status, &Success::of(seen.challenge())))
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
pub async fn verify_domain(call: Arc<Call>) -> Result<Reply, ErrorA> {
    let asked = Asked::by(&call)?;
    let verified = verify(&call, &asked, patience(&call, WAIT)).await.map_err(|e| match e {
        ErrorA::NoSuchClaim(_) => asked.no_domain(),
        other => other,
    })?;
    verified.reply(&call, &asked, |status, seen| Reply::json(status, &Success::of(seen.domain_challenge())))
}

/// How long to wait: as the caller prefers, within bounds.
pub fn patience(call: &Call, unless_given: Duration) -> Duration {
    call.wait.unwrap_or(unless_given).min(LONGEST_WAIT)
}

/// What asking for a check came to.
enum Started {
    /// A check of this attempt was asked for.
    Attempt(u32),
    /// Nothing had to be asked: the name is held, or the claim has run out.
    Nothing,
    /// Asked again too soon.
    TooSoon { again_at: DateTime<Utc> },
}

/// A claim after it was asked to be verified, as far as it got in the time given.
pub struct Verified {
    claim_id: ClaimId,
    loaded: Loaded,
    again_at: Option<DateTime<Utc>>,
}

/// Asks for a check and waits for its outcome.
pub async fn verify(call: &Call, asked: &Asked, patience: Duration) -> Result<Verified, ErrorA> {
    let (stream, policy) = (&asked.stream, &call.state.policy);
    let ((claim_id, before, started), _) = call
        .append(std::slice::from_ref(stream), |loaded, at| {
            let before = first(loaded)?;
            let ownership = before.ownership();
            let claim = asked.claim(&ownership)?;
            let (claim_id, status, domain) = (claim.id, claim.status(), claim.requested.clone());
            let asking = ownership.decide(Command::RequestVerification { claim_id }, policy, at);
            let (writes, started): (Writes, Started) = match asking {
                Ok(events) if events.is_empty() => (vec![], Started::Nothing),
                Ok(events) => {
                    let attempt = requested(&events);
                    (asked.writes(events), Started::Attempt(attempt))
                }
                Err(Rejection::TooSoon { again_at }) => (vec![], Started::TooSoon { again_at }),
                Err(other) => {
                    return Err(ErrorA::of_rejection(other, &domain, &asked.root, Some(status)));
                }
            };
            Ok((writes, (claim_id, before.clone(), started)))
        })
        .await?;
    concerns(claim_id);
    let (loaded, again_at) = match started {
        Started::Attempt(attempt) => {
            let settled = |ownership: &Ownership| is_settled(ownership, claim_id, attempt);
            (call.state.wait_for(before, patience, settled).await?, None)
        }
        Started::Nothing => (before, None),
        Started::TooSoon { again_at } => (before, Some(again_at)),
    };
    Ok(Verified { claim_id, loaded, again_at })
}

/// The attempt that was asked for; when the claim turned out to have run out, one that never comes.
fn requested(events: &[OwnershipEvent]) -> u32 {
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

impl Verified {
    /// The claim and the status of its answer: 200 when proven and held, 202 while it is watched.
    pub fn outcome<R>(
        &self,
        asked: &Asked,
        show: impl FnOnce(StatusCode, Seen<'_>) -> Result<R, Fault>,
    ) -> Result<R, ErrorA> {
        let ownership = self.loaded.ownership();
        let claim = ownership.claims.get(&self.claim_id).ok_or_else(|| asked.no_claim())?;
        if !claim.is_open() {
            let (domain, status) = (claim.requested.clone(), claim.status());
            return Err(ErrorA::ClaimEnded { domain, status });
        }
        let proven = matches!(claim.state, deed_claims::ClaimState::Held(_));
        let status = if proven { StatusCode::OK } else { StatusCode::ACCEPTED };
        let seen = Seen { claim, again_at: self.again_at, ..asked.seen(&ownership)? };
        Ok(show(status, seen)?)
    }

    fn reply(
        &self,
        call: &Call,
        asked: &Asked,
        show: impl FnOnce(StatusCode, Seen<'_>) -> Result<Reply, Fault>,
    ) -> Result<Reply, ErrorA> {
        let position = Timeline::of(self.claim_id, Claimant::Workspace).position(&self.loaded.events);
        let mut reply = self.outcome(asked, show)?.at(position);
        if let Some(again_at) = self.again_at {
            let seconds = (again_at - call.state.clock.now()).num_seconds().saturating_add(1);
            let value = HeaderValue::from(seconds.clamp(1, LONGEST_RETRY));
            reply = reply.header(RETRY_AFTER, value);
        }
        if call.wait.is_some()
            && let Ok(value) = HeaderValue::from_str(&format!("wait={}", patience(call, WAIT).as_secs()))
        {
            reply = reply.header(PREFERENCE_APPLIED, value);
        }
        Ok(reply)
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use deed_claims::{Code, Diagnosis, Outcome};
    use deed_store::KeyScope;
    use insta::assert_json_snapshot;
    use serde_json::json;

    use crate::testing::{Answer, Harness, absent, with_key};

    const ACME: &str = "apex:acme.com";
    const VERIFY: &str = "/v1/domains/claims/acme.com/verify";

    async fn claimed(harness: &Harness) -> String {
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        harness.post("/v1/domains/claims", &key, json!({ "domain": "acme.com" })).await;
        key
    }

    /// Asks, and settles the check while the answer waits for it.
    async fn verify_while(harness: &Harness, key: &str, outcome: Outcome) -> Answer {
        let request = TestRequest::post().uri(VERIFY).insert_header(("prefer", "wait=30"));
        let asked = harness.ownership(ACME).await.claims.values().map(|claim| claim.settled).max().unwrap();
        let settle = async {
            loop {
                let ownership = harness.ownership(ACME).await;
                let manual = ownership.claims.values().any(|claim| {
                    claim.pending.is_some_and(|pending| {
                        pending.attempt > asked && pending.cause != deed_claims::CheckCause::Schedule
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
    async fn a_check_that_proves_the_record_is_waited_for() {
        let harness = Harness::start().await;
        let key = claimed(&harness).await;
        let answer = verify_while(&harness, &key, Outcome::Proven).await;
        assert_json_snapshot!("proven", answer.shown());
        assert_eq!(answer.header("preference-applied"), Some("wait=30"));
        // Held: nothing is asked again.
        let before = harness.last_position().await;
        let again = harness.post(VERIFY, &key, json!({})).await;
        assert_eq!((again.status.as_u16(), harness.last_position().await), (200, before));
        assert_eq!(again.body["data"]["status"], "verified");
    }

    #[actix_web::test]
    async fn a_check_that_does_not_is_told_with_its_reason_and_the_next_look() {
        let harness = Harness::start().await;
        let key = claimed(&harness).await;
        assert_json_snapshot!("absent", verify_while(&harness, &key, absent()).await.shown());
        // Asked again at once: nothing is started.
        let before = harness.last_position().await;
        let soon = harness.post(VERIFY, &key, json!({})).await;
        assert_json_snapshot!("too_soon", soon.shown());
        assert_eq!(soon.header("retry-after"), Some("11"));
        assert_eq!(harness.last_position().await, before);
        harness.clock.advance(chrono::Duration::seconds(11));
        let later = verify_while(&harness, &key, Outcome::Proven).await;
        assert_eq!(later.status.as_u16(), 200);
    }

    #[actix_web::test]
    async fn nobody_waits_longer_than_asked() {
        let harness = Harness::start().await;
        let key = claimed(&harness).await;
        let answer = harness.verify("/v1/domains/acme.com/verify", &key).await;
        assert_json_snapshot!("watched", answer.shown());
        assert_eq!(answer.header("preference-applied"), Some("wait=0"));
    }

    #[actix_web::test]
    async fn a_claim_that_is_over_is_not_verified() {
        let harness = Harness::start().await;
        let key = claimed(&harness).await;
        let refused = Outcome::NotProven(Diagnosis::new(
            Code::NameRefused,
            "The name may not be claimed.",
            "Claim another.",
        ));
        assert_json_snapshot!("refused", verify_while(&harness, &key, refused).await.shown());
        assert_eq!(harness.post(VERIFY, &key, json!({})).await.body["code"], "CLAIM_ENDED");
        // One whose time ran out ends when it is asked about.
        harness.post("/v1/domains/claims", &key, json!({ "domain": "acme.org" })).await;
        harness.clock.advance(chrono::Duration::days(8));
        let overdue = harness.verify("/v1/domains/claims/acme.org/verify", &key).await;
        assert_json_snapshot!("expired", overdue.shown());
    }

    #[actix_web::test]
    async fn a_verification_repeated_with_its_key_tells_what_came_of_it() {
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
