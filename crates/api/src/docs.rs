//! The description of the interface for programs (`/openapi.json`) and for people (`/docs/`).
use std::sync::Arc;

use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;
use utoipa_swagger_ui::Config;

use crate::operation::Contract;
use crate::pipeline;
use crate::routes::not_allowed;
use crate::state::AppState;

/// Where the pages lie.
const FOLDER: &str = "/docs/";

/// Registers both; nothing of them is loaded from elsewhere.
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
    // Otherwise the page shows a badge of a service elsewhere, which is told where the description lies.
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
