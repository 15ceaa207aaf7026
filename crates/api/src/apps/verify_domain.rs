//! Asking for a hostname to be checked: now, and from now on until it is proven or the time is over.
use std::sync::Arc;

use chrono::{DateTime, Utc};
use deed_claims::{Command, Policy, Rejection};

use super::site::{Site, app_id, path_name};
use super::view::DomainResponse;
use crate::call::{Call, Decided, concerns};
use crate::error_b::{ErrorB, ErrorResponse};
use crate::reply::Reply;

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
pub async fn verify_domain(call: Arc<Call>) -> Result<Reply, ErrorB> {
    let name = path_name(&call)?;
    let app_id = app_id(&call)?;
    let state = &call.state;
    call.answer(&Site::streams(&app_id, &name), |loaded, at| {
        let mut site = Site::load(loaded, &call, &name)?;
        watch(&mut site, &state.policy, at)?;
        Ok(Decided { reply: Reply::ok(&site.response(&state.cname_base))?, writes: site.into_writes() })
    })
    .await
}

fn watch(site: &mut Site, policy: &Policy, at: DateTime<Utc>) -> Result<(), ErrorB> {
    let claim = site.present()?;
    // Its end is recorded when its time comes up; until then the answer is the same.
    if claim.is_overdue(at) {
        return Err(ErrorB::Ended(site.name().clone()));
    }
    let claim_id = claim.id;
    concerns(claim_id);
    match site.decide(Command::RequestVerification { claim_id }, policy, at) {
        Ok(()) | Err(Rejection::TooSoon { .. }) => Ok(()),
        Err(why) => Err(ErrorB::of_rejection(why, site.name())),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use serde_json::json;

    use crate::apps::testing::{HOST, Tenant, host};
    use crate::testing::{Harness, absent, with_key};

    #[actix_web::test]
    async fn watching_begins_at_once() {
        let harness = Harness::start().await;
        let tenant = Tenant::new(&harness, "ws_a").await;
        tenant.add(&harness, HOST).await;
        let answer = tenant.tell(&harness, HOST, "verify").await;
        insta::assert_json_snapshot!("verifying", answer.shown());
        let position = harness.last_position().await.to_string();
        assert_eq!(answer.header("deed-position"), Some(position.as_str()));
        let ownership = harness.ownership(&host(HOST)).await;
        assert_eq!(ownership.claims.values().next().unwrap().pending.unwrap().attempt, 1);
    }

    #[actix_web::test]
    async fn asked_too_soon_nothing_changes_and_later_one_more_check_is_made() {
        let harness = Harness::start().await;
        let tenant = Tenant::new(&harness, "ws_a").await;
        tenant.add(&harness, HOST).await;
        tenant.tell(&harness, HOST, "verify").await;
        harness.record_check(&host(HOST), "ws_a", absent()).await;
        let before = harness.last_position().await;
        let soon = tenant.tell(&harness, HOST, "verify").await;
        assert_eq!((soon.status.as_u16(), &soon.body["status"]), (200, &json!("verifying")));
        assert_eq!(harness.last_position().await, before);
        harness.clock.advance(chrono::Duration::seconds(11));
        assert_eq!(tenant.tell(&harness, HOST, "verify").await.status, 200);
        assert_eq!(harness.last_position().await.0, before.0 + 1);
    }

    #[actix_web::test]
    async fn what_the_app_has_is_answered_as_it_stands() {
        let harness = Harness::start().await;
        let tenant = Tenant::new(&harness, "ws_a").await;
        tenant.add(&harness, HOST).await;
        tenant.prove(&harness, HOST).await;
        let before = harness.last_position().await;
        let answer = tenant.tell(&harness, HOST, "verify").await;
        insta::assert_json_snapshot!("active", answer.shown());
        assert_eq!(harness.last_position().await, before);
    }

    #[actix_web::test]
    async fn what_has_ended_says_so_whether_recorded_or_not() {
        let harness = Harness::start().await;
        let tenant = Tenant::new(&harness, "ws_a").await;
        tenant.add(&harness, HOST).await;
        tenant.tell(&harness, HOST, "verify").await;
        harness.clock.advance(chrono::Duration::hours(73));
        let overdue = tenant.tell(&harness, HOST, "verify").await;
        insta::assert_json_snapshot!("ended", overdue.shown());
        harness.record_check(&host(HOST), "ws_a", absent()).await;
        assert_eq!(tenant.shown(&harness, HOST).await["status"], "failed");
        assert_eq!(tenant.tell(&harness, HOST, "verify").await.text, overdue.text);
    }

    #[actix_web::test]
    async fn a_path_may_name_the_hostname_in_unicode() {
        let harness = Harness::start().await;
        let tenant = Tenant::new(&harness, "ws_a").await;
        tenant.add(&harness, "bücher.de").await;
        let answer = tenant.tell(&harness, "b%C3%BCcher.de", "verify").await;
        assert_eq!((answer.status.as_u16(), &answer.body["domain"]), (200, &json!("xn--bcher-kva.de")));
        let missing = tenant.tell(&harness, HOST, "verify").await;
        insta::assert_json_snapshot!("missing_domain", missing.shown());
        let no_name = tenant.tell(&harness, "acme%2Fcom", "verify").await;
        insta::assert_json_snapshot!("path_without_a_name", no_name.shown());
    }

    #[actix_web::test]
    async fn an_empty_body_may_call_itself_json() {
        let harness = Harness::start().await;
        let tenant = Tenant::new(&harness, "ws_a").await;
        tenant.add(&harness, HOST).await;
        let path = format!("{}/verify", tenant.domain(HOST));
        let request = TestRequest::post().uri(&path).insert_header(("content-type", "application/json"));
        assert_eq!(harness.request(with_key(request, &tenant.key)).await.status, 200);
    }
}
