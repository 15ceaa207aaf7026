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

use crate::call::Call;
use crate::error_a::ErrorA;
use crate::error_b::ErrorB;
use crate::fault::{Fault, Problem};
use crate::reply::Reply;
use crate::request_id::RequestId;

/// The contract whose style an answer follows; decided by the path alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Workspace claims.
    A,
    /// App domains.
    B,
}

impl Style {
    /// The style of everything under a path.
    pub fn of(path: &str) -> Self {
        match path.strip_prefix("/v1/apps") {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => Self::B,
            _ => Self::A,
        }
    }

    /// A fault in this style.
    pub fn reply(self, fault: Fault, request: &RequestId) -> Reply {
        match self {
            Self::A => ErrorA::from(fault).reply(request),
            Self::B => ErrorB::from(fault).reply(request),
        }
    }
}

/// A failed call: the answer, and the cause where it belongs in the log.
pub struct Failure {
    /// The answer.
    pub reply: Reply,
    /// The error, for the log.
    pub error: Box<dyn std::error::Error + Send + Sync>,
}

type Run = Box<dyn Fn(Arc<Call>) -> BoxFuture<'static, Result<Reply, Failure>> + Send + Sync>;
type Schemas = Vec<(String, RefOr<Schema>)>;

/// Which answers of an operation an `Idempotency-Key` brings back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptAnswers {
    /// Those to an effect: 2xx other than 202. Refusals and 202 tell of the moment: the request is carried out anew.
    Effects,
    /// None: every answer tells where things stand, and to ask twice has one effect even without a key.
    None,
}

impl KeptAnswers {
    /// Whether an answer of this status is kept.
    pub fn keeps(self, status: StatusCode) -> bool {
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
    pub style: Style,
    /// Which answers are kept for a repetition of the request; for operations that change something.
    pub kept: KeptAnswers,
    /// What the description says about it.
    pub docs: path::Operation,
    /// The schemas its description refers to.
    pub schemas: Schemas,
    /// Carries it out.
    pub run: Run,
}

impl Operation {
    /// An operation from its documentation (`#[utoipa::path]` makes `__path_<function>`) and its function.
    pub fn new<P, F, Fut, E>(_documented: P, scope: KeyScope, run: F) -> Self
    where
        P: utoipa::Path + SchemaReferences + for<'t> Tags<'t>,
        F: Fn(Arc<Call>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply, E>> + Send + 'static,
        E: Problem,
    {
        let mut docs = P::operation();
        docs.tags.get_or_insert_default().extend(P::tags().into_iter().map(str::to_owned));
        let mut schemas = vec![];
        P::schemas(&mut schemas);
        let path = P::path();
        Self {
            id: docs.operation_id.clone().unwrap_or_default(),
            method: P::methods().first().map_or(Method::GET, method),
            style: Style::of(&path),
            path,
            scope,
            kept: KeptAnswers::Effects,
            docs,
            schemas,
            run: Box::new(move |call| {
                let running = run(call.clone());
                async move {
                    running.await.map_err(|e| Failure { reply: e.reply(&call.request), error: Box::new(e) })
                }
                .boxed()
            }),
        }
    }

    /// The same, with answers that tell where things stand: none is kept for a repetition.
    #[must_use]
    pub fn telling_where_things_stand(mut self) -> Self {
        self.kept = KeptAnswers::None;
        self
    }

    /// Whether an answer of this status is kept and given again to the same request with the same `Idempotency-Key`.
    pub fn keeps(&self, status: StatusCode) -> bool {
        self.changes() && self.kept.keeps(status)
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
