//! Reads one app from its stream.
use std::sync::Arc;

use deed_claims::StreamId;
use deed_http::JsonResponse;

use super::app_domain::{app_id, visible_app};
use super::error::{AppsError, ErrorResponse};
use super::view::AppResponse;
use crate::call::Call;

/// Get an app
#[utoipa::path(
    get,
    path = "/v1/apps/{app_id}",
    operation_id = "GetApp",
    tag = "Apps",
    params(("app_id" = String, Path, description = "The app's id")),
    responses(
        (status = 200, description = "The app", body = AppResponse),
        (status = 404, description = "No such app", body = ErrorResponse),
    ),
)]
pub async fn get_app(call: Arc<Call>) -> Result<JsonResponse, AppsError> {
    let stream = StreamId::app(&app_id(&call)?);
    let loaded = call.load(&stream).await?;
    let app = visible_app(&loaded, &call.caller.workspace)?;
    Ok(JsonResponse::ok(&AppResponse::of(app))?)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use deed_store::KeyScope;

    use crate::apps::testing::{HOST, Tenant};
    use crate::testing::{Harness, with_key};

    #[actix_web::test]
    async fn reads_app_by_id() {
        let harness = Harness::start().await;
        let tenant = Tenant::new(&harness, "ws_a").await;
        insta::assert_json_snapshot!("app", harness.get(&tenant.app, &tenant.key).await.snapshot());
        // A service key names the workspace.
        let service = harness.service_key(&[KeyScope::DomainRead]).await;
        let read = |workspace: &'static str| {
            let request = TestRequest::get().uri(&tenant.app).insert_header(("deed-workspace", workspace));
            harness.request(with_key(request, &service))
        };
        assert_eq!(read("ws_a").await.status, 200);
        assert_eq!(read("ws_b").await.status, 404);
        assert_eq!(harness.get(&tenant.app, &service).await.status, 400);
    }

    #[actix_web::test]
    async fn foreign_app_looks_like_a_missing_one() {
        let harness = Harness::start().await;
        let (owner, other) = (Tenant::new(&harness, "ws_a").await, Tenant::new(&harness, "ws_b").await);
        owner.add(&harness, HOST).await;
        let before = harness.last_position().await;
        let none = "/v1/apps/app_aaaaaaaaaaaaaaaa";
        let mut seen = vec![];
        for app in [owner.app.as_str(), none, "/v1/apps/no-id"] {
            let requests = [
                TestRequest::get().uri(app),
                TestRequest::delete().uri(app),
                TestRequest::get().uri(&format!("{app}/domains")),
                TestRequest::post()
                    .uri(&format!("{app}/domains"))
                    .set_json(serde_json::json!({ "domain": HOST })),
                TestRequest::delete().uri(&format!("{app}/domains/{HOST}")),
                TestRequest::post().uri(&format!("{app}/domains/{HOST}/verify")),
                TestRequest::post().uri(&format!("{app}/domains/{HOST}/activate")),
            ];
            let id = app.rsplit('/').next().unwrap();
            for request in requests {
                let answer = harness.request(with_key(request, &other.key)).await;
                seen.push(answer.text.replace(id, "ID"));
            }
        }
        seen.dedup();
        assert_eq!(seen.len(), 1, "{seen:?}");
        insta::assert_snapshot!("no_such_app", seen[0]);
        assert_eq!(harness.last_position().await, before);
    }

    #[actix_web::test]
    async fn read_and_write_need_different_scopes() {
        let harness = Harness::start().await;
        let tenant = Tenant::new(&harness, "ws_a").await;
        let reader = harness.workspace_key("ws_a", &[KeyScope::DomainRead]).await;
        let writer = harness.workspace_key("ws_a", &[KeyScope::DomainWrite]).await;
        let reads = || [TestRequest::get().uri("/v1/apps"), TestRequest::get().uri(&tenant.app)];
        // The scope is checked before the body, so these requests need none.
        let writes = || {
            [
                TestRequest::post().uri("/v1/apps"),
                TestRequest::post().uri(&format!("{}/domains", tenant.app)),
                TestRequest::post().uri(&format!("{}/domains/{HOST}/verify", tenant.app)),
                TestRequest::post().uri(&format!("{}/domains/{HOST}/activate", tenant.app)),
                TestRequest::delete().uri(&format!("{}/domains/{HOST}", tenant.app)),
            ]
        };
        for request in reads() {
            assert_eq!(harness.request(with_key(request, &writer)).await.status, 403);
        }
        for request in reads() {
            assert_eq!(harness.request(with_key(request, &reader)).await.status, 200);
        }
        for request in writes() {
            assert_eq!(harness.request(with_key(request, &reader)).await.status, 403);
        }
        for request in writes() {
            assert_eq!(harness.request(request).await.status, 401);
        }
    }
}
