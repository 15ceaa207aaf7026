//! Errors that any request can get; each contract renders them in its own format.
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use deed_claims::name::Excerpt;
use deed_store::{KeyScope, Position, Unavailable};

use crate::body_error::BodyError;

/// Seconds after which a client may try again when the failure is on our side.
const RETRY_SECS: u64 = 1;

/// An error of a request, or of the service, outside the rules of an operation.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// No API key.
    #[error("an API key is needed: send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`")]
    KeyMissing,
    /// An API key that does not exist or was revoked.
    #[error("the API key is not known or has been revoked")]
    KeyUnknown,
    /// Two API keys.
    #[error("more than one API key was sent: send one, once")]
    KeyAmbiguous,
    /// The key lacks the scope of the operation.
    #[error("the API key lacks the scope {0}")]
    ScopeMissing(KeyScope),
    /// A workspace key with the name of another workspace.
    #[error("the API key acts for one workspace, and `Deed-Workspace` names another")]
    OtherWorkspace,
    /// A service key without the name of a workspace.
    #[error("a service key acts for any workspace: name it in the header `Deed-Workspace`")]
    WorkspaceMissing,
    /// The name of the workspace is no workspace id.
    #[error("the header `Deed-Workspace` is not a workspace id: {0}")]
    WorkspaceInvalid(deed_claims::IdError),
    /// Two names of workspaces.
    #[error("the header `Deed-Workspace` was sent more than once")]
    WorkspaceRepeated,
    /// Two idempotency keys.
    #[error("the header `Idempotency-Key` was sent more than once")]
    IdempotencyKeyRepeated,
    /// An idempotency key that is empty or too long.
    #[error("the header `Idempotency-Key` has to have 1 to 100 characters")]
    IdempotencyKeyInvalid,
    /// Too many requests with one key.
    #[error("the API key's rate limit is reached: try again in {retry_after} s")]
    RateLimited {
        /// Seconds until the next request is allowed.
        retry_after: u64,
    },
    /// A body over the limit, in bytes.
    #[error("the body is larger than {limit} bytes")]
    BodyTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// A body that cannot be read.
    #[error("{0}")]
    Body(#[from] BodyError),
    /// A body that took too long.
    #[error("the request did not arrive in time: what was begun has to be there within {} s", within.as_secs())]
    RequestTimeout {
        /// The time that it may take.
        within: Duration,
    },
    /// A query parameter that breaks its rule.
    #[error("the query parameter `{name}` is not valid: it {rule}")]
    Query {
        /// The parameter.
        name: &'static str,
        /// What it has to be.
        rule: &'static str,
    },
    /// No such path.
    #[error("there is nothing at {0}")]
    UnknownRoute(Excerpt),
    /// The path has other methods.
    #[error("{method} is not possible here: use {allow}")]
    MethodNotAllowed {
        /// The method of the request.
        method: Excerpt,
        /// The methods of the path.
        allow: String,
    },
    /// The idempotency key belongs to another request.
    #[error("the Idempotency-Key was used for another request")]
    IdempotencyConflict,
    /// The first request with this idempotency key is still running.
    #[error("a request with this Idempotency-Key is still being carried out: try again in a moment")]
    IdempotencyInProgress,
    /// The store does not answer.
    #[error("the service cannot answer at the moment: try again in a moment")]
    Unavailable(#[source] Unavailable),
    /// Other writers were faster, several times.
    #[error("too many changes to the same name at the same time: try again in a moment")]
    Contended,
    /// A position that the log has not reached.
    #[error("the log has not come to position {0}")]
    BeyondTheLog(Position),
    /// The read models are behind a position.
    #[error("the lists have not caught up with position {0} yet: try again in a moment")]
    NotCaughtUp(Position),
    /// A fault of the service.
    #[error("something went wrong on our side")]
    Internal {
        /// The step that failed.
        what: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl From<Unavailable> for RequestError {
    fn from(cause: Unavailable) -> Self {
        Self::Unavailable(cause)
    }
}

impl RequestError {
    /// An internal error, with its cause.
    pub fn internal(what: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal { what, source: source.into() }
    }

    /// The status under the workspace contract; the app contract answers invalid input with 422.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::KeyMissing | Self::KeyUnknown | Self::KeyAmbiguous => StatusCode::UNAUTHORIZED,
            Self::ScopeMissing(_) | Self::OtherWorkspace => StatusCode::FORBIDDEN,
            Self::WorkspaceMissing | Self::WorkspaceInvalid(_) | Self::WorkspaceRepeated => {
                StatusCode::BAD_REQUEST
            }
            Self::IdempotencyKeyInvalid
            | Self::IdempotencyKeyRepeated
            | Self::Body(_)
            | Self::Query { .. }
            | Self::BeyondTheLog(_) => StatusCode::BAD_REQUEST,
            Self::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RequestTimeout { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::UnknownRoute(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::IdempotencyConflict | Self::IdempotencyInProgress => StatusCode::CONFLICT,
            Self::Unavailable(_) | Self::Contended | Self::NotCaughtUp(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The error code for programs; never changes once shipped.
    pub fn code(&self) -> &'static str {
        match self {
            Self::KeyMissing | Self::KeyUnknown | Self::KeyAmbiguous => "UNAUTHORIZED",
            Self::ScopeMissing(_) | Self::OtherWorkspace => "FORBIDDEN",
            Self::WorkspaceMissing => "WORKSPACE_REQUIRED",
            Self::WorkspaceInvalid(_) | Self::WorkspaceRepeated => "WORKSPACE_INVALID",
            Self::IdempotencyKeyInvalid | Self::IdempotencyKeyRepeated => "IDEMPOTENCY_KEY_INVALID",
            Self::RateLimited { .. } => "RATE_LIMITED",
            Self::BodyTooLarge { .. } => "BODY_TOO_LARGE",
            Self::Body(_) => "INVALID_BODY",
            Self::RequestTimeout { .. } => "REQUEST_TIMEOUT",
            Self::Query { .. } | Self::BeyondTheLog(_) => "INVALID_QUERY",
            Self::UnknownRoute(_) => "UNKNOWN_ROUTE",
            Self::MethodNotAllowed { .. } => "METHOD_NOT_ALLOWED",
            Self::IdempotencyConflict => "IDEMPOTENCY_CONFLICT",
            Self::IdempotencyInProgress => "IDEMPOTENCY_IN_PROGRESS",
            Self::Unavailable(_) | Self::Contended | Self::NotCaughtUp(_) => "SERVICE_UNAVAILABLE",
            Self::Internal { .. } => "INTERNAL_ERROR",
        }
    }

    /// Headers of the response.
    pub fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        match self {
            Self::KeyMissing => {
                vec![(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"deed\""))]
            }
            Self::KeyUnknown => {
                let value = HeaderValue::from_static("Bearer realm=\"deed\", error=\"invalid_token\"");
                vec![(header::WWW_AUTHENTICATE, value)]
            }
            Self::KeyAmbiguous => {
                let value = HeaderValue::from_static("Bearer realm=\"deed\", error=\"invalid_request\"");
                vec![(header::WWW_AUTHENTICATE, value)]
            }
            Self::RateLimited { retry_after } => vec![(header::RETRY_AFTER, HeaderValue::from(*retry_after))],
            Self::IdempotencyInProgress | Self::Unavailable(_) | Self::Contended | Self::NotCaughtUp(_) => {
                vec![(header::RETRY_AFTER, HeaderValue::from(RETRY_SECS))]
            }
            Self::MethodNotAllowed { allow, .. } => {
                HeaderValue::from_str(allow).map(|allow| vec![(header::ALLOW, allow)]).unwrap_or_default()
            }
            _ => vec![],
        }
    }
}
