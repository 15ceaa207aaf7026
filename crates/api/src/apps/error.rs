//! Errors of the app contract and their format: `{success, status, error, detail?}`.
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use deed_claims::Rejection;
use deed_claims::name::{DomainName, Excerpt, NameError};
use deed_http::{ContractError, JsonResponse, RequestError, RequestId};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// The errors of the operations of the app contract.
#[derive(Debug, thiserror::Error)]
pub enum AppsError {
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A name in the body that cannot be claimed.
    #[error("{0}")]
    Name(#[from] NameError),
    /// The path has no valid name.
    #[error("{0}")]
    PathName(NameError),
    /// A field of the body whose value breaks a rule.
    #[error("{rule}")]
    Field { field: &'static str, code: &'static str, rule: String },
    #[error("App not found: {0}")]
    NoSuchApp(Excerpt),
    #[error("Domain not found: {0}")]
    NoSuchDomain(Excerpt),
    #[error("The slug {0} is in use")]
    SlugInUse(Excerpt),
    #[error("The verification of {0} has ended: add the domain again for a new token")]
    Ended(DomainName),
    #[error("{0} is not verified yet")]
    NotVerified(DomainName),
    #[error("Activation is immediate in this deployment: a domain is active as soon as it is verified")]
    ActivationIsImmediate,
    #[error(
        "The apps of this workspace have {limit} open claims on {domain}: verify or remove one of them first"
    )]
    TooManyClaimsOnName { domain: DomainName, limit: usize },
    #[error("This workspace has {limit} open claims: verify or remove some domains first")]
    TooManyClaims { limit: u64 },
}

/// What every error answer looks like.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorResponse {
    /// Always `false`.
    #[schema(default = false)]
    success: bool,
    /// The HTTP status once more.
    status: u16,
    error: ErrorDetail,
    /// Where the request is wrong; only with status 422.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    detail: Vec<ValidationError>,
}

/// What is wrong.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorDetail {
    /// In a sentence.
    message: String,
    /// For programs; follows from the status.
    #[serde(rename = "type")]
    kind: String,
    /// For programs, finer. Codes do not change.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// What more there is to say, such as the resource concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<std::collections::HashMap<String, Value>>)]
    details: Option<Value>,
}

/// One place where a request is wrong.
#[derive(Debug, Serialize, ToSchema)]
pub struct ValidationError {
    /// The way there: `["body", "domain"]`.
    #[schema(value_type = Vec<LocationStep>)]
    loc: Value,
    msg: String,
    #[serde(rename = "type")]
    kind: String,
}

/// A name or an index on the way to a place in a request.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "schema of a field that is serialized from a JSON value")]
pub enum LocationStep {
    Name(String),
    Index(u32),
}

/// The position of an error in the request: one entry of `detail`.
struct Location {
    loc: Value,
    kind: &'static str,
}

/// Status, fine-grained code, structured details and the position in the request.
struct Parts {
    status: StatusCode,
    code: Option<String>,
    details: Option<Value>,
    at: Option<Location>,
}

impl Parts {
    fn of(status: StatusCode, code: impl Into<String>, details: Value) -> Self {
        Self { status, code: Some(code.into()), details: Some(details), at: None }
    }

    fn invalid(code: impl Into<String>, loc: Value, kind: &'static str) -> Self {
        let at = Some(Location { loc, kind });
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, code: Some(code.into()), details: None, at }
    }
}

impl AppsError {
    /// The error for a rejected command on a hostname of the caller's app.
    ///
    /// `TooSoon` is handled by its operation. A rejection of a command that the app contract never gives is an
    /// internal error.
    pub fn of_rejection(rejection: Rejection, domain: &DomainName) -> Self {
        match rejection {
            Rejection::NoSuchClaim => Self::NoSuchDomain(Excerpt::of(domain.as_str())),
            Rejection::TooManyClaims { limit } => Self::TooManyClaimsOnName { domain: domain.clone(), limit },
            Rejection::Ended => Self::Ended(domain.clone()),
            Rejection::NotHeld => Self::NotVerified(domain.clone()),
            Rejection::HeldByAnother
            | Rejection::StaleAttempt
            | Rejection::TooSoon { .. }
            | Rejection::AlreadyHeld
            | Rejection::NoContest
            | Rejection::NotDue => Self::Request(RequestError::internal("asking the rules", rejection)),
        }
    }

    /// Maps each error to its status, code and details.
    fn parts(&self, request: &RequestId) -> Parts {
        let not_found = StatusCode::NOT_FOUND;
        // The published description has no 409 for domains: a conflict is a bad request.
        let bad = StatusCode::BAD_REQUEST;
        match self {
            Self::Request(error) => request_error_parts(error, request),
            Self::Name(e) => Parts::invalid(e.code(), json!(["body", "domain"]), "value_error"),
            Self::PathName(e) => Parts::invalid(e.code(), json!(["path", "domain"]), "value_error"),
            Self::Field { field, code, .. } => Parts::invalid(*code, json!(["body", field]), "value_error"),
            Self::NoSuchApp(id) => {
                Parts::of(not_found, "app_not_found", json!({ "resource": "app", "id": id.as_str() }))
            }
            Self::NoSuchDomain(id) => {
                Parts::of(not_found, "domain_not_found", json!({ "resource": "domain", "id": id.as_str() }))
            }
            Self::SlugInUse(slug) => {
                Parts::of(StatusCode::CONFLICT, "slug_in_use", json!({ "slug": slug.as_str() }))
            }
            Self::Ended(domain) => Parts::of(bad, "verification_ended", json!({ "domain": domain })),
            Self::NotVerified(domain) => Parts::of(bad, "not_verified", json!({ "domain": domain })),
            Self::ActivationIsImmediate => {
                Parts::of(bad, "activation_is_immediate", json!({ "activation": "immediate" }))
            }
            Self::TooManyClaimsOnName { domain, limit } => {
                let details = json!({ "domain": domain, "limit": limit });
                Parts::of(bad, "too_many_claims_on_name", details)
            }
            Self::TooManyClaims { limit } => Parts::of(bad, "too_many_claims", json!({ "limit": limit })),
        }
    }

    fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        match self {
            Self::Request(error) => error.headers(),
            _ => vec![],
        }
    }
}

fn request_error_parts(error: &RequestError, request: &RequestId) -> Parts {
    let code = error.code().to_ascii_lowercase();
    match error {
        RequestError::Body(e) => Parts::invalid(code, e.location(), e.kind()),
        RequestError::Query { name, .. } => Parts::invalid(code, json!(["query", name]), "value_error"),
        RequestError::BeyondTheLog(_) => Parts::invalid(code, json!(["query", "at_least"]), "value_error"),
        RequestError::Internal { .. } => {
            Parts::of(error.status(), code, json!({ "request_id": request.as_str() }))
        }
        RequestError::ScopeMissing(scope) => Parts::of(error.status(), code, json!({ "scope": scope })),
        RequestError::WorkspaceMissing
        | RequestError::WorkspaceInvalid(_)
        | RequestError::WorkspaceRepeated
        | RequestError::OtherWorkspace => {
            Parts::of(error.status(), code, json!({ "header": "Deed-Workspace" }))
        }
        RequestError::IdempotencyKeyInvalid | RequestError::IdempotencyKeyRepeated => {
            Parts::of(error.status(), code, json!({ "header": "Idempotency-Key" }))
        }
        RequestError::RateLimited { retry_after } => {
            Parts::of(error.status(), code, json!({ "retry_after": retry_after }))
        }
        _ => Parts { status: error.status(), code: Some(code), details: None, at: None },
    }
}

/// The stable type of an error, which follows from the status.
fn type_of(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "UnauthorizedError",
        403 => "ForbiddenError",
        404 => "NotFoundError",
        405 => "MethodNotAllowedError",
        408 => "RequestTimeoutError",
        409 => "AlreadyExistsError",
        413 => "PayloadTooLargeError",
        422 => "ValidationError",
        429 => "TooManyRequestsError",
        431 => "HeadersTooLargeError",
        503 => "ServiceUnavailableError",
        500..=599 => "InternalServerError",
        _ => "BadRequestError",
    }
}

impl ContractError for AppsError {
    fn response(&self, request: &RequestId) -> JsonResponse {
        let Parts { status, code, details, at } = self.parts(request);
        let message = self.to_string();
        let place =
            |at: Location| ValidationError { loc: at.loc, msg: message.clone(), kind: at.kind.to_owned() };
        let detail = at.map(place).into_iter().collect();
        let error = ErrorDetail { message, kind: type_of(status).to_owned(), code, details };
        let body = ErrorResponse { success: false, status: status.as_u16(), error, detail };
        // A body of strings and JSON values always serializes.
        let body = serde_json::to_string(&body).unwrap_or_default();
        JsonResponse { status, headers: self.headers(), body }
    }
}
