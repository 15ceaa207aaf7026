//! Lists the hostnames of an app from its stream, with their statuses from the read model.
use std::collections::HashMap;
use std::sync::Arc;

use deed_claims::app::App;
use deed_claims::{Ownership, Scope, StreamId};
use deed_http::{JsonResponse, RequestError};
use deed_store::READ_MODELS;
use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use utoipa::ToSchema;

use super::app_domain::{app_holder, app_id, visible_app};
use super::error::{AppsError, ErrorResponse};
use super::page::at_least;
use super::view::DomainResponse;
use crate::call::Call;

/// Streams read concurrently when the read model lags.
const READS: usize = 16;

/// The hostnames of an app.
#[derive(Debug, Serialize, ToSchema)]
pub struct DomainList {
    /// By name.
    domains: Vec<DomainResponse>,
    /// How many there are.
    total: usize,
}

/// List custom domains
///
/// Every domain of the app, by name. A domain just added or removed is there or not at once; with `at_least` also
/// every status is at least as new. The header `Deed-Position` says how much of the log the list tells of.
#[utoipa::path(
    get,
    path = "/v1/apps/{app_id}/domains",
    operation_id = "ListCustomDomains",
    tag = "Apps",
    params(
        ("app_id" = String, Path, description = "The app's id"),
        (
            "at_least" = Option<u64>,
            Query,
            description = "The `Deed-Position` of an earlier answer, which the list has to have reached",
            maximum = 9_007_199_254_740_991_u64,
        ),
    ),
    responses(
        (status = 200, description = "The app's domains", body = DomainList),
        (status = 404, description = "No such app", body = ErrorResponse),
    ),
)]
pub async fn list_domains(call: Arc<Call>) -> Result<JsonResponse, AppsError> {
    let position = at_least(&call.query)?;
    let loaded = call.load(&StreamId::app(&app_id(&call)?)).await?;
    let app = visible_app(&loaded, &call.caller.workspace)?;
    call.state.caught_up(position).await?;
    let position = call.state.checkpoints.checkpoint(READ_MODELS).await.map_err(RequestError::from)?;
    let ownerships = ownerships(&call, app).await?;
    let holder = app_holder(app);
    let domains: Vec<DomainResponse> = app
        .domains
        .keys()
        .zip(&ownerships)
        .map(|(name, ownership)| {
            DomainResponse::of(app, name, ownership.claim_of(&holder), &call.state.cname_base)
        })
        .collect();
    Ok(JsonResponse::ok(&DomainList { total: domains.len(), domains })?.at(Some(position)))
}

/// The ownership of every hostname of the app, in their order. Those that the read model lacks are read from the log.
async fn ownerships(call: &Call, app: &App) -> Result<Vec<Ownership>, RequestError> {
    let streams: Vec<StreamId> =
        app.domains.keys().map(|name| StreamId::ownership(Scope::Host, name)).collect();
    let rows = call.state.read_models.ownerships(&streams).await?;
    let holder = app_holder(app);
    let mut known: HashMap<StreamId, Ownership> = rows
        .into_iter()
        .filter(|row| row.state.claim_of(&holder).is_some())
        .map(|row| (row.stream, row.state))
        .collect();
    let reads = streams.into_iter().map(|stream| {
        let known = known.remove(&stream);
        async move {
            match known {
                Some(ownership) => Ok::<_, RequestError>(ownership),
                None => Ok(call.load::<Ownership>(&stream).await?.state),
            }
        }
    });
    let reads: Vec<_> = reads.collect();
    stream::iter(reads).buffered(READS).try_collect().await
}

#[cfg(test)]
mod tests {
    use deed_diagnosis::Outcome;
    use serde_json::json;

    use crate::apps::testing::{HOST, Tenant, host};
    use crate::testing::{Harness, absent};

    #[actix_web::test]
    async fn lists_every_hostname_with_status() {
        let harness = Harness::start().await;
        let tenant = Tenant::new(&harness, "ws_a").await;
        let body = json!({ "domain": HOST, "is_primary": true });
        tenant.post(&harness, &tenant.domains(), body).await;
        tenant.prove(&harness, HOST).await;
        tenant.add(&harness, "late.acme.com").await;
        tenant.post_action(&harness, "late.acme.com", "verify").await;
        harness.clock.advance(chrono::Duration::hours(73));
        harness.record_check("host:late.acme.com", "ws_a", absent()).await;
        tenant.add(&harness, "new.acme.com").await;
        tenant.add(&harness, "watched.acme.com").await;
        tenant.post_action(&harness, "watched.acme.com", "verify").await;
        let from_log = harness.get(&tenant.domains(), &tenant.key).await;
        insta::assert_json_snapshot!("domains", from_log.snapshot());
        harness.project().await;
        assert_eq!(harness.get(&tenant.domains(), &tenant.key).await.body, from_log.body);
    }

    #[actix_web::test]
    async fn falls_back_to_log_when_read_model_lags() {
        let harness = Harness::start().await;
        let tenant = Tenant::new(&harness, "ws_a").await;
        tenant.add(&harness, HOST).await;
        harness.project().await;
        let verified = tenant.post_action(&harness, HOST, "verify").await;
        tenant.add(&harness, "new.acme.com").await;
        assert_eq!(tenant.listed(&harness, HOST).await["status"], "pending");
        assert_eq!(tenant.listed(&harness, "new.acme.com").await["status"], "pending");
        let path = format!("{}?at_least={}", tenant.domains(), verified.header("deed-position").unwrap());
        // A stopping service does not wait, so this test does not either.
        harness.state.http.stop.cancel();
        assert_eq!(harness.get(&path, &tenant.key).await.status, 503);
        harness.project().await;
        let list = harness.get(&path, &tenant.key).await;
        assert_eq!(
            (&list.body["total"], &list.body["domains"][1]["status"]),
            (&json!(2), &json!("verifying"))
        );
        // The read model has the hostname, but not yet this app's claim on it.
        let other = Tenant::new(&harness, "ws_b").await;
        other.add(&harness, HOST).await;
        assert_eq!(other.listed(&harness, HOST).await["status"], "pending");
    }

    #[actix_web::test]
    async fn challenger_is_verifying_until_contest_ends() {
        let harness = Harness::start().await;
        let (a, b) = (Tenant::new(&harness, "ws_a").await, Tenant::new(&harness, "ws_b").await);
        a.add(&harness, HOST).await;
        a.prove(&harness, HOST).await;
        b.add(&harness, HOST).await;
        b.post_action(&harness, HOST, "verify").await;
        let found =
            |holder| harness.record_contested_check("host:search.acme.com", "ws_b", Outcome::Proven, holder);
        assert_eq!(host(HOST), "host:search.acme.com");
        found(Some(Outcome::Proven)).await;
        let challenger = b.listed(&harness, HOST).await;
        assert_eq!((&challenger["status"], &challenger["verified_at"]), (&json!("verifying"), &json!(null)));
        assert_eq!(a.listed(&harness, HOST).await["status"], "active");
        found(Some(absent())).await;
        let (loser, winner) = (a.listed(&harness, HOST).await, b.listed(&harness, HOST).await);
        assert_eq!((&loser["status"], &loser["verified_at"]), (&json!("failed"), &json!(null)));
        assert!(winner["status"] == "active" && winner["verified_at"].is_string());
    }
}
