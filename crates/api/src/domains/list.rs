//! A workspace's domains and claims: `GET /v1/domains`, `GET /v1/domains/claims`.
use std::collections::HashMap;
use std::sync::Arc;

use deed_claims::{Ownership, Status, StreamId};
use deed_http::{JsonResponse, Query, RequestError, encode_cursor};
use deed_store::{ClaimPage, ClaimQuery};

use super::error::DomainsError;
use super::read::is_deleted;
use super::view::{ClaimBody, ClaimView, DomainBody, Page};
use crate::bodies::schemas::StatusSchema;
use crate::call::Call;

/// List Domains
///
/// The domains of this workspace, the newest first. Domains that were deleted are left out.
#[utoipa::path(
    get,
    path = "/v1/domains",
    operation_id = "ListDomains",
    tag = "Domains",
    params(
        ("status" = Option<Vec<StatusSchema>>, Query, style = Form, explode = false, min_items = 1, description = "Only domains with one of these statuses"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Domains on a page; 500 unless given"),
        ("cursor" = Option<String>, Query, pattern = "^[A-Za-z0-9_-]{32}$", description = "The `nextCursor` of the page before"),
        ("atLeast" = Option<u64>, Query, minimum = 0, maximum = 9_007_199_254_740_991_u64, description = "Answers once the list tells of everything up to this `Deed-Position`"),
    ),
    responses((status = 200, description = "A page of domains", body = Page<DomainBody>))
)]
pub async fn list_domains(call: Arc<Call>) -> Result<JsonResponse, DomainsError> {
    let given = statuses(&call.query)?;
    let wanted = if given.is_empty() { Status::ALL } else { &given[..] };
    let wanted = wanted.iter().copied().filter(|status| !is_deleted(*status)).collect();
    page(&call, wanted, as_domain).await
}

/// List Domain Claims
///
/// The newest claim of this workspace on each name, the newest first, ended ones included.
#[utoipa::path(
    get,
    path = "/v1/domains/claims",
    operation_id = "ListDomainClaims",
    tag = "Domains",
    params(
        ("status" = Option<Vec<StatusSchema>>, Query, style = Form, explode = false, min_items = 1, description = "Only claims with one of these statuses"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Claims on a page; 500 unless given"),
        ("cursor" = Option<String>, Query, pattern = "^[A-Za-z0-9_-]{32}$", description = "The `nextCursor` of the page before"),
        ("atLeast" = Option<u64>, Query, minimum = 0, maximum = 9_007_199_254_740_991_u64, description = "Answers once the list tells of everything up to this `Deed-Position`"),
    ),
    responses((status = 200, description = "A page of claims", body = Page<ClaimBody>))
)]
pub async fn list_claims(call: Arc<Call>) -> Result<JsonResponse, DomainsError> {
    let given = statuses(&call.query)?;
    let wanted = if given.is_empty() { Status::ALL.to_vec() } else { given };
    page(&call, wanted, as_claim).await
}

fn as_domain(view: ClaimView<'_>) -> DomainBody {
    view.domain()
}

fn as_claim(view: ClaimView<'_>) -> ClaimBody {
    view.claim()
}

/// The statuses to filter by, as `status=a,b` or `status=a&status=b`; none means all.
fn statuses(query: &Query) -> Result<Vec<Status>, RequestError> {
    let rule = "is one of pending, verifying, contested, verified, at_risk, expired, cancelled, refused, \
                transferred, released, lapsed, revoked";
    query
        .all("status")
        .flat_map(|list| list.split(','))
        .map(|word| word.parse().map_err(|_| RequestError::Query { name: "status", rule }))
        .collect()
}

/// One page of a list.
async fn page<T: serde::Serialize>(
    call: &Call,
    statuses: Vec<Status>,
    show: fn(ClaimView<'_>) -> T,
) -> Result<JsonResponse, DomainsError> {
    let (limit, after, at_least) = (call.query.limit()?, call.query.cursor()?, call.query.at_least()?);
    call.state.caught_up(at_least).await?;
    let found = if statuses.is_empty() {
        ClaimPage { rows: vec![], next: None }
    } else {
        let query = ClaimQuery {
            workspace_id: call.caller.workspace.clone(),
            app_id: None,
            statuses: statuses.iter().map(ToString::to_string).collect(),
            after,
            limit,
        };
        call.state.read_models.claims(&query).await.map_err(RequestError::Unavailable)?
    };
    let contests = contested(call, &found).await?;
    let rows = found.rows.iter().map(|row| {
        // The claim and its contest must come from the same state.
        let ownership = contests.get(&row.stream);
        let claim = ownership.and_then(|ownership| ownership.claims.get(&row.claim.id)).unwrap_or(&row.claim);
        let default_region = &call.state.default_region;
        show(ClaimView { root: &row.name, claim, ownership, default_region, again_at: None })
    });
    Ok(JsonResponse::ok(&Page::of(rows.collect(), found.next.as_ref().map(encode_cursor)))?)
}

/// All claims on the names of a page that may have a contest.
async fn contested(call: &Call, page: &ClaimPage) -> Result<HashMap<StreamId, Ownership>, RequestError> {
    let may_be = |status: Status| matches!(status, Status::Contested | Status::Verified | Status::AtRisk);
    let streams: Vec<_> =
        page.rows.iter().filter(|row| may_be(row.claim.status())).map(|row| row.stream.clone()).collect();
    if streams.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = call.state.read_models.ownerships(&streams).await?;
    Ok(rows.into_iter().map(|row| (row.stream, row.state)).collect())
}

#[cfg(test)]
mod tests {
    use deed_claims::Status;
    use deed_store::KeyScope;
    use insta::assert_json_snapshot;
    use serde_json::{Value, json};

    use crate::testing::{Harness, TestResponse};

    fn names(answer: &TestResponse) -> Vec<&str> {
        let rows = answer.body["data"].as_array().unwrap();
        rows.iter().map(|row| row["rootDomain"].as_str().unwrap()).collect()
    }

    async fn three(harness: &Harness) -> String {
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        for name in ["one.com", "two.com", "three.com"] {
            harness.post("/v1/domains", &key, json!({ "domain": name })).await;
            harness.clock.advance(chrono::Duration::seconds(1));
        }
        harness.delete("/v1/domains/one.com", &key).await;
        harness.verify("/v1/domains/two.com/verify", &key).await;
        harness.project().await;
        key
    }

    #[test]
    fn reads_statuses_from_lists_and_repetitions() {
        let read = |text: &str| super::statuses(&deed_http::Query::parse(text));
        let wanted = [Status::Pending, Status::Verified, Status::AtRisk];
        assert_eq!(read("status=pending%2Cverified&status=at_risk").unwrap(), wanted);
        assert!(read("status=gone").is_err() && read("status=").is_err());
    }

    #[actix_web::test]
    async fn only_domain_list_omits_deleted() {
        let harness = Harness::start().await;
        let key = three(&harness).await;
        let domains = harness.get("/v1/domains", &key).await;
        assert_json_snapshot!("domains", domains.snapshot());
        assert_eq!(
            names(&harness.get("/v1/domains/claims", &key).await),
            ["three.com", "two.com", "one.com"]
        );
        let some = harness.get("/v1/domains/claims?status=verifying,cancelled", &key).await;
        assert_eq!(names(&some), ["two.com", "one.com"]);
        assert_eq!(names(&harness.get("/v1/domains?status=cancelled", &key).await), [""; 0]);
    }

    #[actix_web::test]
    async fn pages_through_claims() {
        let harness = Harness::start().await;
        let key = three(&harness).await;
        let first = harness.get("/v1/domains/claims?limit=2", &key).await;
        assert_eq!(names(&first), ["three.com", "two.com"]);
        let cursor = first.body["nextCursor"].as_str().unwrap();
        let last = harness.get(&format!("/v1/domains/claims?limit=2&cursor={cursor}"), &key).await;
        assert_eq!(names(&last), ["one.com"]);
        assert_eq!(last.body.get("nextCursor"), None);
    }

    #[actix_web::test]
    async fn rejects_bad_and_ignores_unknown_parameters() {
        let harness = Harness::start().await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        let mut answers: Vec<Value> = vec![];
        for query in ["limit=0", "cursor=x", "atLeast=x", "status=gone"] {
            answers.push(harness.get(&format!("/v1/domains?{query}"), &key).await.snapshot());
        }
        assert_json_snapshot!("bad_parameters", answers);
        assert_eq!(harness.get("/v1/domains?page=3", &key).await.status.as_u16(), 200);
    }

    #[actix_web::test]
    async fn list_waits_for_requested_position() {
        let harness = Harness::start().await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        let added = harness.post("/v1/domains", &key, json!({ "domain": "acme.com" })).await;
        let path = format!("/v1/domains?atLeast={}", added.header("deed-position").unwrap());
        let (listed, ()) = futures::join!(harness.get(&path, &key), harness.project());
        assert_eq!(names(&listed), ["acme.com"]);
        // A position beyond the log is rejected without a wait.
        let beyond = harness.get("/v1/domains?atLeast=99", &key).await;
        assert_json_snapshot!("beyond_the_log", beyond.snapshot());
        // The wait is bounded, and a stopping service does not wait.
        harness.state.http.stop.cancel();
        harness.delete("/v1/domains/acme.com", &key).await;
        let behind = harness.get("/v1/domains?atLeast=2", &key).await;
        assert_json_snapshot!("not_caught_up", behind.snapshot());
        assert_eq!(behind.header("retry-after"), Some("1"));
    }
}
