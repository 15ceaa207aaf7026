//! Serves the OpenAPI description (`/openapi.json`) and Swagger UI (`/docs/`).
use std::sync::Arc;

use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;
use utoipa_swagger_ui::Config;

use crate::contract::Contracts;
use crate::pipeline::{not_allowed, unknown_route};
use crate::state::SurfaceState;

/// The path of Swagger UI.
const FOLDER: &str = "/docs/";

/// Registers both; all assets are part of the executable.
pub fn configure<S: SurfaceState>(
    config: &mut web::ServiceConfig,
    contracts: Contracts,
    state: &Arc<S>,
    description: &web::Bytes,
) {
    let get_only = || not_allowed(contracts, state, "GET");
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
        let file = req.match_info().query("file");
        let response =
            page(pages.clone(), file).unwrap_or_else(|| unknown_route(contracts, (*pages_of).as_ref(), &req));
        async move { response }
    }));
    config
        .service(json.default_service(get_only()))
        .service(web::resource("/docs").route(web::get().to(to_folder)).default_service(get_only()))
        .service(folder.default_service(get_only()));
}

/// A file of Swagger UI.
fn page(pages: Arc<Config<'static>>, file: &str) -> Option<HttpResponse> {
    let file = utoipa_swagger_ui::serve(file, pages).ok().flatten()?;
    let response = HttpResponse::Ok()
        .content_type(file.content_type)
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")))
        .body(file.bytes.into_owned());
    Some(response)
}
