//! Creates an app with a name and a unique slug.
use std::sync::Arc;

use deed_claims::app::{App, AppCreated, AppEvent, AppRejection, Slug, SlugOwner};
use deed_claims::name::Excerpt;
use deed_claims::{AppId, Event, StreamId};
use deed_http::{Decision, JsonResponse, RequestError};
use deed_store::Loaded;
use serde::Deserialize;
use utoipa::ToSchema;

use super::error::{AppsError, ErrorResponse};
use super::view::AppResponse;
use crate::call::Call;

/// Characters of a name at most.
const MAX_NAME: usize = 100;
/// Letters of the app's id that make its slug unique.
const SUFFIX: usize = 6;

/// What an app is made of.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateAppRequest {
    /// What people call it: 1 to 100 printable characters, not counting spaces around them.
    #[schema(example = "Search", min_length = 1)]
    name: String,
    /// Its part of the CNAME target: 1 to 63 lower-case letters, digits and inner hyphens. Made from the name
    /// when absent.
    #[serde(default)]
    #[schema(example = "search", min_length = 1, max_length = 63)]
    slug: Option<String>,
}

/// Create an app
///
/// The app belongs to the workspace of the key. A slug is in use by one app at a time, whatever its workspace.
#[utoipa::path(
    post,
    path = "/v1/apps",
    operation_id = "CreateApp",
    tag = "Apps",
    request_body = CreateAppRequest,
    responses(
        (status = 200, description = "The app", body = AppResponse),
        (status = 409, description = "The slug is in use", body = ErrorResponse),
    ),
)]
pub async fn create_app(call: Arc<Call>) -> Result<JsonResponse, AppsError> {
    let body: CreateAppRequest = call.json()?;
    let name = name(&body.name)?;
    let given = body.slug.as_deref().map(slug).transpose()?;
    let app_id = AppId::from_bytes(call.http().random()?);
    if let Some(slug) = given {
        return create_with_slug(&call, &app_id, &name, &slug).await;
    }
    let (last, others) = slug_candidates(&name, &app_id)?;
    for slug in others {
        match create_with_slug(&call, &app_id, &name, &slug).await {
            Err(AppsError::SlugInUse(_)) => {}
            done => return done,
        }
    }
    create_with_slug(&call, &app_id, &name, &last).await
}

/// Creates the app and takes the slug, in one append to both streams.
async fn create_with_slug(
    call: &Call,
    app_id: &AppId,
    name: &Arc<str>,
    slug: &Slug,
) -> Result<JsonResponse, AppsError> {
    let slug_stream = StreamId::slug(slug);
    call.respond(slug_stream.clone(), |owner: &Loaded<SlugOwner>, at| {
        let taken = owner.state.take(slug, app_id, at).map_err(|why| refused(why, slug))?;
        let created = AppEvent::from(AppCreated {
            app_id: app_id.clone(),
            workspace_id: call.caller.workspace.clone(),
            name: name.clone(),
            slug: slug.clone(),
            at,
        });
        let app = App::evolve(None, &created)
            .ok_or_else(|| RequestError::internal("making an app", "its first event makes none"))?;
        let writes = vec![
            (StreamId::app(app_id), vec![Event::from(created)]),
            (slug_stream.clone(), vec![Event::from(taken)]),
        ];
        Ok(Decision { writes, response: JsonResponse::ok(&AppResponse::of(&app))? })
    })
    .await
}

fn refused(why: AppRejection, slug: &Slug) -> AppsError {
    match why {
        AppRejection::SlugInUse => AppsError::SlugInUse(Excerpt::of(slug.as_str())),
        AppRejection::NotFound | AppRejection::StillHasDomains => {
            RequestError::internal("taking a slug", why).into()
        }
    }
}

fn name(text: &str) -> Result<Arc<str>, AppsError> {
    let text = text.trim();
    let wrong = |rule: &str| AppsError::Field { field: "name", code: "invalid_name", rule: rule.to_owned() };
    if text.is_empty() {
        return Err(wrong("The name is empty"));
    }
    if text.chars().count() > MAX_NAME {
        return Err(wrong("The name is longer than 100 characters"));
    }
    if !text.chars().all(is_printable) {
        return Err(wrong("The name has a character that cannot be shown"));
    }
    Ok(text.into())
}

/// Whether a character is printable: no control character, no line break, no bidirectional control.
fn is_printable(c: char) -> bool {
    let hidden =
        matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}' | '\u{feff}');
    !c.is_control() && !hidden
}

fn slug(text: &str) -> Result<Slug, AppsError> {
    text.parse().map_err(|why: deed_claims::app::SlugError| {
        let rule = format!("The slug cannot be used: {why}");
        AppsError::Field { field: "slug", code: "invalid_slug", rule }
    })
}

/// Candidates for a generated slug: the last one, which is unique, and those to try before it.
fn slug_candidates(name: &str, app_id: &AppId) -> Result<(Slug, Vec<Slug>), AppsError> {
    // The id is random, so its letters serve as the suffix.
    let letters = app_id.as_str().rsplit('_').next().unwrap_or_default();
    let from_name = Slug::from_name(name);
    let made_up = || "app".parse().ok();
    let stem = from_name.clone().or_else(made_up);
    let with = |suffix: &str| stem.as_ref().and_then(|stem| stem.with_suffix(suffix));
    let last = with(letters).ok_or_else(|| RequestError::internal("making a slug", "the id makes none"))?;
    let short = letters.get(..SUFFIX).and_then(with);
    Ok((last, from_name.into_iter().chain(short).collect()))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use deed_store::KeyScope;
    use serde_json::json;

    use super::*;
    use crate::apps::testing::{app, idempotent};
    use crate::testing::Harness;

    async fn slug_of(harness: &Harness, key: &str, name: &str) -> String {
        let path = app(harness, key, json!({ "name": name })).await;
        harness.get(&path, key).await.body["slug"].as_str().unwrap().to_owned()
    }

    #[actix_web::test]
    async fn app_gets_id_and_slug_from_name() {
        let harness = Harness::start().await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        let answer = harness.post("/v1/apps", &key, json!({ "name": "  Acme Search " })).await;
        insta::assert_json_snapshot!("created", answer.snapshot());
        // The app and its slug, in one append.
        assert_eq!(answer.header("deed-position"), Some("2"));
    }

    #[actix_web::test]
    async fn slug_is_unique_across_workspaces() {
        let harness = Harness::start().await;
        let (a, b) = (
            harness.workspace_key("ws_a", &KeyScope::ALL).await,
            harness.workspace_key("ws_b", &KeyScope::ALL).await,
        );
        app(&harness, &a, json!({ "name": "One", "slug": "docs" })).await;
        let before = harness.last_position().await;
        let taken = harness.post("/v1/apps", &b, json!({ "name": "Two", "slug": "docs" })).await;
        insta::assert_json_snapshot!("slug_in_use", taken.snapshot());
        assert_eq!(harness.last_position().await, before);
        // A generated slug that is in use gets a suffix.
        let other = slug_of(&harness, &b, "Docs").await;
        assert!(other.starts_with("docs-") && other.len() == "docs-".len() + SUFFIX, "{other}");
        // Null is the same as an absent slug.
        let third = app(&harness, &b, json!({ "name": "docs", "slug": null })).await;
        assert_ne!(harness.get(&third, &b).await.body["slug"], other);
    }

    #[actix_web::test]
    async fn name_without_ascii_gets_generated_slug() {
        let harness = Harness::start().await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        let (one, two) = (slug_of(&harness, &key, "日本").await, slug_of(&harness, &key, "日本").await);
        assert!(one.starts_with("app-") && two.starts_with("app-") && one != two, "{one} {two}");
    }

    #[actix_web::test]
    async fn body_errors_have_error_and_detail() {
        let harness = Harness::start().await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        let mut shown = vec![];
        for body in [
            json!({}),
            json!({ "name": "" }),
            json!({ "name": "x".repeat(101) }),
            json!({ "name": "a\u{202e}b" }),
            json!({ "name": "a\nb" }),
            json!({ "name": "ok", "slug": "-no-" }),
            json!({ "name": "ok", "slug": 7 }),
            json!({ "name": "ok", "domain": "acme.com" }),
        ] {
            shown.push(harness.post("/v1/apps", &key, body).await.snapshot());
        }
        insta::assert_json_snapshot!("create_refusals", shown);
        assert_eq!(harness.last_position().await.0, 0);
        let long = "ü".repeat(100);
        assert_eq!(harness.post("/v1/apps", &key, json!({ "name": long })).await.body["name"], long);
    }

    #[actix_web::test]
    async fn repeated_create_makes_no_second_app() {
        let harness = Harness::start().await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        let create = || {
            let request = TestRequest::post().uri("/v1/apps").set_json(json!({ "name": "Docs" }));
            harness.request(idempotent(request, &key, "make-docs"))
        };
        let (first, second) = (create().await, create().await);
        assert_eq!((first.status, &first.text), (second.status, &second.text));
        assert_eq!(second.header("idempotency-replayed"), Some("true"));
        assert_eq!(harness.last_position().await.0, 2);
    }
}
