//! Adds a hostname to an app: creates a claim, or finds the app's open one.
use std::sync::Arc;

use chrono::{DateTime, Utc};
use deed_claims::{Challenge, ClaimId, Command, IfHeldByAnother, Policy, Scope};
use deed_http::{Decision, JsonResponse};
use serde::Deserialize;
use utoipa::ToSchema;

use super::app_domain::{AppDomain, app_holder, app_id};
use super::error::{AppsError, ErrorResponse};
use super::view::DomainResponse;
use crate::call::{Call, record_claim_id};

/// A hostname for an app.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddDomainRequest {
    /// The hostname.
    #[schema(example = "search.acme.com")]
    domain: String,
    /// Make it the app's primary domain. The newest that was asked to be is.
    #[serde(default)]
    #[schema(default = false)]
    is_primary: bool,
}

/// Add a custom domain
///
/// Publish `verification_token` in a TXT record, then ask for verification with
/// `POST /v1/apps/{app_id}/domains/{domain}/verify`. Under the default brand the record is
/// `_deed-verify.{domain}  TXT  "deed-site-verification={verification_token}"`.
///
/// A domain that the app has is answered as it stands, and nothing changes but which one is primary. A domain that
/// another app has can be added all the same, with a token of its own: the DNS decides whose it is. A domain whose
/// verification has `failed` gets a new token.
#[utoipa::path(
    post,
    path = "/v1/apps/{app_id}/domains",
    operation_id = "AddCustomDomain",
    tag = "Apps",
    params(("app_id" = String, Path, description = "The app's id")),
    request_body = AddDomainRequest,
    responses(
        (status = 200, description = "The domain", body = DomainResponse),
        (status = 400, description = "Too many open claims", body = ErrorResponse),
        (status = 404, description = "No such app", body = ErrorResponse),
    ),
)]
pub async fn add_domain(call: Arc<Call>) -> Result<JsonResponse, AppsError> {
    let body: AddDomainRequest = call.json()?;
    let (name, _) = call.state.claimable(&body.domain, Scope::Host)?.into_parts();
    let app_id = app_id(&call)?;
    let state = &call.state;
    let claim = NewClaim {
        claim_id: state.new_claim_id()?,
        challenge: state.templates.challenge(Scope::Host, &name, state.new_token()?),
        quota_reached: state.quota_reached(&call.caller.workspace).await?,
    };
    call.respond(AppDomain::streams(&app_id, &name), |loaded, at| {
        let mut app_domain = AppDomain::load(loaded, &call, &name)?;
        add(&mut app_domain, &claim, body.is_primary, &state.policy, at)?;
        Ok(Decision {
            response: JsonResponse::ok(&app_domain.response(&state.cname_base))?,
            writes: app_domain.into_writes(),
        })
    })
    .await
}

/// The parts of a new claim, used if the app has no open one.
struct NewClaim {
    claim_id: ClaimId,
    challenge: Challenge,
    /// The quota of open claims, if the workspace has used it up.
    quota_reached: Option<u64>,
}

fn add(
    app_domain: &mut AppDomain,
    new: &NewClaim,
    primary: bool,
    policy: &Policy,
    at: DateTime<Utc>,
) -> Result<(), AppsError> {
    let name = app_domain.name().clone();
    let command = Command::Initiate {
        claim_id: new.claim_id,
        holder: app_holder(&app_domain.app),
        name: name.clone(),
        requested: name.clone(),
        region: None,
        challenge: new.challenge.clone(),
        if_held_by_another: IfHeldByAnother::Challenge,
    };
    app_domain.decide(command, policy, at).map_err(|why| AppsError::of_rejection(why, &name))?;
    let made = app_domain.claim().is_some_and(|claim| claim.id == new.claim_id);
    if let Some(limit) = new.quota_reached.filter(|_| made) {
        return Err(AppsError::TooManyClaims { limit });
    }
    if let Some(claim) = app_domain.claim() {
        record_claim_id(claim.id);
    }
    app_domain.apply_app_events(app_domain.app.add_domain(&name, primary, at));
    Ok(())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use serde_json::json;

    use crate::apps::testing::{HOST, Tenant, app, host, idempotent};
    use crate::testing::{Harness, Setup};

    #[actix_web::test]
    async fn added_hostname_has_token_and_cname_target() {
        let harness = Harness::start().await;
        let tenant = Tenant::new(&harness, "ws_a").await;
        let answer = tenant.post(&harness, &tenant.domains(), json!({ "domain": HOST })).await;
        insta::assert_json_snapshot!("added", answer.snapshot());
        let token = answer.body["verification_token"].as_str().unwrap().to_owned();
        let ownership = harness.ownership(&host(HOST)).await;
        let challenge = &ownership.claims.values().next().unwrap().challenge;
        assert_eq!(*challenge.record_name, *format!("_deed-verify.{HOST}"));
        assert_eq!(*challenge.record_value, *format!("deed-site-verification={token}"));
        // The claim and the app's event are the last two events of the log, from one append.
        let (claim, app) =
            (harness.load(&host(HOST)).await.events, harness.load_app(&tenant.app_stream()).await.events);
        let (claimed, added) = (claim.last().unwrap().position, app.last().unwrap().position);
        assert_eq!((claimed.0 + 1, added), (added.0, harness.last_position().await));
    }

    #[actix_web::test]
    async fn adding_again_changes_only_the_primary_domain() {
        let harness = Harness::start().await;
        let tenant = Tenant::new(&harness, "ws_a").await;
        let first = tenant.add(&harness, HOST).await;
        let before = harness.last_position().await;
        assert_eq!(tenant.add(&harness, &format!(" {}. ", HOST.to_uppercase())).await, first);
        assert_eq!(harness.last_position().await, before);
        let (harness, tenant) = (&harness, &tenant);
        let primary = async |name: &str| {
            let body = json!({ "domain": name, "is_primary": true });
            tenant.post(harness, &tenant.domains(), body).await.body["is_primary"].clone()
        };
        assert_eq!(primary(HOST).await, true);
        assert_eq!(primary("www.acme.com").await, true);
        assert_eq!(tenant.listed(harness, HOST).await["is_primary"], false);
        assert_eq!(tenant.listed(harness, "www.acme.com").await["is_primary"], true);
        // Adding a domain again without `is_primary` keeps it primary.
        assert_eq!(tenant.add(harness, "www.acme.com").await["is_primary"], true);
    }

    #[actix_web::test]
    async fn hostname_of_another_app_gets_its_own_token() {
        let harness = Harness::start().await;
        let (a, b) = (Tenant::new(&harness, "ws_a").await, Tenant::new(&harness, "ws_b").await);
        let held = a.add(&harness, HOST).await;
        a.prove(&harness, HOST).await;
        let theirs = b.add(&harness, HOST).await;
        assert_eq!(theirs["status"], "pending");
        assert_ne!(theirs["verification_token"], held["verification_token"]);
        // A second app of the same workspace is another app.
        let second = app(&harness, &a.key, json!({ "name": "Second" })).await;
        let body = json!({ "domain": HOST });
        let answer = harness.post(&format!("{second}/domains"), &a.key, body).await;
        assert_eq!((answer.status.as_u16(), &answer.body["status"]), (200, &json!("pending")));
        assert_eq!(a.listed(&harness, HOST).await["status"], "active");
    }

    #[actix_web::test]
    async fn expired_hostname_gets_a_new_token() {
        let harness = Harness::start().await;
        let tenant = Tenant::new(&harness, "ws_a").await;
        let first = tenant.add(&harness, HOST).await;
        harness.clock.advance(chrono::Duration::hours(73));
        let again = tenant.add(&harness, HOST).await;
        assert_eq!(again["status"], "pending");
        assert_ne!(again["verification_token"], first["verification_token"]);
    }

    #[actix_web::test]
    async fn rejects_unclaimable_hostnames() {
        let harness = Harness::start().await;
        let tenant = Tenant::new(&harness, "ws_a").await;
        let before = harness.last_position().await;
        let mut shown = vec![];
        for body in [
            json!({ "domain": "" }),
            json!({ "domain": "co.uk" }),
            json!({ "domain": "https://acme.com/x" }),
            json!({ "domain": "search.example.com" }),
            json!({ "domain": "192.0.2.1" }),
            json!({ "domain": 7 }),
            json!({ "is_primary": true }),
            json!({ "domain": HOST, "is_primary": "yes" }),
            json!({ "domain": HOST, "primary": true }),
        ] {
            shown.push(tenant.post(&harness, &tenant.domains(), body).await.snapshot());
        }
        insta::assert_json_snapshot!("add_refusals", shown);
        assert_eq!(harness.last_position().await, before);
        assert_eq!(tenant.post(&harness, &tenant.domains(), json!([])).await.status, 422);
        // The body is checked before the app.
        let nowhere = "/v1/apps/app_aaaaaaaaaaaaaaaa/domains";
        assert_eq!(tenant.post(&harness, nowhere, json!({ "domain": "" })).await.status, 422);
        assert_eq!(tenant.post(&harness, nowhere, json!({ "domain": HOST })).await.status, 404);
    }

    #[actix_web::test]
    async fn shows_international_names_as_a_labels() {
        let harness = Harness::start().await;
        let tenant = Tenant::new(&harness, "ws_a").await;
        assert_eq!(tenant.add(&harness, "Suche.Bücher.de").await["domain"], "suche.xn--bcher-kva.de");
    }

    #[actix_web::test]
    async fn quota_applies_to_new_claims_only() {
        let mut setup = Setup::default();
        setup.caps.open_claims_per_workspace = 1;
        let harness = Harness::with(setup).await;
        let a = Tenant::new(&harness, "ws_a").await;
        a.add(&harness, HOST).await;
        harness.project().await;
        let more = a.post(&harness, &a.domains(), json!({ "domain": "www.acme.com" })).await;
        insta::assert_json_snapshot!("workspace_cap", more.snapshot());
        a.add(&harness, HOST).await;
    }

    #[actix_web::test]
    async fn apps_of_a_workspace_share_the_limit_per_name() {
        let mut setup = Setup::default();
        setup.policy.open_claims_per_claimant = 2;
        setup.policy.open_claims_per_name = 2;
        let harness = Harness::with(setup).await;
        let (mut tenant, owner) = (Tenant::new(&harness, "ws_a").await, Tenant::new(&harness, "ws_b").await);
        tenant.add(&harness, HOST).await;
        let first = tenant.domains();
        harness.clock.advance(chrono::Duration::seconds(1));
        tenant.app = app(&harness, &tenant.key, json!({ "name": "Second" })).await;
        tenant.add(&harness, HOST).await;
        tenant.app = app(&harness, &tenant.key, json!({ "name": "Third" })).await;
        let before = harness.last_position().await;
        let over = tenant.post(&harness, &tenant.domains(), json!({ "domain": HOST })).await;
        insta::assert_json_snapshot!("name_cap", over.snapshot());
        assert_eq!(harness.last_position().await, before);
        // Another workspace is let in; the oldest claim ends, and its app can add the name again.
        assert_eq!(owner.add(&harness, HOST).await["status"], "pending");
        let ended = harness.get(&first, &tenant.key).await;
        assert_eq!(ended.body["domains"][0]["status"], "failed");
        let again = harness.post(&first, &tenant.key, json!({ "domain": HOST })).await;
        assert_eq!((again.status.as_u16(), &again.body["status"]), (200, &json!("pending")));
    }

    #[actix_web::test]
    async fn replays_response_after_a_state_change() {
        let harness = Harness::start().await;
        let tenant = Tenant::new(&harness, "ws_a").await;
        let path = tenant.domains();
        let add = |body| {
            let request = TestRequest::post().uri(&path).set_json(body);
            harness.request(idempotent(request, &tenant.key, "once"))
        };
        let first = add(json!({ "domain": HOST })).await;
        tenant.post_action(&harness, HOST, "verify").await;
        let second = add(json!({ "domain": HOST })).await;
        assert_eq!((second.status, &second.text), (first.status, &first.text));
        assert_eq!(second.header("idempotency-replayed"), Some("true"));
        let other = add(json!({ "domain": "www.acme.com" })).await;
        insta::assert_json_snapshot!("other_body", other.snapshot());
    }
}
