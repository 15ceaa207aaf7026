//! Requests verification of a hostname: a check now, and more until it is proven or the claim expires.
use std::sync::Arc;

use chrono::{DateTime, Utc};
use deed_claims::{Command, Policy, Rejection};
use deed_http::{Decision, JsonResponse};

use super::app_domain::{AppDomain, app_id, path_name};
use super::error::{AppsError, ErrorResponse};
use super::view::DomainResponse;
use crate::call::{Call, record_claim_id};

/// Verify a custom domain
///
/// Answers at once and watches the DNS from then on, for up to 72 hours by default; read the list of domains for
/// what comes of it. A domain that is watched is checked once more; asked again too soon, nothing changes. A domain
/// that the app has is answered as it stands.
#[utoipa::path(
    post,
    path = "/v1/apps/{app_id}/domains/{domain}/verify",
    operation_id = "VerifyCustomDomain",
    tag = "Apps",
    params(
        ("app_id" = String, Path, description = "The app's id"),
        ("domain" = String, Path, description = "The domain; Unicode is possible"),
    ),
    responses(
        (status = 200, description = "The domain", body = DomainResponse),
        (status = 400, description = "The verification has ended: add the domain again", body = ErrorResponse),
        (status = 404, description = "No such app or domain", body = ErrorResponse),
    ),
)]
pub async fn verify_domain(call: Arc<Call>) -> Result<JsonResponse, AppsError> {
    let name = path_name(&call)?;
    let app_id = app_id(&call)?;
    let state = &call.state;
    call.respond(AppDomain::streams(&app_id, &name), |loaded, at| {
        let mut app_domain = AppDomain::load(loaded, &call, &name)?;
        watch(&mut app_domain, &state.policy, at)?;
        Ok(Decision {
            response: JsonResponse::ok(&app_domain.response(&state.cname_base))?,
            writes: app_domain.into_writes(),
        })
    })
    .await
}

fn watch(app_domain: &mut AppDomain, policy: &Policy, at: DateTime<Utc>) -> Result<(), AppsError> {
    let claim = app_domain.existing_claim()?;
    // The expiry is recorded when it falls due; until then the response is the same.
    if claim.is_overdue(at) {
        return Err(AppsError::Ended(app_domain.name().clone()));
    }
    let claim_id = claim.id;
    record_claim_id(claim_id);
    match app_domain.decide(Command::RequestVerification { claim_id }, policy, at) {
        Ok(()) | Err(Rejection::TooSoon { .. }) => Ok(()),
        Err(why) => Err(AppsError::of_rejection(why, app_domain.name())),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use serde_json::json;

    use crate::apps::testing::{HOST, Tenant, host};
    use crate::testing::{Harness, absent, with_key};

    #[actix_web::test]
    async fn verification_starts_at_once() {
        let harness = Harness::start().await;
        let tenant = Tenant::new(&harness, "ws_a").await;
        tenant.add(&harness, HOST).await;
        let answer = tenant.post_action(&harness, HOST, "verify").await;
        insta::assert_json_snapshot!("verifying", answer.snapshot());
        let position = harness.last_position().await.to_string();
        assert_eq!(answer.header("deed-position"), Some(position.as_str()));
        let ownership = harness.ownership(&host(HOST)).await;
        assert_eq!(ownership.claims.values().next().unwrap().pending.unwrap().attempt, 1);
    }

    #[actix_web::test]
    async fn too_soon_request_starts_no_check() {
        let harness = Harness::start().await;
        let tenant = Tenant::new(&harness, "ws_a").await;
        tenant.add(&harness, HOST).await;
        tenant.post_action(&harness, HOST, "verify").await;
        harness.record_check(&host(HOST), "ws_a", absent()).await;
        let before = harness.last_position().await;
        let soon = tenant.post_action(&harness, HOST, "verify").await;
        assert_eq!((soon.status.as_u16(), &soon.body["status"]), (200, &json!("verifying")));
        assert_eq!(harness.last_position().await, before);
        harness.clock.advance(chrono::Duration::seconds(11));
        assert_eq!(tenant.post_action(&harness, HOST, "verify").await.status, 200);
        assert_eq!(harness.last_position().await.0, before.0 + 1);
    }

    #[actix_web::test]
    async fn active_domain_needs_no_verification() {
        let harness = Harness::start().await;
        let tenant = Tenant::new(&harness, "ws_a").await;
        tenant.add(&harness, HOST).await;
        tenant.prove(&harness, HOST).await;
        let before = harness.last_position().await;
        let answer = tenant.post_action(&harness, HOST, "verify").await;
        insta::assert_json_snapshot!("active", answer.snapshot());
        assert_eq!(harness.last_position().await, before);
    }

    #[actix_web::test]
    async fn rejects_verification_of_expired_claim() {
        let harness = Harness::start().await;
        let tenant = Tenant::new(&harness, "ws_a").await;
        tenant.add(&harness, HOST).await;
        tenant.post_action(&harness, HOST, "verify").await;
        harness.clock.advance(chrono::Duration::hours(73));
        let overdue = tenant.post_action(&harness, HOST, "verify").await;
        insta::assert_json_snapshot!("ended", overdue.snapshot());
        harness.record_check(&host(HOST), "ws_a", absent()).await;
        assert_eq!(tenant.listed(&harness, HOST).await["status"], "failed");
        assert_eq!(tenant.post_action(&harness, HOST, "verify").await.text, overdue.text);
    }

    #[actix_web::test]
    async fn accepts_unicode_hostname_in_path() {
        let harness = Harness::start().await;
        let tenant = Tenant::new(&harness, "ws_a").await;
        tenant.add(&harness, "bücher.de").await;
        let answer = tenant.post_action(&harness, "b%C3%BCcher.de", "verify").await;
        assert_eq!((answer.status.as_u16(), &answer.body["domain"]), (200, &json!("xn--bcher-kva.de")));
        let missing = tenant.post_action(&harness, HOST, "verify").await;
        insta::assert_json_snapshot!("missing_domain", missing.snapshot());
        let no_name = tenant.post_action(&harness, "acme%2Fcom", "verify").await;
        insta::assert_json_snapshot!("path_without_a_name", no_name.snapshot());
    }

    #[actix_web::test]
    async fn accepts_empty_body_with_json_content_type() {
        let harness = Harness::start().await;
        let tenant = Tenant::new(&harness, "ws_a").await;
        tenant.add(&harness, HOST).await;
        let path = format!("{}/verify", tenant.domain(HOST));
        let request = TestRequest::post().uri(&path).insert_header(("content-type", "application/json"));
        assert_eq!(harness.request(with_key(request, &tenant.key)).await.status, 200);
    }
}
