//! Serves the OpenAPI description (`/openapi.json`) and Swagger UI (`/docs/`).
use std::sync::Arc;

use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;
use utoipa_swagger_ui::Config;

use crate::operation::Contract;
use crate::pipeline;
use crate::routes::not_allowed;
use crate::state::AppState;

/// The path of Swagger UI.
const FOLDER: &str = "/docs/";

/// Registers both; all assets are part of the executable.
pub fn configure(config: &mut web::ServiceConfig, state: &Arc<AppState>, description: &web::Bytes) {
    let description = description.clone();
    let json = web::resource("/openapi.json").route(web::get().to(move || {
        let description = description.clone();
        async move { HttpResponse::Ok().content_type("application/json").body(description) }
    }));
    let to_folder = || async {
        let body = json!({ "success": true, "data": { "location": FOLDER } });
        HttpResponse::PermanentRedirect().insert_header((header::LOCATION, FOLDER)).json(body)
    };
    // Without this, the page loads a badge from an external validator and tells it the URL of the description.
    let pages = Arc::new(Config::new(["/openapi.json"]).validator_url("none"));
    let pages_of = state.clone();
    let folder = web::resource("/docs/{file:.*}").route(web::get().to(move |req: HttpRequest| {
        let answer = page(pages_of.clone(), pages.clone(), &req);
        async move { answer }
    }));
    config
        .service(json.default_service(not_allowed(state, Contract::Workspace, "GET")))
        .service(web::resource("/docs").route(web::get().to(to_folder)).default_service(not_allowed(
            state,
            Contract::Workspace,
            "GET",
        )))
        .service(folder.default_service(not_allowed(state, Contract::Workspace, "GET")));
}

fn page(state: Arc<AppState>, pages: Arc<Config<'static>>, req: &HttpRequest) -> HttpResponse {
    let file = req.match_info().query("file");
    match utoipa_swagger_ui::serve(file, pages) {
        Ok(Some(file)) => HttpResponse::Ok()
            .content_type(file.content_type)
            .insert_header((header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")))
            .body(file.bytes.into_owned()),
        Ok(None) | Err(_) => pipeline::unknown_route(state, req),
    }
}
