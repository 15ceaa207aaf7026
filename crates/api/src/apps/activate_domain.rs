//! Activates a proven hostname when the TLS side is ready.
use std::sync::Arc;

use chrono::{DateTime, Utc};
use deed_claims::{Activation, Command, Policy};
use deed_http::{Decision, JsonResponse};

use super::app_domain::{AppDomain, app_id, path_name};
use super::error::{AppsError, ErrorResponse};
use super::view::DomainResponse;
use crate::call::{Call, record_claim_id};

/// Activate a custom domain
///
/// For deployments whose TLS side says when a domain is in service: takes it from `provisioning_tls` to `active`.
/// A domain that is active is answered as it stands. Where activation is immediate there is nothing to activate.
#[utoipa::path(
    post,
    path = "/v1/apps/{app_id}/domains/{domain}/activate",
    operation_id = "ActivateCustomDomain",
    tag = "Apps",
    params(
        ("app_id" = String, Path, description = "The app's id"),
        ("domain" = String, Path, description = "The domain; Unicode is possible"),
    ),
    responses(
        (status = 200, description = "The domain", body = DomainResponse),
        (status = 400, description = "Not verified yet, or activation is immediate", body = ErrorResponse),
        (status = 404, description = "No such app or domain", body = ErrorResponse),
    ),
)]
pub async fn activate_domain(call: Arc<Call>) -> Result<JsonResponse, AppsError> {
    let name = path_name(&call)?;
    let app_id = app_id(&call)?;
    let state = &call.state;
    call.respond(AppDomain::streams(&app_id, &name), |loaded, at| {
        let mut app_domain = AppDomain::load(loaded, &call, &name)?;
        activate(&mut app_domain, &state.policy, at)?;
        Ok(Decision {
            response: JsonResponse::ok(&app_domain.response(&state.cname_base))?,
            writes: app_domain.into_writes(),
        })
    })
    .await
}

fn activate(app_domain: &mut AppDomain, policy: &Policy, at: DateTime<Utc>) -> Result<(), AppsError> {
    let claim = app_domain.existing_claim()?;
    // A holding granted while activation was external still waits for this request.
    let waits = claim.held().is_some_and(|held| held.awaits_activation);
    if policy.activation == Activation::Immediate && !waits {
        return Err(AppsError::ActivationIsImmediate);
    }
    let claim_id = claim.id;
    record_claim_id(claim_id);
    let decided = app_domain.decide(Command::Activate { claim_id }, policy, at);
    decided.map_err(|why| AppsError::of_rejection(why, app_domain.name()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::apps::testing::{HOST, Tenant, external};
    use crate::testing::Harness;

    #[actix_web::test]
    async fn proven_hostname_waits_for_activation() {
        let harness = Harness::with(external()).await;
        let tenant = Tenant::new(&harness, "ws_a").await;
        tenant.add(&harness, HOST).await;
        let early = tenant.post_action(&harness, HOST, "activate").await;
        insta::assert_json_snapshot!("not_proven", early.snapshot());
        tenant.prove(&harness, HOST).await;
        let waiting = tenant.listed(&harness, HOST).await;
        assert_eq!(waiting["status"], "provisioning_tls");
        assert!(waiting["verified_at"].is_string());
        assert_eq!(tenant.post_action(&harness, HOST, "verify").await.body["status"], "provisioning_tls");
        let active = tenant.post_action(&harness, HOST, "activate").await;
        insta::assert_json_snapshot!("activated", active.snapshot());
        let before = harness.last_position().await;
        assert_eq!(tenant.post_action(&harness, HOST, "activate").await.body, active.body);
        assert_eq!(harness.last_position().await, before);
    }

    #[actix_web::test]
    async fn rejects_activation_when_it_is_immediate() {
        let harness = Harness::start().await;
        let tenant = Tenant::new(&harness, "ws_a").await;
        tenant.add(&harness, HOST).await;
        tenant.prove(&harness, HOST).await;
        assert_eq!(tenant.listed(&harness, HOST).await["status"], "active");
        let answer = tenant.post_action(&harness, HOST, "activate").await;
        insta::assert_json_snapshot!("immediate", answer.snapshot());
        let missing = tenant.post_action(&harness, "www.acme.com", "activate").await;
        assert_eq!((missing.status.as_u16(), &missing.body["error"]["type"]), (404, &json!("NotFoundError")));
    }
}
