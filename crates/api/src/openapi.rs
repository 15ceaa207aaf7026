//! Generates the OpenAPI description from the list of operations and adds what all operations share.
mod headers;

use deed_store::KeyScope;
use utoipa::ToSchema;
use utoipa::openapi::path::{HttpMethod, Parameter, ParameterBuilder, ParameterIn, Paths};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Ref, RefOr,
    Required, Response, ResponseBuilder,
};

use crate::apps::error::{ErrorDetail, ErrorResponse, LocationStep, ValidationError};
use crate::domains::error::ApiError;
use crate::operation::{Contract, Operation};
use crate::routes::operations;

/// The description of all operations, as indented JSON with a final newline.
pub fn openapi() -> String {
    describe(&operations())
}

/// The description of these operations.
pub fn describe(operations: &[Operation]) -> String {
    let mut json = document(operations).to_pretty_json().unwrap_or_default();
    json.push('\n');
    json
}

/// Errors of any operation: status, response name in the workspace contract, in the app contract, meaning.
const SHARED: &[(u16, &str, &str, &str)] = &[
    (400, "BadRequest", "AppBadRequest", "The request is not understood"),
    (401, "Unauthorized", "AppUnauthorized", "The API key is missing, unknown or revoked"),
    (403, "Forbidden", "AppForbidden", "The API key lacks a scope, or acts for another workspace"),
    (404, "NotFound", "AppNotFound", "There is no such thing in this workspace"),
    (405, "MethodNotAllowed", "AppMethodNotAllowed", "The path does not have this method"),
    (408, "RequestTimeout", "AppRequestTimeout", "The request did not arrive in time"),
    (
        409,
        "Conflict",
        "AppConflict",
        "The state of things does not allow it, or the Idempotency-Key was used before",
    ),
    (413, "TooLarge", "AppTooLarge", "The body is larger than 16 KiB"),
    (422, "Invalid", "AppInvalid", "The request is understood and not valid"),
    (429, "TooManyRequests", "AppTooManyRequests", "The API key's rate limit is reached"),
    (431, "HeadersTooLarge", "AppHeadersTooLarge", "More than 96 headers, or a head larger than 128 KiB"),
    (500, "InternalError", "AppInternalError", "Something went wrong on our side"),
    (503, "Unavailable", "AppUnavailable", "The service cannot answer at the moment"),
];

/// The status of heads that are too large. The HTTP library answers it, without a body and without headers of ours.
const LIBRARY_STATUS: u16 = 431;

/// Whether an operation can answer with a shared error of this status.
fn answers(operation: &Operation, status: u16) -> bool {
    match status {
        409 => operation.changes(),
        422 => operation.contract == Contract::Apps,
        _ => true,
    }
}

fn document(operations: &[Operation]) -> OpenApi {
    let mut paths = Paths::new();
    for operation in operations {
        paths.add_path_operation(&operation.path, vec![method(operation)], documented(operation));
    }
    let info = InfoBuilder::new()
        .title("Deed")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Proves who controls a domain name, and moves a name between tenants when the DNS says so.",
        ))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()))
        .build();
    let anyway =
        [SecurityRequirement::new("apiKeyAuth", none()), SecurityRequirement::new("apiKeyHeader", none())];
    OpenApiBuilder::new()
        .info(info)
        .paths(paths)
        .components(Some(components(operations)))
        .security(Some(anyway))
        .build()
}

fn none() -> [&'static str; 0] {
    []
}

fn method(operation: &Operation) -> HttpMethod {
    match operation.method.as_str() {
        "POST" => HttpMethod::Post,
        "PUT" => HttpMethod::Put,
        "PATCH" => HttpMethod::Patch,
        "DELETE" => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

/// The operation's own documentation with the shared parameters, headers and errors.
fn documented(operation: &Operation) -> utoipa::openapi::path::Operation {
    let mut docs = operation.docs.clone();
    let shared_headers = ["DeedWorkspace", "IdempotencyKey"];
    let wanted = if operation.changes() { &shared_headers[..] } else { &shared_headers[..1] };
    let references =
        wanted.iter().map(|name| RefOr::Ref(Ref::new(format!("#/components/parameters/{name}"))));
    docs.parameters.get_or_insert_default().extend(references);
    let scope = format!("Needs the scope `{}`.", operation.scope);
    docs.description = Some(match docs.description.take() {
        Some(text) if !text.is_empty() => format!("{text}\n\n{scope}"),
        _ => scope,
    });
    for (status, response) in &mut docs.responses.responses {
        if let (Ok(status), RefOr::T(response)) = (status.parse(), response) {
            headers::declare(response, headers::names(operation, status));
        }
    }
    for (status, workspace, apps, _) in SHARED {
        if answers(operation, *status) {
            let name = if operation.contract == Contract::Workspace { workspace } else { apps };
            let reference = RefOr::Ref(Ref::from_response_name(*name));
            docs.responses.responses.entry(status.to_string()).or_insert(reference);
        }
    }
    docs
}

fn components(operations: &[Operation]) -> utoipa::openapi::Components {
    let mut builder = ComponentsBuilder::new()
        .schema_from::<ApiError>()
        .schema_from::<ErrorResponse>()
        .schema_from::<ErrorDetail>()
        .schema_from::<ValidationError>()
        .schema_from::<LocationStep>();
    for operation in operations {
        builder = builder.schemas_from_iter(operation.schemas.clone());
    }
    for (status, workspace, apps, meaning) in SHARED {
        for (name, contract) in [(workspace, Contract::Workspace), (apps, Contract::Apps)] {
            let mut answering = operations
                .iter()
                .filter(|operation| operation.contract == contract && answers(operation, *status))
                .peekable();
            if answering.peek().is_some() {
                let mut response = match *status {
                    LIBRARY_STATUS => ResponseBuilder::new().description(*meaning).build(),
                    _ => error_response(contract, meaning),
                };
                let names = answering.flat_map(|operation| headers::names(operation, *status));
                headers::declare(&mut response, names);
                builder = builder.response(*name, response);
            }
        }
    }
    for (name, header) in headers::all() {
        builder = builder.header(name, header);
    }
    builder
        .parameter("DeedWorkspace", workspace_header())
        .parameter("IdempotencyKey", idempotency_header())
        .security_scheme("apiKeyAuth", bearer())
        .security_scheme(
            "apiKeyHeader",
            SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key"))),
        )
        .build()
}

fn bearer() -> SecurityScheme {
    let scopes: Vec<_> = KeyScope::ALL.iter().map(|scope| format!("`{scope}`")).collect();
    let text = format!(
        "An API key: `Authorization: Bearer KEY`. A key has some of the scopes {}.",
        scopes.join(", ")
    );
    SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(text)).build())
}

fn error_response(contract: Contract, meaning: &str) -> Response {
    let schema = match contract {
        Contract::Workspace => Ref::from_schema_name(ApiError::name()),
        Contract::Apps => Ref::from_schema_name(ErrorResponse::name()),
    };
    ResponseBuilder::new()
        .description(meaning)
        .content("application/json", ContentBuilder::new().schema(Some(schema)).build())
        .build()
}

fn workspace_header() -> Parameter {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(64))
        .pattern(Some("^[A-Za-z0-9_.:-]+$"));
    ParameterBuilder::new()
        .name("Deed-Workspace")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("The workspace a service key acts for; a workspace key needs none."))
        .schema(Some(schema))
        .build()
}

fn idempotency_header() -> Parameter {
    let schema = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(100));
    let text = "Makes a repetition safe: the same request with the same key has one effect, and for 24 hours it gets the \
                answer to that effect again, with the header `Idempotency-Replayed: true`. Refusals, 202 and answers that \
                tell where a verification stands are not kept: the request is answered anew. JSON bodies are the same \
                when they say the same. The same key with another request is refused with 409 `IDEMPOTENCY_CONFLICT`. \
                Keys are told apart per API key.";
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(text))
        .schema(Some(schema))
        .build()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use actix_web::http::Method;
    use actix_web::test::TestRequest;
    use serde_json::{Value, json};

    use super::*;
    use crate::rate_limit::Rate;
    use crate::testing::{Harness, Setup, with_key};

    fn committed() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto/openapi.json")
    }

    #[test]
    fn committed_openapi_matches_the_code() {
        let made = openapi();
        if std::env::var_os("UPDATE_OPENAPI").is_some() {
            std::fs::write(committed(), &made).unwrap();
        }
        let kept = std::fs::read_to_string(committed()).unwrap_or_default();
        assert!(kept == made, "proto/openapi.json is out of date: run `make generate`");
    }

    #[test]
    fn every_operation_declares_shared_errors() {
        let document: Value = serde_json::from_str(&openapi()).unwrap();
        let mut seen = 0;
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                seen += 1;
                for status in ["400", "401", "403", "404", "405", "408", "413", "429", "431", "500", "503"] {
                    assert!(!operation["responses"][status].is_null(), "{method} {path} {status}");
                }
                assert!(
                    operation["operationId"].is_string() && operation["summary"].is_string(),
                    "{method} {path}"
                );
            }
        }
        assert_eq!(seen, operations().len());
    }

    /// The headers declared for one response, in lower case.
    fn declared(document: &Value, path: &str, method: &str, status: u16) -> BTreeSet<String> {
        let response = &document["paths"][path][method]["responses"][status.to_string()];
        let response = response["$ref"]
            .as_str()
            .map_or(response, |reference| document.pointer(reference.strip_prefix('#').unwrap()).unwrap());
        let headers = response["headers"].as_object().into_iter().flat_map(|headers| headers.keys());
        headers.map(|name| name.to_ascii_lowercase()).collect()
    }

    #[actix_web::test]
    async fn every_response_header_is_declared() {
        let document: Value = serde_json::from_str(&openapi()).unwrap();
        let mut setup = Setup::default();
        setup.caps.rate = Rate { per_second: 0.1, burst: 12 };
        let harness = Harness::with(setup).await;
        let key = harness.workspace_key("ws_a", &KeyScope::ALL).await;
        let (claims, verify) = ("/v1/domains/claims", "/v1/domains/claims/{domain}/verify");
        let (get, post) = (Method::GET, Method::POST);
        let position = ["deed-position", "ratelimit", "ratelimit-policy"];
        let acme = || json!({ "domain": "acme.com" });
        // Method, path, key and body of the request; status and some headers of the response.
        for (method, path, key, body, status, wanted) in [
            (&post, claims, &*key, acme(), 200, &position[..]),
            (&post, claims, &key, acme(), 200, &["idempotency-replayed"]),
            (&post, claims, &key, json!({ "domain": "acme.org" }), 409, &[]),
            (&post, verify, &key, json!({}), 202, &["deed-position", "preference-applied"]),
            (&get, verify, &key, json!({}), 405, &["allow"]),
            (&get, "/v1/domains/{domain}", &key, json!({}), 200, &position),
            (&get, "/v1/domains/claims/{domain}", &key, json!({}), 200, &position),
            (&get, "/v1/domains/claims/{domain}/history", &key, json!({}), 200, &position),
            (&get, "/v1/domains", &key, json!({}), 200, &[]),
            (&get, claims, &key, json!({}), 200, &[]),
            (&get, "/v1/apps", &key, json!({}), 200, &position),
            (&post, "/v1/apps", &key, json!({ "name": "Docs" }), 200, &position),
            (&get, claims, "unknown", json!({}), 401, &["www-authenticate"]),
            (&get, "/v1/domains", &key, json!({}), 200, &[]),
            (&get, "/v1/domains", &key, json!({}), 429, &["retry-after", "ratelimit"]),
        ] {
            let request = TestRequest::with_uri(&path.replace("{domain}", "acme.com"))
                .method(method.clone())
                .insert_header(("idempotency-key", path))
                .insert_header(("prefer", "wait=0"))
                .set_json(&body);
            let answer = harness.request(with_key(request, key)).await;
            let what = format!("{method} {path}: {} {:?}", answer.text, answer.headers);
            assert_eq!(answer.status.as_u16(), status, "{what}");
            // A 405 is declared with the methods that the path has.
            let method = if status == 405 { "post".to_owned() } else { method.as_str().to_lowercase() };
            let declared = declared(&document, path, &method, status);
            let everywhere = ["content-type", "cache-control", "x-content-type-options"];
            let names = answer.headers.keys().map(|name| name.as_str().to_owned());
            let found: BTreeSet<_> = names.filter(|name| !everywhere.contains(&name.as_str())).collect();
            assert!(found.is_subset(&declared), "{what}: {declared:?}");
            for name in ["x-request-id"].iter().chain(wanted) {
                assert!(found.contains(*name), "{what}: {name}");
            }
            if wanted.is_empty() && status == 200 {
                assert!(!declared.contains("deed-position"), "{what}");
            }
        }
    }

    #[test]
    fn references_resolve_and_operation_ids_are_unique() {
        let document: Value = serde_json::from_str(&openapi()).unwrap();
        let mut stack = vec![&document];
        while let Some(value) = stack.pop() {
            match value {
                Value::Object(fields) => {
                    if let Some(Value::String(reference)) = fields.get("$ref") {
                        let pointer = reference.strip_prefix('#').unwrap();
                        assert!(document.pointer(pointer).is_some(), "{reference}");
                    }
                    stack.extend(fields.values());
                }
                Value::Array(items) => stack.extend(items),
                _ => {}
            }
        }
        let mut ids: Vec<_> = operations().into_iter().map(|operation| operation.id).collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all);
    }
}
