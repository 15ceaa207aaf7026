//! One request on its way through an operation: who asks, with what, and the ways to change something.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::web::Bytes;
use chrono::{DateTime, Utc};
use deed_claims::{ClaimId, Event, StreamId};
use deed_store::{ExecuteError, Executed, Loaded, Metadata, Plan, Position, Receipt, RequestKey};
use deed_trace::TraceContext;
use serde::de::DeserializeOwned;
use tracing::Span;

use crate::auth::Caller;
use crate::body;
use crate::operation::ReplayPolicy;
use crate::query::Query;
use crate::request_error::{ContractError, RequestError};
use crate::request_id::RequestId;
use crate::response::JsonResponse;
use crate::state::AppState;

/// Events for streams, as one decision wants them written; empty lists are dropped.
pub type Writes = Vec<(StreamId, Vec<Event>)>;

/// A request that has passed every check that does not depend on what it asks for.
pub struct Call {
    /// What every operation has at hand.
    pub state: Arc<AppState>,
    /// Who asks.
    pub caller: Caller,
    /// The request's name.
    pub request: RequestId,
    /// The trace that it is a part of: below our own span, or the caller's where nothing is traced.
    pub trace: Option<TraceContext>,
    /// What varies in the path, decoded.
    pub params: Vec<(String, String)>,
    /// The query.
    pub query: Query,
    /// How long the caller wants to wait for an outcome (`Prefer: wait=N`, RFC 7240 §4.3).
    pub wait: Option<Duration>,
    /// The body.
    pub body: Bytes,
    /// Whether the body says that it is not JSON.
    pub other_media: bool,
    /// The idempotency key, where the request has one.
    pub idempotency: Option<RequestKey>,
    /// Which answers are kept under that key.
    pub replay: ReplayPolicy,
    /// Whether the answer is already kept, together with its effect.
    pub receipt_written: AtomicBool,
}

/// A decision and the answer that tells of it.
pub struct Decision {
    /// What is written.
    pub writes: Writes,
    /// The answer.
    pub response: JsonResponse,
}

/// Says in every log line of the request from here on, and in its trace, which claim it is about.
pub fn record_claim_id(claim: ClaimId) {
    Span::current().record("claim", tracing::field::display(claim));
}

impl Call {
    /// What varies in the path under `name`; empty when the path has no such part.
    pub fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// When it is not what is wanted; names the field.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, RequestError> {
        body::parse(&self.body, self.other_media).map_err(RequestError::Body)
    }

    /// What the log keeps about where an event came from.
    pub fn metadata(&self) -> Metadata {
        Metadata {
            request_id: Some(self.request.as_str().to_owned()),
            actor: Some(self.caller.key.id.to_string()),
            traceparent: self.trace.as_ref().map(|trace| trace.traceparent().to_owned()),
            tracestate: self.trace.as_ref().and_then(TraceContext::tracestate).map(str::to_owned),
        }
    }

    /// Decides, writes, and answers with what was decided. For an idempotent request an answer that is kept is written
    /// in the same transaction as its effect.
    ///
    /// # Errors
    /// The refusal of `decide`, or a fault of the store.
    pub async fn respond<E: ContractError>(
        &self,
        streams: &[StreamId],
        mut decide: impl FnMut(&[Loaded], DateTime<Utc>) -> Result<Decision, E> + Send,
    ) -> Result<JsonResponse, E> {
        let executed = self
            .execute::<JsonResponse, E>(streams, |loaded, at| {
                let Decision { writes, response } = decide(loaded, at)?;
                let receipt = self
                    .stored_under(&response)
                    .cloned()
                    .filter(|_| writes.iter().any(|(_, events)| !events.is_empty()))
                    .map(|request| Receipt { request, response: response.stored() });
                Ok(Plan { writes, receipt, result: response })
            })
            .await?;
        if executed.position.is_some() && self.stored_under(&executed.result).is_some() {
            self.receipt_written.store(true, Ordering::Relaxed);
        }
        Ok(executed.result.at(executed.position))
    }

    /// The request under whose key an answer is kept; none when the request has no key or the answer is not kept.
    fn stored_under(&self, response: &JsonResponse) -> Option<&RequestKey> {
        self.idempotency.as_ref().filter(|_| self.replay.stores(response.status))
    }

    /// Decides and writes; the answer is made later, from what comes of it.
    ///
    /// # Errors
    /// The refusal of `decide`, or a fault of the store.
    pub async fn append<R: Send, E: ContractError>(
        &self,
        streams: &[StreamId],
        mut decide: impl FnMut(&[Loaded], DateTime<Utc>) -> Result<(Writes, R), E> + Send,
    ) -> Result<(R, Option<Position>), E> {
        let executed = self
            .execute::<R, E>(streams, |loaded, at| {
                decide(loaded, at).map(|(writes, result)| Plan { writes, receipt: None, result })
            })
            .await?;
        Ok((executed.result, executed.position))
    }

    async fn execute<R: Send, E: ContractError>(
        &self,
        streams: &[StreamId],
        decide: impl FnMut(&[Loaded], DateTime<Utc>) -> Result<Plan<R>, E> + Send,
    ) -> Result<Executed<R>, E> {
        let (store, clock) = (&*self.state.store, &*self.state.clock);
        deed_store::execute(store, clock, streams, &self.metadata(), decide).await.map_err(|e| match e {
            ExecuteError::Rejected(refusal) => refusal,
            ExecuteError::Contended => RequestError::Contended.into(),
            ExecuteError::Unavailable(cause) => RequestError::Unavailable(cause).into(),
        })
    }

    /// What a stream says now.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn load(&self, stream: &StreamId) -> Result<Loaded, RequestError> {
        Ok(deed_store::load(&*self.state.store, stream).await?)
    }
}
