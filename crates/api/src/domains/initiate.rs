//! Claiming a name: `POST /v1/domains/claims`.
use std::sync::Arc;

use deed_claims::{Command, IfHeldByAnother, Ownership, Scope};
use deed_http::{Decision, JsonResponse, RequestError};
use deed_store::Loaded;
use serde::Deserialize;
use utoipa::ToSchema;

use super::claim_ref::{ClaimRef, apply};
use super::error::{ApiError, DomainsError};
use super::view::{ChallengeBody, ClaimView, Success};
use crate::call::{Call, record_claim_id};

/// The name to claim.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DomainClaimInitiateRequest {
    /// The name, such as `acme.com` or `send.acme.com`. The registrable domain is found by itself.
    #[schema(example = "send.acme.com")]
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
pub async fn initiate_claim(call: Arc<Call>) -> Result<JsonResponse, DomainsError> {
    let body: DomainClaimInitiateRequest = call.json()?;
    let request =
        ClaimRequest { domain: &body.domain, region: None, if_held_by_another: IfHeldByAnother::Challenge };
    claim(&call, &request, |view| JsonResponse::ok(&Success::of(view.challenge()))).await
}

/// The name to claim, and how.
pub struct ClaimRequest<'a> {
    pub domain: &'a str,
    pub region: Option<Arc<str>>,
    pub if_held_by_another: IfHeldByAnother,
}

/// Creates a claim or finds the open one, and shows it.
pub async fn claim(
    call: &Call,
    request: &ClaimRequest<'_>,
    show: impl Fn(ClaimView<'_>) -> Result<JsonResponse, RequestError> + Send + Sync,
) -> Result<JsonResponse, DomainsError> {
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
            return Err(DomainsError::TooManyClaims { limit });
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
        let events = ownership
            .decide(command, &call.state.policy, at)
            .map_err(|rejection| DomainsError::of_rejection(rejection, &name, &root, None))?;
        let ownership = apply(ownership.clone(), &events);
        let view = claim_ref.view(&ownership)?;
        record_claim_id(view.claim.id);
        let response = show(view)?;
        Ok(Decision { writes: claim_ref.writes(events), response })
    })
    .await
}

#[cfg(test)]
mod tests {
    use actix_web::http::StatusCode;
    use deed_diagnosis::Outcome;
    use deed_store::KeyScope;
    use insta::assert_json_snapshot;
    use serde_json::json;

    use crate::testing::{Harness, Setup};

    const CLAIMS: &str = "/v1/domains/claims";
    const ACME: &str = "apex:acme.com";

    #[actix_web::test]
    async fn repeated_claim_returns_same_record() {
        let harness = Harness::start().await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        let first = harness.post(CLAIMS, &key, json!({ "domain": "Send.Acme.com." })).await;
        assert_json_snapshot!("claim", first.snapshot());
        assert_eq!(first.header("deed-position"), Some("1"));
        let again = harness.post(CLAIMS, &key, json!({ "domain": "acme.com" })).await;
        assert_eq!(again.text, first.text);
        assert_eq!(again.header("deed-position"), None);
        assert_eq!(harness.load(ACME).await.events.len(), 1);
    }

    #[actix_web::test]
    async fn each_workspace_gets_its_own_record() {
        let harness = Harness::start().await;
        let (a, b) = (
            harness.workspace_key("ws_a", &KeyScope::ALL).await,
            harness.workspace_key("ws_b", &KeyScope::ALL).await,
        );
        let first = harness.post(CLAIMS, &a, json!({ "domain": "acme.com" })).await;
        harness.verify("/v1/domains/claims/acme.com/verify", &a).await;
        harness.record_check(ACME, "ws_a", Outcome::Proven).await;
        let second = harness.post(CLAIMS, &b, json!({ "domain": "acme.com" })).await;
        assert_eq!(second.status, StatusCode::OK);
        let value = |answer: &crate::testing::TestResponse| answer.body["data"]["record"]["value"].clone();
        assert_ne!(value(&first), value(&second));
        assert_eq!(
            first.snapshot()["body"],
            second.snapshot()["body"],
            "nothing but the record tells them apart"
        );
    }

    #[actix_web::test]
    async fn shows_international_name_as_a_label() {
        let harness = Harness::start().await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        let answer = harness.post(CLAIMS, &key, json!({ "domain": "münchen.de" })).await;
        assert_eq!(answer.body["data"]["rootDomain"], "xn--mnchen-3ya.de");
        let found = harness.get("/v1/domains/claims/m%C3%BCnchen.de", &key).await;
        assert_eq!(found.body["data"]["id"], answer.body["data"]["id"]);
        let domain = harness.get("/v1/domains/www.xn--mnchen-3ya.de", &key).await;
        assert_eq!(domain.body["data"]["unicodeDomain"], "münchen.de");
    }

    #[actix_web::test]
    async fn rejects_unclaimable_names_with_codes() {
        let harness = Harness::start().await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        let mut answers = vec![];
        for name in [
            "",
            &format!("{}com", "a.".repeat(125)),
            "-acme.com",
            "192.0.2.1",
            "localhost",
            "*.acme.com",
            "https://acme.com/x",
            "co.uk",
            "printer.local",
            "acme.nosuchtld",
            "gmail.com",
        ] {
            answers.push(harness.post(CLAIMS, &key, json!({ "domain": name })).await.snapshot());
        }
        assert_json_snapshot!("refused_names", answers);
        assert_eq!(harness.last_position().await.0, 0);
    }

    #[actix_web::test]
    async fn workspace_at_quota_keeps_existing_claims() {
        let mut setup = Setup::default();
        setup.caps.open_claims_per_workspace = 1;
        let harness = Harness::with(setup).await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        let first = harness.post(CLAIMS, &key, json!({ "domain": "acme.com" })).await;
        harness.project().await;
        let over = harness.post(CLAIMS, &key, json!({ "domain": "acme.org" })).await;
        assert_json_snapshot!("too_many_claims", over.snapshot());
        assert!(harness.load("apex:acme.org").await.events.is_empty());
        let again = harness.post(CLAIMS, &key, json!({ "domain": "acme.com" })).await;
        assert_eq!(again.text, first.text);
    }

    #[actix_web::test]
    async fn oldest_claim_gives_way_to_newcomer() {
        let mut setup = Setup::default();
        setup.policy.open_claims_per_name = 1;
        let harness = Harness::with(setup).await;
        let a = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        let b = harness.workspace_key("ws_b", &KeyScope::ALL).await;
        let first = harness.post(CLAIMS, &a, json!({ "domain": "acme.com" })).await;
        let second = harness.post(CLAIMS, &b, json!({ "domain": "acme.com" })).await;
        assert_eq!(second.status, StatusCode::OK);
        // Its workspace sees the expiry and can claim again at once.
        let ended = harness.get("/v1/domains/claims/acme.com", &a).await;
        assert_eq!(ended.body["data"]["status"], "expired");
        let history = harness.get("/v1/domains/claims/acme.com/history", &a).await;
        assert_json_snapshot!("gave_way", history.body["data"][1]);
        let again = harness.post(CLAIMS, &a, json!({ "domain": "acme.com" })).await;
        assert_eq!((again.status, &again.body["data"]["status"]), (StatusCode::OK, &json!("pending")));
        assert_ne!(again.body["data"]["record"]["value"], first.body["data"]["record"]["value"]);
    }

    #[actix_web::test]
    async fn expired_claim_is_replaced_with_new_record() {
        let harness = Harness::start().await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        let first = harness.post(CLAIMS, &key, json!({ "domain": "acme.com" })).await;
        harness.clock.advance(chrono::Duration::days(8));
        let second = harness.post(CLAIMS, &key, json!({ "domain": "acme.com" })).await;
        assert_ne!(first.body["data"]["id"], second.body["data"]["id"]);
        assert_ne!(first.body["data"]["record"]["value"], second.body["data"]["record"]["value"]);
    }
}
