//! Errors of the workspace contract and their format: `{success, error, code, data?}`.
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use deed_claims::name::{DomainName, Excerpt, NameError};
use deed_claims::{Rejection, Status};
use deed_http::{ContractError, JsonResponse, RequestError, RequestId};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// The errors of the operations of the workspace contract.
#[derive(Debug, thiserror::Error)]
pub enum DomainsError {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("{0}")]
    Name(#[from] NameError),
    /// Another workspace has the name; the response never says which.
    #[error("{domain} is in use by another workspace: claim it with POST /v1/domains/claims")]
    Claimable { domain: DomainName, root: DomainName },
    #[error("this workspace has no domain {0}")]
    NoSuchDomain(Excerpt),
    #[error("this workspace has no claim on {0}")]
    NoSuchClaim(Excerpt),
    #[error("the claim on {domain} has ended ({status}): make a new one with POST /v1/domains/claims")]
    ClaimEnded { domain: DomainName, status: Status },
    #[error("{0} is verified and not merely claimed: give it up with DELETE /v1/domains/{0}")]
    AlreadyHeld(DomainName),
    #[error("{0} is not verified for this workspace")]
    NotHeld(DomainName),
    #[error("nobody contests {0}")]
    NoContest(DomainName),
    #[error(
        "this workspace has reached its limit of open claims on {domain} ({limit}): verify or cancel one first"
    )]
    TooManyClaimsOnName { domain: DomainName, limit: usize },
    #[error("this workspace has reached its limit of open claims ({limit}): verify or cancel some first")]
    TooManyClaims { limit: u64 },
    #[error("{rule}")]
    Field { field: &'static str, rule: String },
}

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

/// Status, code and data of a response.
type Parts = (StatusCode, String, Option<Value>);

impl DomainsError {
    /// The error for a rejected command on a claim that the caller may see. `TooSoon` is handled by its operation;
    /// `StaleAttempt` and `NotDue` belong to other roles. Both are internal errors here.
    pub fn of_rejection(
        rejection: Rejection,
        domain: &DomainName,
        root: &DomainName,
        status: Option<Status>,
    ) -> Self {
        match rejection {
            Rejection::NoSuchClaim => Self::NoSuchClaim(Excerpt::of(domain.as_str())),
            Rejection::HeldByAnother => Self::Claimable { domain: domain.clone(), root: root.clone() },
            Rejection::TooManyClaims { limit } => Self::TooManyClaimsOnName { domain: root.clone(), limit },
            Rejection::Ended => match status {
                Some(status) => Self::ClaimEnded { domain: domain.clone(), status },
                None => Self::NoSuchClaim(Excerpt::of(domain.as_str())),
            },
            Rejection::AlreadyHeld => Self::AlreadyHeld(domain.clone()),
            Rejection::NotHeld => Self::NotHeld(domain.clone()),
            Rejection::NoContest => Self::NoContest(domain.clone()),
            Rejection::StaleAttempt | Rejection::TooSoon { .. } | Rejection::NotDue => {
                Self::Request(RequestError::internal("asking the rules", rejection))
            }
        }
    }

    /// Maps each error to its status, code and data.
    fn parts(&self, request: &RequestId) -> Parts {
        let conflict = |code: &str, data| (StatusCode::CONFLICT, code.to_owned(), data);
        match self {
            Self::Request(error) => {
                (error.status(), error.code().to_owned(), request_error_data(error, request))
            }
            Self::Name(e) => {
                (StatusCode::BAD_REQUEST, e.code().to_ascii_uppercase(), Some(json!({ "field": "domain" })))
            }
            Self::Claimable { domain, root } => conflict(
                "DOMAIN_CLAIMABLE",
                Some(json!({
                    "domain": domain,
                    "rootDomain": root,
                    "claim": { "method": "POST", "path": "/v1/domains/claims" },
                })),
            ),
            Self::NoSuchDomain(_) => (StatusCode::NOT_FOUND, "DOMAIN_NOT_FOUND".to_owned(), None),
            Self::NoSuchClaim(_) => (StatusCode::NOT_FOUND, "CLAIM_NOT_FOUND".to_owned(), None),
            Self::ClaimEnded { domain, status } => {
                conflict("CLAIM_ENDED", Some(json!({ "domain": domain, "status": status })))
            }
            Self::AlreadyHeld(domain) => conflict("ALREADY_VERIFIED", Some(json!({ "domain": domain }))),
            Self::NotHeld(domain) => conflict("NOT_VERIFIED", Some(json!({ "domain": domain }))),
            Self::NoContest(domain) => conflict("NO_CONTEST", Some(json!({ "domain": domain }))),
            Self::TooManyClaimsOnName { domain, limit } => {
                conflict("TOO_MANY_CLAIMS_ON_NAME", Some(json!({ "domain": domain, "limit": limit })))
            }
            Self::TooManyClaims { limit } => conflict("TOO_MANY_CLAIMS", Some(json!({ "limit": limit }))),
            Self::Field { field, .. } => {
                (StatusCode::BAD_REQUEST, "INVALID_BODY".to_owned(), Some(json!({ "field": field })))
            }
        }
    }

    fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        match self {
            Self::Request(error) => error.headers(),
            _ => vec![],
        }
    }

    /// Status, code and message of the error, for one item of a bulk response.
    pub fn item(&self, request: &RequestId) -> (StatusCode, String, String) {
        let (status, code, _) = self.parts(request);
        (status, code, self.to_string())
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

impl ContractError for DomainsError {
    fn response(&self, request: &RequestId) -> JsonResponse {
        let (status, code, data) = self.parts(request);
        let body = ApiError { success: false, error: self.to_string(), code, data };
        // A body of strings and JSON values always serializes.
        let body = serde_json::to_string(&body).unwrap_or_default();
        JsonResponse { status, headers: self.headers(), body }
    }
}
