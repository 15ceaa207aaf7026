//! A claim's timeline from the log: `GET /v1/domains/claims/{domain}/history`.
use std::sync::Arc;

use deed_claims::name::NameError;
use deed_http::{ContractError, JsonResponse, RequestError, RequestId};

use super::claim_ref::ClaimRef;
use super::error::{ApiError, ErrorAnswer, NoSuchClaim};
use super::view::Page;
use crate::bodies::Claimant;
use crate::bodies::timeline::camel::TimelineEntry;
use crate::bodies::timeline::{Timeline, TimelinePage};
use crate::call::{Call, claim_position, read_claim};

/// Why the history of a claim is not shown.
#[derive(Debug, thiserror::Error)]
pub enum ClaimHistoryError {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    NoSuchClaim(#[from] NoSuchClaim),
}

impl ContractError for ClaimHistoryError {
    fn response(&self, request: &RequestId) -> JsonResponse {
        let answer = match self {
            Self::Request(error) => ErrorAnswer::of_request(error, request),
            Self::Name(error) => error.into(),
            Self::NoSuchClaim(error) => error.into(),
        };
        answer.response(self)
    }
}

/// Get Domain Claim History
///
/// Everything that happened to the newest claim of this workspace on the name, the oldest first: every check with
/// what was seen and why it did not prove the record.
#[utoipa::path(
    get,
    path = "/v1/domains/claims/{domain}/history",
    operation_id = "GetDomainClaimHistory",
    tag = "Domains",
    params(
        ("domain" = String, Path, example = "acme.com", description = "The domain or any name under it, also percent-encoded Unicode"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Entries on a page; 500 unless given"),
        ("cursor" = Option<String>, Query, pattern = "^[0-9]{1,18}$", description = "The `nextCursor` of the page before"),
    ),
    responses(
        (status = 200, description = "A page of the timeline", body = Page<TimelineEntry>),
        (status = 404, description = "This workspace has no claim on the name", body = ApiError),
    )
)]
pub async fn claim_history(call: Arc<Call>) -> Result<JsonResponse, ClaimHistoryError> {
    let claim_ref = ClaimRef::from_path(&call)?;
    let (limit, after) = (call.query.limit()?, call.query.sequence_cursor()?);
    let loaded = call.load(&claim_ref.stream).await?;
    let claim = claim_ref.claim::<ClaimHistoryError>(&loaded.state)?;
    let events = read_claim(&call, &loaded, claim.id, after, limit).await?;
    let timeline = Timeline::of(claim.id, Claimant::Workspace);
    let TimelinePage::<TimelineEntry> { entries, next } = timeline.page(&events, after, limit);
    Ok(JsonResponse::ok(&Page::of(entries, next))?.at(claim_position(&call, &loaded, claim.id).await?))
}

#[cfg(test)]
mod tests {
    use deed_diagnosis::{Code, Diagnosis, Outcome};
    use deed_store::KeyScope;
    use insta::assert_json_snapshot;
    use serde_json::json;

    use crate::testing::{Harness, absent};

    const ACME: &str = "apex:acme.com";
    const HISTORY: &str = "/v1/domains/claims/acme.com/history";

    #[actix_web::test]
    async fn history_lists_checks_of_own_claim_only() {
        let harness = Harness::start().await;
        let (a, b) = (
            harness.workspace_key("ws_a", &KeyScope::ALL).await,
            harness.workspace_key("ws_b", &KeyScope::ALL).await,
        );
        for key in [&a, &b] {
            harness.post("/v1/domains/claims", key, json!({ "domain": "acme.com" })).await;
            harness.verify("/v1/domains/claims/acme.com/verify", key).await;
        }
        harness.record_check(ACME, "ws_a", absent()).await;
        harness.clock.advance(chrono::Duration::minutes(1));
        harness.record_check(ACME, "ws_a", Outcome::Proven).await;
        harness.record_contested_check(ACME, "ws_b", Outcome::Proven, Some(Outcome::Proven)).await;
        let holder = harness.get(HISTORY, &a).await;
        assert_json_snapshot!("holder", holder.snapshot());
        // Events of other claims leave no gap.
        let numbers: Vec<_> =
            holder.body["data"].as_array().unwrap().iter().map(|e| &e["sequence"]).collect();
        assert_eq!(json!(numbers), json!([1, 2, 3, 4, 5, 6, 7]));
        let challenger = harness.get(HISTORY, &b).await;
        let kinds: Vec<_> =
            challenger.body["data"].as_array().unwrap().iter().map(|e| e["type"].as_str().unwrap()).collect();
        assert_eq!(
            kinds,
            [
                "claim.initiated",
                "verification.requested",
                "check.recorded",
                "domain.verified",
                "contest.opened"
            ]
        );
        assert!(!challenger.text.contains("ws_a"));
    }

    #[actix_web::test]
    async fn answering_servers_are_not_called_unreachable() {
        let harness = Harness::start().await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        harness.post("/v1/domains/claims", &key, json!({ "domain": "acme.com" })).await;
        harness.verify("/v1/domains/claims/acme.com/verify", &key).await;
        harness.record_check(ACME, "ws_a", Outcome::Proven).await;
        for _ in 0..2 {
            harness.clock.advance(chrono::Duration::days(20));
            let answered = Diagnosis::from_text(Code::Servfail, "ns1.acme.com (SERVFAIL).", "Ask.");
            harness.record_check(ACME, "ws_a", Outcome::NotProven(answered)).await;
        }
        let history = harness.get(HISTORY, &key).await;
        let missing = history.body["data"].as_array().unwrap().iter().find(|e| e["type"] == "proof.missing");
        assert_eq!(
            missing.unwrap()["message"],
            "The record could not be checked for a long time: the DNS gave no usable answer."
        );
        let claim = harness.verify("/v1/domains/claims/acme.com/verify", &key).await;
        assert_eq!(claim.body["data"]["status"], "at_risk");
        let message = claim.body["data"]["message"].as_str().unwrap();
        assert!(message.contains("could not be checked") && message.contains("`diagnosis`"), "{message}");
        assert!(!message.contains("publish it again"), "{message}");
    }

    #[actix_web::test]
    async fn pages_through_history() {
        let harness = Harness::start().await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        harness.post("/v1/domains/claims", &key, json!({ "domain": "acme.com" })).await;
        harness.verify("/v1/domains/claims/acme.com/verify", &key).await;
        let first = harness.get(&format!("{HISTORY}?limit=1"), &key).await;
        assert_eq!(first.body["data"][0]["type"], "claim.initiated");
        let cursor = first.body["nextCursor"].as_str().unwrap();
        let last = harness.get(&format!("{HISTORY}?limit=1&cursor={cursor}"), &key).await;
        assert_eq!(last.body["data"][0]["type"], "verification.requested");
        assert_eq!(last.body.get("nextCursor"), None);
        assert_eq!(harness.get(&format!("{HISTORY}?cursor=x"), &key).await.status.as_u16(), 400);
    }
}
