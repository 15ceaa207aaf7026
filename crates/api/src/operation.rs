//! An operation: its documentation, the scope it needs, and its handler.
use std::future::Future;
use std::sync::Arc;

use actix_web::http::{Method, StatusCode};
use deed_store::KeyScope;
use futures::FutureExt;
use futures::future::BoxFuture;
use utoipa::__dev::{SchemaReferences, Tags};
use utoipa::openapi::path::HttpMethod;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{RefOr, path};

use crate::apps::error::AppsError;
use crate::call::Call;
use crate::domains::error::DomainsError;
use crate::request_error::{ContractError, RequestError};
use crate::request_id::RequestId;
use crate::response::JsonResponse;

/// The contract whose format a response follows; decided by the path alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contract {
    /// Domains and claims of workspaces, under `/v1/domains`; also everything outside the contracts.
    Workspace,
    /// Apps and their domains, under `/v1/apps`.
    Apps,
}

impl Contract {
    /// The contract of a path.
    pub fn of(path: &str) -> Self {
        match path.strip_prefix("/v1/apps") {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => Self::Apps,
            _ => Self::Workspace,
        }
    }

    /// The response to a request error.
    pub fn response(self, error: RequestError, request: &RequestId) -> JsonResponse {
        match self {
            Self::Workspace => DomainsError::from(error).response(request),
            Self::Apps => AppsError::from(error).response(request),
        }
    }
}

/// A failed call: its response, and the error for the log.
pub struct FailedCall {
    /// The response.
    pub response: JsonResponse,
    /// The error, for the log.
    pub error: Box<dyn std::error::Error + Send + Sync>,
}

type OperationFn =
    Box<dyn Fn(Arc<Call>) -> BoxFuture<'static, Result<JsonResponse, FailedCall>> + Send + Sync>;
type Schemas = Vec<(String, RefOr<Schema>)>;

/// Which responses of an operation are stored and replayed for an `Idempotency-Key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayPolicy {
    /// Responses to an effect: 2xx other than 202. After any other response, the request is executed again.
    Effects,
    /// None: every response shows the current state, and a repetition has no second effect even without a key.
    Never,
}

impl ReplayPolicy {
    /// Whether a response of this status is stored.
    pub fn stores(self, status: StatusCode) -> bool {
        self == Self::Effects && status.is_success() && status != StatusCode::ACCEPTED
    }
}

/// One operation.
pub struct Operation {
    /// The operation id, also a label of metrics.
    pub id: String,
    /// The HTTP method.
    pub method: Method,
    /// The path template, with `{name}` for each parameter.
    pub path: String,
    /// The scope that a key needs.
    pub scope: KeyScope,
    /// The contract that it belongs to.
    pub contract: Contract,
    /// Which responses are replayed; only for operations that change something.
    pub replay: ReplayPolicy,
    /// Its part of the OpenAPI description.
    pub docs: path::Operation,
    /// The schemas that its description refers to.
    pub schemas: Schemas,
    /// The handler.
    pub run: OperationFn,
}

impl Operation {
    /// An operation from its documentation (`#[utoipa::path]` makes `__path_<function>`) and its function.
    pub fn new<P, F, Fut, E>(_documented: P, scope: KeyScope, run: F) -> Self
    where
        P: utoipa::Path + SchemaReferences + for<'t> Tags<'t>,
        F: Fn(Arc<Call>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<JsonResponse, E>> + Send + 'static,
        E: ContractError,
    {
        let mut docs = P::operation();
        docs.tags.get_or_insert_default().extend(P::tags().into_iter().map(str::to_owned));
        let mut schemas = vec![];
        P::schemas(&mut schemas);
        let path = P::path();
        Self {
            id: docs.operation_id.clone().unwrap_or_default(),
            method: P::methods().first().map_or(Method::GET, method),
            contract: Contract::of(&path),
            path,
            scope,
            replay: ReplayPolicy::Effects,
            docs,
            schemas,
            run: Box::new(move |call| {
                let running = run(call.clone());
                async move {
                    running
                        .await
                        .map_err(|e| FailedCall { response: e.response(&call.request), error: Box::new(e) })
                }
                .boxed()
            }),
        }
    }

    /// The same operation, with responses that are never replayed because they show the current state.
    #[must_use]
    pub fn without_replay(mut self) -> Self {
        self.replay = ReplayPolicy::Never;
        self
    }

    /// Whether a response of this status is replayed to the same request with the same `Idempotency-Key`.
    pub fn stores(&self, status: StatusCode) -> bool {
        self.changes() && self.replay.stores(status)
    }

    /// Whether a repetition can have a second effect.
    pub fn changes(&self) -> bool {
        self.method != Method::GET
    }
}

fn method(documented: &HttpMethod) -> Method {
    match documented {
        HttpMethod::Post => Method::POST,
        HttpMethod::Put => Method::PUT,
        HttpMethod::Delete => Method::DELETE,
        HttpMethod::Patch => Method::PATCH,
        _ => Method::GET,
    }
}
