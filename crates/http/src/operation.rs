//! An operation: its documentation, the scope it needs, and its handler.
use std::future::Future;
use std::sync::Arc;

use actix_web::http::{Method, StatusCode};
use deed_store::KeyScope;
use futures::FutureExt;
use futures::future::BoxFuture;
use utoipa::openapi::path;
use utoipa::openapi::path::HttpMethod;

use crate::call::Call;
use crate::contract::{Contract, ContractError};
use crate::idempotency::ReplayPolicy;
use crate::response::JsonResponse;

/// A failed call: its response, and the error for the log.
pub(crate) struct FailedCall {
    /// The response.
    pub(crate) response: JsonResponse,
    /// The error, for the log.
    pub(crate) error: Box<dyn std::error::Error + Send + Sync>,
}

type OperationFn<S> =
    Box<dyn Fn(Arc<Call<S>>) -> BoxFuture<'static, Result<JsonResponse, FailedCall>> + Send + Sync>;

/// One operation of a surface with the state `S`.
pub struct Operation<S> {
    /// The operation id, also a label of metrics.
    pub id: String,
    /// The HTTP method.
    pub method: Method,
    /// The path template, with `{name}` for each parameter.
    pub path: String,
    /// The scope that a key needs.
    pub scope: KeyScope,
    /// The contract that it belongs to.
    pub contract: &'static Contract,
    /// Which responses are replayed; only for operations that change something.
    pub replay: ReplayPolicy,
    /// Whether its successful responses tell the position of the log that they reflect.
    pub has_position: bool,
    /// Its part of the OpenAPI description.
    pub docs: path::Operation,
    pub(crate) run: OperationFn<S>,
}

impl<S: Send + Sync + 'static> Operation<S> {
    /// An operation from its documentation (`#[utoipa::path]` makes `__path_<function>`) and its function.
    pub fn new<P, F, Fut, E>(contract: &'static Contract, _documented: P, scope: KeyScope, run: F) -> Self
    where
        P: utoipa::Path,
        F: Fn(Arc<Call<S>>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<JsonResponse, E>> + Send + 'static,
        E: ContractError,
    {
        let mut docs = P::operation();
        docs.tags = Some(vec![contract.tag.to_owned()]);
        Self {
            id: docs.operation_id.clone().unwrap_or_default(),
            method: P::methods().first().map_or(Method::GET, method),
            contract,
            path: P::path(),
            scope,
            replay: ReplayPolicy::Effects,
            has_position: true,
            docs,
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
}

impl<S> Operation<S> {
    /// The same operation, with responses that are never replayed because they show the current state.
    #[must_use]
    pub fn without_replay(mut self) -> Self {
        self.replay = ReplayPolicy::Never;
        self
    }

    /// The same operation, with responses that reflect no single position of the log.
    #[must_use]
    pub fn without_position(mut self) -> Self {
        self.has_position = false;
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
