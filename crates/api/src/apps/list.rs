//! The apps of a workspace, from the read model.
use std::sync::Arc;

use deed_http::{JsonResponse, RequestError};
use deed_store::READ_MODELS;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::AppsError;
use super::page::{OffsetPage, at_least};
use super::view::AppResponse;
use crate::call::Call;

/// A part of a workspace's apps, the oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct AppList {
    results: Vec<AppResponse>,
    /// Apps in all.
    total_count: u64,
    limit: u32,
    offset: u32,
}

/// List apps
///
/// The workspace's apps, the oldest first. The header `Deed-Position` says how much of the log the list tells of.
#[utoipa::path(
    get,
    path = "/v1/apps",
    operation_id = "ListApps",
    tag = "Apps",
    params(
        ("limit" = Option<u32>, Query, description = "Apps in the answer, 50 by default", minimum = 1, maximum = 500),
        ("offset" = Option<u32>, Query, description = "Apps to leave out first", maximum = 2_147_483_647),
        (
            "at_least" = Option<u64>,
            Query,
            description = "The `Deed-Position` of an earlier answer, which the list has to have reached",
            maximum = 9_007_199_254_740_991_u64,
        ),
    ),
    responses((status = 200, description = "Apps", body = AppList)),
)]
pub async fn list_apps(call: Arc<Call>) -> Result<JsonResponse, AppsError> {
    let page = OffsetPage::of(&call.query)?;
    call.state.caught_up(at_least(&call.query)?).await?;
    let position = call.state.checkpoints.checkpoint(READ_MODELS).await.map_err(RequestError::from)?;
    let (limit, offset) = (page.limit as usize, page.offset as usize);
    let models = &call.state.read_models;
    let found = models.apps_of(&call.caller.workspace, limit, offset).await.map_err(RequestError::from)?;
    let list = AppList {
        results: found.rows.iter().map(|row| AppResponse::of(&row.app)).collect(),
        total_count: found.total,
        limit: page.limit,
        offset: page.offset,
    };
    Ok(JsonResponse::ok(&list)?.at(Some(position)))
}

#[cfg(test)]
mod tests {
    use deed_store::KeyScope;
    use serde_json::json;

    use crate::apps::testing::app;
    use crate::testing::Harness;

    #[actix_web::test]
    async fn pages_apps_of_own_workspace_only() {
        let harness = Harness::start().await;
        let (a, b) = (
            harness.workspace_key("ws_a", &KeyScope::ALL).await,
            harness.workspace_key("ws_b", &KeyScope::ALL).await,
        );
        let mut paths = vec![];
        for name in ["One", "Two", "Three", "Four"] {
            harness.clock.advance(chrono::Duration::seconds(1));
            paths.push(app(&harness, &a, json!({ "name": name })).await);
        }
        app(&harness, &b, json!({ "name": "Theirs" })).await;
        assert_eq!(harness.delete(&paths[1], &a).await.status, 200);
        harness.project().await;
        let page = harness.get("/v1/apps?limit=2&offset=1", &a).await;
        insta::assert_json_snapshot!("page", page.snapshot());
        let position = harness.last_position().await.to_string();
        assert_eq!(page.header("deed-position"), Some(position.as_str()));
        let beyond = harness.get("/v1/apps?offset=9", &a).await;
        assert_eq!(beyond.body, json!({ "results": [], "total_count": 3, "limit": 50, "offset": 9 }));
    }

    #[actix_web::test]
    async fn list_waits_for_requested_position() {
        let harness = Harness::start().await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        let made = harness.post("/v1/apps", &key, json!({ "name": "One" })).await;
        let path = format!("/v1/apps?at_least={}", made.header("deed-position").unwrap());
        // A stopping service does not wait, so this test does not either.
        harness.state.http.stop.cancel();
        let behind = harness.get(&path, &key).await;
        assert_eq!((behind.status.as_u16(), behind.header("retry-after")), (503, Some("1")));
        harness.project().await;
        assert_eq!(harness.get(&path, &key).await.body["total_count"], 1);
        let bad = harness.get("/v1/apps?limit=501", &key).await;
        insta::assert_json_snapshot!("bad_limit", bad.snapshot());
    }
}
