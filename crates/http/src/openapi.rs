//! Generates the OpenAPI description from the list of operations and adds what all operations share.
mod headers;

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use deed_store::KeyScope;
use utoipa::openapi::path::{HttpMethod, Parameter, ParameterBuilder, ParameterIn, Paths};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Ref, RefOr,
    Required, Response, ResponseBuilder,
};

use crate::contract::{Contract, Contracts};
use crate::openapi::headers::LIBRARY_STATUS;
use crate::operation::Operation;

/// What the OpenAPI description of a surface says besides its operations.
pub struct Description {
    /// The name of the service.
    pub title: &'static str,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// The contracts of the operations.
    pub contracts: Contracts,
    /// The schemas that the documentation of the operations refers to, and those of errors.
    pub schemas: BTreeMap<String, RefOr<Schema>>,
}

impl Description {
    /// The description of these operations, as indented JSON with a final newline.
    pub fn json<S>(&self, operations: &[Operation<S>]) -> String {
        let mut json = self.document(operations).to_pretty_json().unwrap_or_default();
        json.push('\n');
        json
    }
}

/// Errors of any operation: status, name of the response, meaning.
const SHARED: &[(u16, &str, &str)] = &[
    (400, "BadRequest", "The request is not understood"),
    (401, "Unauthorized", "The API key is missing, unknown or revoked"),
    (403, "Forbidden", "The API key lacks a scope, or acts for another workspace"),
    (404, "NotFound", "There is no such thing in this workspace"),
    (405, "MethodNotAllowed", "The path does not have this method"),
    (408, "RequestTimeout", "The request did not arrive in time"),
    (409, "Conflict", "The state of things does not allow it, or the Idempotency-Key was used before"),
    (413, "TooLarge", "The body is larger than 16 KiB"),
    (422, "Invalid", "The request is understood and not valid"),
    (429, "TooManyRequests", "The API key's rate limit is reached"),
    (431, "HeadersTooLarge", "More than 96 headers, or a head larger than 128 KiB"),
    (500, "InternalError", "Something went wrong on our side"),
    (503, "Unavailable", "The service cannot answer at the moment"),
];

/// Whether an operation can answer with a shared error of this status.
fn answers<S>(operation: &Operation<S>, status: u16) -> bool {
    match status {
        409 => operation.changes(),
        422 => operation.contract.invalid == StatusCode::UNPROCESSABLE_ENTITY,
        _ => true,
    }
}

impl Description {
    fn document<S>(&self, operations: &[Operation<S>]) -> OpenApi {
        let mut paths = Paths::new();
        for operation in operations {
            paths.add_path_operation(&operation.path, vec![method(operation)], documented(operation));
        }
        let info = InfoBuilder::new()
            .title(self.title)
            .version(env!("CARGO_PKG_VERSION"))
            .description(Some(self.summary))
            .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()))
            .build();
        let either = [
            SecurityRequirement::new("apiKeyAuth", none()),
            SecurityRequirement::new("apiKeyHeader", none()),
        ];
        OpenApiBuilder::new()
            .info(info)
            .paths(paths)
            .components(Some(self.components(operations)))
            .security(Some(either))
            .build()
    }

    fn components<S>(&self, operations: &[Operation<S>]) -> utoipa::openapi::Components {
        let schemas = self.schemas.iter().map(|(name, schema)| (name.clone(), schema.clone()));
        let mut builder = ComponentsBuilder::new().schemas_from_iter(schemas);
        for (status, name, meaning) in SHARED {
            for contract in self.contracts.iter() {
                let mut answering = operations
                    .iter()
                    .filter(|operation| {
                        std::ptr::eq(operation.contract, contract) && answers(operation, *status)
                    })
                    .peekable();
                if answering.peek().is_some() {
                    let mut response = match *status {
                        LIBRARY_STATUS => ResponseBuilder::new().description(*meaning).build(),
                        _ => error_response(contract, meaning),
                    };
                    let names = answering.flat_map(|operation| headers::names(operation, *status));
                    headers::declare(&mut response, names);
                    builder = builder.response(format!("{}{name}", contract.response_prefix), response);
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
}

fn none() -> [&'static str; 0] {
    []
}

fn method<S>(operation: &Operation<S>) -> HttpMethod {
    match operation.method.as_str() {
        "POST" => HttpMethod::Post,
        "PUT" => HttpMethod::Put,
        "PATCH" => HttpMethod::Patch,
        "DELETE" => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

/// The operation's own documentation with the shared parameters, headers and errors.
fn documented<S>(operation: &Operation<S>) -> utoipa::openapi::path::Operation {
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
    for (status, name, _) in SHARED {
        if answers(operation, *status) {
            let name = format!("{}{name}", operation.contract.response_prefix);
            let reference = RefOr::Ref(Ref::from_response_name(name));
            docs.responses.responses.entry(status.to_string()).or_insert(reference);
        }
    }
    docs
}

fn bearer() -> SecurityScheme {
    let scopes: Vec<_> = KeyScope::ALL.iter().map(|scope| format!("`{scope}`")).collect();
    let text = format!(
        "An API key: `Authorization: Bearer KEY`. A key has some of the scopes {}.",
        scopes.join(", ")
    );
    SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(text)).build())
}

fn error_response(contract: &Contract, meaning: &str) -> Response {
    let schema = Ref::from_schema_name(contract.error_schema);
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
