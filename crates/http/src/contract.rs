//! A published contract: its paths, and the format of its errors.
use actix_web::http::StatusCode;

use crate::request_error::RequestError;
use crate::request_id::RequestId;
use crate::response::JsonResponse;

/// The error type of an operation, which renders itself in the format of its contract.
pub trait ContractError: std::error::Error + From<RequestError> + Send + Sync + 'static {
    /// The response. An internal error shows only the id of the request.
    fn response(&self, request: &RequestId) -> JsonResponse;
}

/// A published contract.
#[derive(Debug)]
pub struct Contract {
    /// The path that all of its paths begin with, such as `/v1/apps`.
    pub root: &'static str,
    /// The tag of its operations in the OpenAPI description.
    pub tag: &'static str,
    /// The beginning of the names of its shared responses in the OpenAPI description.
    pub response_prefix: &'static str,
    /// The schema of its errors in the OpenAPI description.
    pub error_schema: &'static str,
    /// The status of a request that is understood and not valid.
    pub invalid: StatusCode,
    /// The response to an error of the request, in its format.
    pub response: fn(RequestError, &RequestId) -> JsonResponse,
}

/// The contracts of a surface. The path alone decides which one a response follows.
#[derive(Debug, Clone, Copy)]
pub struct Contracts {
    /// Those with a root of their own.
    pub rooted: &'static [&'static Contract],
    /// The one of every other path.
    pub other: &'static Contract,
}

impl Contracts {
    /// The contract that a path belongs to.
    pub(crate) fn of(self, path: &str) -> &'static Contract {
        let has = |contract: &&&'static Contract| {
            path.strip_prefix(contract.root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.rooted.iter().find(has).copied().unwrap_or(self.other)
    }

    /// All of them.
    pub(crate) fn iter(self) -> impl Iterator<Item = &'static Contract> {
        std::iter::once(self.other).chain(self.rooted.iter().copied())
    }
}
