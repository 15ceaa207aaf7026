//! Removes a hostname from an app: cancels its claim or releases the hostname.
use std::sync::Arc;

use deed_http::{Decision, JsonResponse};

use super::app_domain::{AppDomain, app_id, path_name};
use super::error::{AppsError, ErrorResponse};
use super::view::DeletedResponse;
use crate::call::Call;

/// Remove a custom domain
///
/// A pending verification is cancelled; a domain that the app has is released.
#[utoipa::path(
    delete,
    path = "/v1/apps/{app_id}/domains/{domain}",
    operation_id = "RemoveCustomDomain",
    tag = "Apps",
    params(
        ("app_id" = String, Path, description = "The app's id"),
        ("domain" = String, Path, description = "The domain; Unicode is possible"),
    ),
    responses(
        (status = 200, description = "The domain is gone from the app", body = DeletedResponse),
        (status = 404, description = "No such app or domain", body = ErrorResponse),
    ),
)]
pub async fn remove_domain(call: Arc<Call>) -> Result<JsonResponse, AppsError> {
    let name = path_name(&call)?;
    let app_id = app_id(&call)?;
    call.respond(AppDomain::streams(&app_id, &name), |loaded, at| {
        let mut app_domain = AppDomain::load(loaded, &call, &name)?;
        app_domain.existing_claim()?;
        app_domain.remove(&call.state.policy, at).map_err(|why| AppsError::of_rejection(why, &name))?;
        Ok(Decision { response: JsonResponse::ok(&DeletedResponse::DONE)?, writes: app_domain.into_writes() })
    })
    .await
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use deed_claims::Status;
    use deed_diagnosis::Outcome;
    use serde_json::json;

    use crate::apps::testing::{HOST, Tenant, host, idempotent};
    use crate::testing::{Harness, absent};

    #[actix_web::test]
    async fn removed_hostname_can_be_added_again() {
        let harness = Harness::start().await;
        let tenant = Tenant::new(&harness, "ws_a").await;
        let body = json!({ "domain": HOST, "is_primary": true });
        let first = tenant.post(&harness, &tenant.domains(), body).await.body;
        let before = harness.last_position().await;
        let answer = harness.delete(&tenant.domain(HOST), &tenant.key).await;
        insta::assert_json_snapshot!("removed", answer.snapshot());
        assert_eq!(harness.last_position().await.0, before.0 + 2);
        let ownership = harness.ownership(&host(HOST)).await;
        assert_eq!(ownership.claims.values().next().unwrap().status(), Status::Cancelled);
        assert_eq!(tenant.listed(&harness, HOST).await, json!(null));
        assert_eq!(harness.delete(&tenant.domain(HOST), &tenant.key).await.status, 404);
        let again = tenant.add(&harness, HOST).await;
        assert_eq!((&again["status"], &again["is_primary"]), (&json!("pending"), &json!(false)));
        assert_ne!(again["verification_token"], first["verification_token"]);
    }

    #[actix_web::test]
    async fn removed_hostname_moves_to_proven_challenger() {
        let harness = Harness::start().await;
        let (a, b) = (Tenant::new(&harness, "ws_a").await, Tenant::new(&harness, "ws_b").await);
        a.add(&harness, HOST).await;
        a.prove(&harness, HOST).await;
        b.add(&harness, HOST).await;
        b.post_action(&harness, HOST, "verify").await;
        harness.record_contested_check(&host(HOST), "ws_b", Outcome::Proven, Some(Outcome::Proven)).await;
        assert_eq!(harness.delete(&a.domain(HOST), &a.key).await.status, 200);
        assert_eq!(b.listed(&harness, HOST).await["status"], "active");
    }

    #[actix_web::test]
    async fn failed_hostname_can_be_removed() {
        let harness = Harness::start().await;
        let tenant = Tenant::new(&harness, "ws_a").await;
        tenant.add(&harness, HOST).await;
        tenant.post_action(&harness, HOST, "verify").await;
        harness.clock.advance(chrono::Duration::hours(73));
        harness.record_check(&host(HOST), "ws_a", absent()).await;
        let before = harness.last_position().await;
        assert_eq!(harness.delete(&tenant.domain(HOST), &tenant.key).await.status, 200);
        // The claim had ended: only the app gets an event.
        assert_eq!(harness.last_position().await.0, before.0 + 1);
    }

    #[actix_web::test]
    async fn replays_response_to_repeated_request() {
        let harness = Harness::start().await;
        let tenant = Tenant::new(&harness, "ws_a").await;
        tenant.add(&harness, HOST).await;
        let path = tenant.domain(HOST);
        let remove = || harness.request(idempotent(TestRequest::delete().uri(&path), &tenant.key, "off"));
        assert_eq!(remove().await.status, 200);
        let again = remove().await;
        assert_eq!((again.status.as_u16(), again.header("idempotency-replayed")), (200, Some("true")));
    }
}
