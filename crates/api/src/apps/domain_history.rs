//! The history of a hostname of an app, from the log.
use std::sync::Arc;

use deed_http::JsonResponse;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::{AppsError, ErrorResponse};
use super::get_domain::{load, position};
use crate::bodies::Claimant;
use crate::bodies::timeline::snake::TimelineEntry;
use crate::bodies::timeline::{Timeline, TimelinePage};
use crate::call::{Call, read_claim};

/// A page of a domain's timeline.
#[derive(Debug, Serialize, ToSchema)]
pub struct DomainHistory {
    /// What happened, the oldest first.
    entries: Vec<TimelineEntry>,
    /// The `cursor` of the next page; null on the last.
    #[schema(required = false)]
    next_cursor: Option<String>,
}

/// Get the history of a custom domain
///
/// Everything that happened to the app's newest verification of the domain, the oldest first: every check with what was
/// seen and why it did not prove the record.
#[utoipa::path(
    get,
    path = "/v1/apps/{app_id}/domains/{domain}/history",
    operation_id = "GetCustomDomainHistory",
    tag = "Apps",
    params(
        ("app_id" = String, Path, description = "The app's id"),
        ("domain" = String, Path, description = "The domain; Unicode is possible"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Entries on a page; 500 unless given"),
        ("cursor" = Option<String>, Query, pattern = "^[0-9]{1,18}$", description = "The `next_cursor` of the page before"),
    ),
    responses(
        (status = 200, description = "A page of the timeline", body = DomainHistory),
        (status = 404, description = "No such app or domain", body = ErrorResponse),
    ),
)]
pub async fn domain_history(call: Arc<Call>) -> Result<JsonResponse, AppsError> {
    let (limit, after) = (call.query.limit()?, call.query.sequence_cursor()?);
    let (app_domain, loaded) = load(&call).await?;
    let claim = app_domain.existing_claim()?;
    let (_, host) = &loaded;
    let events = read_claim(&call, host, claim.id, after, limit).await?;
    let timeline = Timeline::of(claim.id, Claimant::App);
    let TimelinePage { entries, next: next_cursor } = timeline.page(&events, after, limit);
    let position = position(&call, claim, &loaded).await?;
    Ok(JsonResponse::ok(&DomainHistory { entries, next_cursor })?.at(position))
}

#[cfg(test)]
mod tests {
    use deed_diagnosis::Outcome;
    use serde_json::{Value, json};

    use crate::apps::testing::{HOST, Tenant, host};
    use crate::testing::{Harness, absent};

    fn kinds(body: &Value) -> Vec<&str> {
        body["entries"].as_array().unwrap().iter().map(|entry| entry["type"].as_str().unwrap()).collect()
    }

    #[actix_web::test]
    async fn history_lists_events_of_own_claim_only() {
        let harness = Harness::start().await;
        let (a, b) = (Tenant::new(&harness, "ws_a").await, Tenant::new(&harness, "ws_b").await);
        for tenant in [&a, &b] {
            tenant.add(&harness, HOST).await;
            tenant.post_action(&harness, HOST, "verify").await;
        }
        harness.record_check(&host(HOST), "ws_a", absent()).await;
        harness.clock.advance(chrono::Duration::minutes(1));
        harness.record_check(&host(HOST), "ws_a", Outcome::Proven).await;
        harness.record_contested_check(&host(HOST), "ws_b", Outcome::Proven, Some(Outcome::Proven)).await;
        let holder = harness.get(&format!("{}/history", a.domain(HOST)), &a.key).await;
        insta::assert_json_snapshot!("history", holder.snapshot());
        let position = harness.last_position().await.to_string();
        assert_eq!(holder.header("deed-position"), Some(position.as_str()));
        let challenger = harness.get(&format!("{}/history", b.domain(HOST)), &b.key).await;
        let expected = [
            "claim.initiated",
            "verification.requested",
            "check.recorded",
            "domain.verified",
            "contest.opened",
        ];
        assert_eq!(kinds(&challenger.body), expected);
        assert!(
            !challenger.text.contains("ws_a") && !challenger.text.contains(&a.app),
            "{}",
            challenger.text
        );
        assert!(!holder.text.contains("workspace"), "{}", holder.text);
    }

    #[actix_web::test]
    async fn pages_through_history() {
        let harness = Harness::start().await;
        let tenant = Tenant::new(&harness, "ws_a").await;
        tenant.add(&harness, HOST).await;
        tenant.post_action(&harness, HOST, "verify").await;
        let history = format!("{}/history", tenant.domain(HOST));
        let first = harness.get(&format!("{history}?limit=1"), &tenant.key).await;
        assert_eq!(kinds(&first.body), ["claim.initiated"]);
        let cursor = first.body["next_cursor"].as_str().unwrap();
        let last = harness.get(&format!("{history}?limit=1&cursor={cursor}"), &tenant.key).await;
        assert_eq!(kinds(&last.body), ["verification.requested"]);
        assert_eq!(last.body["next_cursor"], json!(null));
        for (query, field) in [("cursor=x", "cursor"), ("limit=0", "limit"), ("limit=1&limit=1", "limit")] {
            let bad = harness.get(&format!("{history}?{query}"), &tenant.key).await;
            assert_eq!((bad.status.as_u16(), &bad.body["detail"][0]["loc"]), (422, &json!(["query", field])));
        }
    }
}
