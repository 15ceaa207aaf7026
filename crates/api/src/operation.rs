//! An operation: its documentation, the scope it needs, the function that carries it out.
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

/// The contract whose style an answer follows; decided by the path alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contract {
    /// Workspace claims.
    Workspace,
    /// App domains.
    Apps,
}

impl Contract {
    /// The style of everything under a path.
    pub fn of(path: &str) -> Self {
        match path.strip_prefix("/v1/apps") {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => Self::Apps,
            _ => Self::Workspace,
        }
    }

    /// A fault in this style.
    pub fn response(self, error: RequestError, request: &RequestId) -> JsonResponse {
        match self {
            Self::Workspace => DomainsError::from(error).response(request),
            Self::Apps => AppsError::from(error).response(request),
        }
    }
}

/// A failed call: the answer, and the cause where it belongs in the log.
pub struct FailedCall {
    /// The answer.
    pub response: JsonResponse,
    /// The error, for the log.
    pub error: Box<dyn std::error::Error + Send + Sync>,
}

type OperationFn =
    Box<dyn Fn(Arc<Call>) -> BoxFuture<'static, Result<JsonResponse, FailedCall>> + Send + Sync>;
type Schemas = Vec<(String, RefOr<Schema>)>;

/// Which answers of an operation an `Idempotency-Key` brings back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayPolicy {
    /// Those to an effect: 2xx other than 202. Refusals and 202 tell of the moment: the request is carried out anew.
    Effects,
    /// None: every answer tells where things stand, and to ask twice has one effect even without a key.
    Never,
}

impl ReplayPolicy {
    /// Whether an answer of this status is kept.
    pub fn stores(self, status: StatusCode) -> bool {
        self == Self::Effects && status.is_success() && status != StatusCode::ACCEPTED
    }
}

/// One operation.
pub struct Operation {
    /// Its id, also in metrics.
    pub id: String,
    /// How it is asked for.
    pub method: Method,
    /// Where, with `{name}` for what varies.
    pub path: String,
    /// What a key needs.
    pub scope: KeyScope,
    /// How answers look.
    pub contract: Contract,
    /// Which answers are kept for a repetition of the request; for operations that change something.
    pub replay: ReplayPolicy,
    /// What the description says about it.
    pub docs: path::Operation,
    /// The schemas its description refers to.
    pub schemas: Schemas,
    /// Carries it out.
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

    /// The same, with answers that tell where things stand: none is kept for a repetition.
    #[must_use]
    pub fn without_replay(mut self) -> Self {
        self.replay = ReplayPolicy::Never;
        self
    }

    /// Whether an answer of this status is kept and given again to the same request with the same `Idempotency-Key`.
    pub fn stores(&self, status: StatusCode) -> bool {
        self.changes() && self.replay.stores(status)
    }

    /// Whether asking twice may change something twice.
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
