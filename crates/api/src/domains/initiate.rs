//! Claiming a name: `POST /v1/domains/claims`.
use std::sync::Arc;

use deed_claims::{Command, IfHeldByAnother, Scope};
use serde::Deserialize;
use utoipa::ToSchema;

use super::own::{Asked, after, first};
use super::view::{ChallengeBody, Seen, Success};
use crate::call::{Call, Decided, concerns};
use crate::cap;
use crate::error_a::{ApiError, ErrorA};
use crate::fault::Fault;
use crate::reply::Reply;

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
    let (name, root) = call.state.claimable(wish.domain, Scope::Apex)?.into_parts();
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
        let seen = asked.seen(&ownership)?;
        concerns(seen.claim.id);
        let reply = show(seen)?;
        Ok(Decided { writes: asked.writes(events), reply })
    })
    .await
}

#[cfg(test)]
mod tests {
    use actix_web::http::StatusCode;
    use deed_claims::Outcome;
    use deed_store::KeyScope;
    use insta::assert_json_snapshot;
    use serde_json::json;

    use crate::testing::{Harness, Setup};

    const CLAIMS: &str = "/v1/domains/claims";
    const ACME: &str = "apex:acme.com";

    #[actix_web::test]
    async fn a_claim_is_answered_with_its_record_and_again_with_the_same() {
        let harness = Harness::start().await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        let first = harness.post(CLAIMS, &key, json!({ "domain": "Send.Acme.com." })).await;
        assert_json_snapshot!("claim", first.shown());
        assert_eq!(first.header("deed-position"), Some("1"));
        let again = harness.post(CLAIMS, &key, json!({ "domain": "acme.com" })).await;
        assert_eq!(again.text, first.text);
        assert_eq!(again.header("deed-position"), None);
        assert_eq!(harness.load(ACME).await.events.len(), 1);
    }

    #[actix_web::test]
    async fn every_workspace_gets_a_record_of_its_own_whoever_has_the_name() {
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
        let value = |answer: &crate::testing::Answer| answer.body["data"]["record"]["value"].clone();
        assert_ne!(value(&first), value(&second));
        assert_eq!(first.shown()["body"], second.shown()["body"], "nothing but the record tells them apart");
    }

    #[actix_web::test]
    async fn an_international_name_is_shown_as_an_a_label() {
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
    async fn names_that_cannot_be_claimed_are_refused_each_with_its_code() {
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
            answers.push(harness.post(CLAIMS, &key, json!({ "domain": name })).await.shown());
        }
        assert_json_snapshot!("refused_names", answers);
        assert_eq!(harness.last_position().await.0, 0);
    }

    #[actix_web::test]
    async fn a_workspace_at_its_cap_opens_no_more_claims_but_keeps_those_it_has() {
        let mut setup = Setup::default();
        setup.caps.open_claims_per_workspace = 1;
        let harness = Harness::with(setup).await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        let first = harness.post(CLAIMS, &key, json!({ "domain": "acme.com" })).await;
        harness.project().await;
        let over = harness.post(CLAIMS, &key, json!({ "domain": "acme.org" })).await;
        assert_json_snapshot!("too_many_claims", over.shown());
        assert!(harness.load("apex:acme.org").await.events.is_empty());
        let again = harness.post(CLAIMS, &key, json!({ "domain": "acme.com" })).await;
        assert_eq!(again.text, first.text);
    }

    #[actix_web::test]
    async fn newcomer_is_let_in_and_the_oldest_gives_way() {
        let mut setup = Setup::default();
        setup.policy.open_claims_per_name = 1;
        let harness = Harness::with(setup).await;
        let a = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        let b = harness.workspace_key("ws_b", &KeyScope::ALL).await;
        let first = harness.post(CLAIMS, &a, json!({ "domain": "acme.com" })).await;
        let second = harness.post(CLAIMS, &b, json!({ "domain": "acme.com" })).await;
        assert_eq!(second.status, StatusCode::OK);
        // Its workspace is told, and claims again at once.
        let ended = harness.get("/v1/domains/claims/acme.com", &a).await;
        assert_eq!(ended.body["data"]["status"], "expired");
        let history = harness.get("/v1/domains/claims/acme.com/history", &a).await;
        assert_json_snapshot!("gave_way", history.body["data"][1]);
        let again = harness.post(CLAIMS, &a, json!({ "domain": "acme.com" })).await;
        assert_eq!((again.status, &again.body["data"]["status"]), (StatusCode::OK, &json!("pending")));
        assert_ne!(again.body["data"]["record"]["value"], first.body["data"]["record"]["value"]);
    }

    #[actix_web::test]
    async fn a_claim_that_ran_out_is_made_anew_with_a_new_record() {
        let harness = Harness::start().await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        let first = harness.post(CLAIMS, &key, json!({ "domain": "acme.com" })).await;
        harness.clock.advance(chrono::Duration::days(8));
        let second = harness.post(CLAIMS, &key, json!({ "domain": "acme.com" })).await;
        assert_ne!(first.body["data"]["id"], second.body["data"]["id"]);
        assert_ne!(first.body["data"]["record"]["value"], second.body["data"]["record"]["value"]);
    }
}
