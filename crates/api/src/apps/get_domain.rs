//! Reads one hostname of an app from its streams.
use std::sync::Arc;

use deed_claims::Claim;
use deed_http::{JsonResponse, RequestError};
use deed_store::Position;
use futures::try_join;

use super::app_domain::{AppAndHost, AppDomain, app_id, path_name};
use super::error::{AppsError, ErrorResponse};
use super::view::DomainDetail;
use crate::call::{Call, claim_position};

/// Get a custom domain
///
/// The domain as it stands: the record to publish, what the last check found and what to do about it, when the next one
/// falls due, and the contest, where another app has proven the domain too.
#[utoipa::path(
    get,
    path = "/v1/apps/{app_id}/domains/{domain}",
    operation_id = "GetCustomDomain",
    tag = "Apps",
    params(
        ("app_id" = String, Path, description = "The app's id"),
        ("domain" = String, Path, description = "The domain; Unicode is possible"),
    ),
    responses(
        (status = 200, description = "The domain", body = DomainDetail),
        (status = 404, description = "No such app or domain", body = ErrorResponse),
    ),
)]
pub async fn get_domain(call: Arc<Call>) -> Result<JsonResponse, AppsError> {
    let (app_domain, loaded) = load(&call).await?;
    let detail = app_domain.detail(&call.state.cname_base)?;
    let position = position(&call, app_domain.existing_claim()?, &loaded).await?;
    Ok(JsonResponse::ok(&detail)?.at(position))
}

/// The hostname that a path names, and its streams: the app's and the hostname's.
pub async fn load(call: &Call) -> Result<(AppDomain, AppAndHost), AppsError> {
    let name = path_name(call)?;
    let (app, host) = AppDomain::streams(&app_id(call)?, &name);
    let loaded = try_join!(call.load(&app), call.load(&host))?;
    Ok((AppDomain::load(&loaded, call, &name)?, loaded))
}

/// The position of the last event of the app or of the visible events of the claim.
pub async fn position(
    call: &Call,
    claim: &Claim,
    (app, host): &AppAndHost,
) -> Result<Option<Position>, RequestError> {
    let of_app = app.events.last().map(|event| event.position);
    Ok(claim_position(call, host, claim.id).await?.max(of_app))
}

#[cfg(test)]
mod tests {
    use deed_diagnosis::{Code, Diagnosis, Outcome};
    use serde_json::{Value, json};

    use crate::apps::testing::{HOST, Tenant, host};
    use crate::testing::{Harness, absent};

    async fn read(harness: &Harness, tenant: &Tenant, name: &str) -> Value {
        let answer = harness.get(&tenant.domain(name), &tenant.key).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.body
    }

    #[actix_web::test]
    async fn shows_why_a_domain_is_not_verified() {
        let harness = Harness::start().await;
        let tenant = Tenant::new(&harness, "ws_a").await;
        tenant.add(&harness, HOST).await;
        let pending = harness.get(&tenant.domain(HOST), &tenant.key).await;
        insta::assert_json_snapshot!("pending", pending.snapshot());
        tenant.post_action(&harness, HOST, "verify").await;
        let mut diagnosis =
            Diagnosis::from_text(Code::WrongValue, "Another value stands there.", "Publish ours.");
        diagnosis.observed = vec!["v=spf1".into()];
        diagnosis.clears_in = Some(300);
        harness.record_check(&host(HOST), "ws_a", Outcome::NotProven(diagnosis)).await;
        let watched = harness.get(&tenant.domain(HOST), &tenant.key).await;
        insta::assert_json_snapshot!("watched", watched.snapshot());
        let position = harness.last_position().await.to_string();
        assert_eq!(watched.header("deed-position"), Some(position.as_str()));
        // Every response about the domain shows the diagnosis.
        let listed = tenant.listed(&harness, HOST).await;
        let added = tenant.add(&harness, HOST).await;
        let verified = tenant.post_action(&harness, HOST, "verify").await.body;
        for other in [&listed, &added, &verified] {
            for field in ["diagnosis", "next_check_at", "domain", "status", "unicode_domain"] {
                assert_eq!(other[field], watched.body[field], "{field}");
            }
        }
        harness.clock.advance(chrono::Duration::seconds(60));
        tenant.post_action(&harness, HOST, "verify").await;
        harness.record_check(&host(HOST), "ws_a", Outcome::Proven).await;
        let active = read(&harness, &tenant, HOST).await;
        assert_eq!((&active["status"], &active["diagnosis"]), (&json!("active"), &json!(null)));
        assert_eq!((&active["record"]["status"], &active["attempts"]), (&json!("verified"), &json!(2)));
    }

    #[actix_web::test]
    async fn both_sides_see_how_a_contest_ends() {
        let harness = Harness::start().await;
        let (a, b) = (Tenant::new(&harness, "ws_a").await, Tenant::new(&harness, "ws_b").await);
        a.add(&harness, HOST).await;
        a.prove(&harness, HOST).await;
        b.add(&harness, HOST).await;
        b.post_action(&harness, HOST, "verify").await;
        harness.record_contested_check(&host(HOST), "ws_b", Outcome::Proven, Some(Outcome::Proven)).await;
        let (holder, challenger) = (read(&harness, &a, HOST).await, read(&harness, &b, HOST).await);
        let shown = |body: &Value| {
            let text =
                body["contest"].to_string().replace(a.app.as_str(), "APP").replace(b.app.as_str(), "APP");
            serde_json::from_str::<Value>(&text).unwrap()
        };
        let tokens =
            [&holder, &challenger].map(|body| body["verification_token"].as_str().unwrap().to_owned());
        let replaced = |value: Value| {
            let text = value.to_string().replace(&tokens[0], "HOLDERS").replace(&tokens[1], "CHALLENGERS");
            serde_json::from_str::<Value>(&text).unwrap()
        };
        insta::assert_json_snapshot!("contest_of_holder", replaced(shown(&holder)));
        insta::assert_json_snapshot!("contest_of_challenger", replaced(shown(&challenger)));
        for (body, other) in [(&holder, &b), (&challenger, &a)] {
            let text = body.to_string();
            assert!(!text.contains(other.workspace) && !text.contains(&other.app), "{text}");
        }
    }

    #[actix_web::test]
    async fn finds_only_domains_of_the_app() {
        let harness = Harness::start().await;
        let (a, b) = (Tenant::new(&harness, "ws_a").await, Tenant::new(&harness, "ws_b").await);
        a.add(&harness, HOST).await;
        for suffix in ["", "/history"] {
            let none = harness.get(&format!("{}{suffix}", a.domain("www.acme.com")), &a.key).await;
            insta::assert_json_snapshot!("no_such_domain", none.snapshot());
            let theirs = harness.get(&format!("{}{suffix}", a.domain(HOST)), &b.key).await;
            let nowhere = "/v1/apps/app_aaaaaaaaaaaaaaaa/domains/search.acme.com";
            let nothing = harness.get(&format!("{nowhere}{suffix}"), &b.key).await;
            assert_eq!((theirs.status.as_u16(), nothing.status.as_u16()), (404, 404));
            let id = a.app.rsplit('/').next().unwrap();
            assert_eq!(theirs.text.replace(id, "ID"), nothing.text.replace("app_aaaaaaaaaaaaaaaa", "ID"));
            let bad = harness.get(&format!("{}{suffix}", a.domain("acme")), &a.key).await;
            assert_eq!(
                (bad.status.as_u16(), &bad.body["detail"][0]["loc"]),
                (422, &json!(["path", "domain"]))
            );
        }
        harness.delete(&a.domain(HOST), &a.key).await;
        assert_eq!(harness.get(&a.domain(HOST), &a.key).await.status, 404);
        let failed = absent();
        a.add(&harness, HOST).await;
        a.post_action(&harness, HOST, "verify").await;
        harness.clock.advance(chrono::Duration::hours(73));
        harness.record_check(&host(HOST), "ws_a", failed).await;
        assert_eq!(read(&harness, &a, HOST).await["status"], "failed");
    }
}
