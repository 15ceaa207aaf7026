//! The TLS side's word that a proven hostname is in service.
use std::sync::Arc;

use chrono::{DateTime, Utc};
use deed_claims::{Activation, Command, Policy};

use super::site::{Site, app_id, path_name};
use super::view::DomainResponse;
use crate::call::{Call, Decided, concerns};
use crate::error_b::{ErrorB, ErrorResponse};
use crate::reply::Reply;

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
pub async fn activate_domain(call: Arc<Call>) -> Result<Reply, ErrorB> {
    let name = path_name(&call)?;
    let app_id = app_id(&call)?;
    let state = &call.state;
    call.answer(&Site::streams(&app_id, &name), |loaded, at| {
        let mut site = Site::load(loaded, &call, &name)?;
        activate(&mut site, &state.policy, at)?;
        Ok(Decided { reply: Reply::ok(&site.response(&state.cname_base))?, writes: site.into_writes() })
    })
    .await
}

fn activate(site: &mut Site, policy: &Policy, at: DateTime<Utc>) -> Result<(), ErrorB> {
    let claim = site.present()?;
    // A grant made while activation was external still waits for this word.
    let waits = claim.held().is_some_and(|held| held.awaits_activation);
    if policy.activation == Activation::Immediate && !waits {
        return Err(ErrorB::ActivationIsImmediate);
    }
    let claim_id = claim.id;
    concerns(claim_id);
    let decided = site.decide(Command::Activate { claim_id }, policy, at);
    decided.map_err(|why| ErrorB::of_rejection(why, site.name()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::apps::testing::{HOST, Tenant, external};
    use crate::testing::Harness;

    #[actix_web::test]
    async fn a_proven_hostname_waits_for_the_tls_side() {
        let harness = Harness::with(external()).await;
        let tenant = Tenant::new(&harness, "ws_a").await;
        tenant.add(&harness, HOST).await;
        let early = tenant.tell(&harness, HOST, "activate").await;
        insta::assert_json_snapshot!("not_proven", early.shown());
        tenant.prove(&harness, HOST).await;
        let waiting = tenant.shown(&harness, HOST).await;
        assert_eq!(waiting["status"], "provisioning_tls");
        assert!(waiting["verified_at"].is_string());
        assert_eq!(tenant.tell(&harness, HOST, "verify").await.body["status"], "provisioning_tls");
        let active = tenant.tell(&harness, HOST, "activate").await;
        insta::assert_json_snapshot!("activated", active.shown());
        let before = harness.last_position().await;
        assert_eq!(tenant.tell(&harness, HOST, "activate").await.body, active.body);
        assert_eq!(harness.last_position().await, before);
    }

    #[actix_web::test]
    async fn where_activation_is_immediate_there_is_nothing_to_activate() {
        let harness = Harness::start().await;
        let tenant = Tenant::new(&harness, "ws_a").await;
        tenant.add(&harness, HOST).await;
        tenant.prove(&harness, HOST).await;
        assert_eq!(tenant.shown(&harness, HOST).await["status"], "active");
        let answer = tenant.tell(&harness, HOST, "activate").await;
        insta::assert_json_snapshot!("immediate", answer.shown());
        let missing = tenant.tell(&harness, "www.acme.com", "activate").await;
        assert_eq!((missing.status.as_u16(), &missing.body["error"]["type"]), (404, &json!("NotFoundError")));
    }
}
