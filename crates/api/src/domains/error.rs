//! Error answers of the workspace contract and their format: `{success, error, code, data?}`.
//!
//! Each operation lists its errors in its own file; here is what several of them share.
use std::fmt::Display;

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use deed_claims::name::{DomainName, Excerpt, NameError};
use deed_claims::{Claim, Status};
use deed_http::{JsonResponse, RequestError, RequestId};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// What every error answer looks like.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApiError {
    /// Always `false`.
    #[schema(default = false)]
    success: bool,
    /// What is wrong, in a sentence.
    error: String,
    /// What is wrong, for programs, such as `DOMAIN_CLAIMABLE`. Codes do not change.
    code: String,
    /// What more there is to say, such as the domain or the field concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<std::collections::HashMap<String, Value>>, nullable = false)]
    data: Option<Value>,
}

/// What an error answers, but for its message.
pub struct ErrorAnswer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The code for programs.
    pub code: String,
    data: Option<Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl ErrorAnswer {
    fn new(status: StatusCode, code: impl Into<String>, data: Option<Value>) -> Self {
        Self { status, code: code.into(), data, headers: vec![] }
    }

    /// The state of the name does not allow the operation.
    pub fn conflict(code: &str, data: Value) -> Self {
        Self::new(StatusCode::CONFLICT, code, Some(data))
    }

    /// A field of the body breaks a rule.
    pub fn invalid_field(field: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID_BODY", Some(json!({ "field": field })))
    }

    /// An error that any request can get.
    pub fn of_request(error: &RequestError, request: &RequestId) -> Self {
        let data = request_error_data(error, request);
        Self { headers: error.headers(), ..Self::new(error.status(), error.code(), data) }
    }

    /// The response with the message of the error.
    pub fn response(self, error: &impl Display) -> JsonResponse {
        let Self { status, code, data, headers } = self;
        let body = ApiError { success: false, error: error.to_string(), code, data };
        // A body of strings and JSON values always serializes.
        let body = serde_json::to_string(&body).unwrap_or_default();
        JsonResponse { status, headers, body }
    }
}

impl From<&NameError> for ErrorAnswer {
    fn from(error: &NameError) -> Self {
        let data = json!({ "field": "domain" });
        Self::new(StatusCode::BAD_REQUEST, error.code().to_ascii_uppercase(), Some(data))
    }
}

/// The workspace has no claim on the name.
#[derive(Debug, thiserror::Error)]
#[error("this workspace has no claim on {0}")]
pub struct NoSuchClaim(pub Excerpt);

impl From<&NoSuchClaim> for ErrorAnswer {
    fn from(_: &NoSuchClaim) -> Self {
        Self::new(StatusCode::NOT_FOUND, "CLAIM_NOT_FOUND", None)
    }
}

/// The workspace has no such domain.
#[derive(Debug, thiserror::Error)]
#[error("this workspace has no domain {0}")]
pub struct NoSuchDomain(pub Excerpt);

impl From<&NoSuchDomain> for ErrorAnswer {
    fn from(_: &NoSuchDomain) -> Self {
        Self::new(StatusCode::NOT_FOUND, "DOMAIN_NOT_FOUND", None)
    }
}

/// The claim has ended.
#[derive(Debug, thiserror::Error)]
#[error("the claim on {domain} has ended ({status}): make a new one with POST /v1/domains/claims")]
pub struct ClaimEnded {
    domain: DomainName,
    status: Status,
}

impl From<&Claim> for ClaimEnded {
    fn from(claim: &Claim) -> Self {
        Self { domain: claim.requested.clone(), status: claim.status() }
    }
}

impl From<&ClaimEnded> for ErrorAnswer {
    fn from(ClaimEnded { domain, status }: &ClaimEnded) -> Self {
        Self::conflict("CLAIM_ENDED", json!({ "domain": domain, "status": status }))
    }
}

/// The `data` of a request error.
fn request_error_data(error: &RequestError, request: &RequestId) -> Option<Value> {
    match error {
        RequestError::Internal { .. } => Some(json!({ "requestId": request.as_str() })),
        RequestError::ScopeMissing(scope) => Some(json!({ "scope": scope })),
        RequestError::Body(e) => e.field().map(|field| json!({ "field": field })),
        RequestError::Query { name, .. } => Some(json!({ "parameter": name })),
        RequestError::BeyondTheLog(_) => Some(json!({ "parameter": "atLeast" })),
        RequestError::WorkspaceMissing
        | RequestError::WorkspaceInvalid(_)
        | RequestError::WorkspaceRepeated
        | RequestError::OtherWorkspace => Some(json!({ "header": "Deed-Workspace" })),
        RequestError::IdempotencyKeyInvalid | RequestError::IdempotencyKeyRepeated => {
            Some(json!({ "header": "Idempotency-Key" }))
        }
        RequestError::RateLimited { retry_after } => Some(json!({ "retryAfter": retry_after })),
        _ => None,
    }
}
