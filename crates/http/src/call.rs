//! One admitted request: its caller, its input, and the ways to load and append events.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::web::Bytes;
use chrono::{DateTime, Utc};
use deed_claims::{Event, StreamId};
use deed_messages::TraceContext;
use deed_store::{Aggregate, ExecuteError, Executed, Load, Loaded, Metadata, Plan, Receipt, RequestKey};
use serde::de::DeserializeOwned;

use crate::auth::Caller;
use crate::body;
use crate::contract::ContractError;
use crate::idempotency::ReplayPolicy;
use crate::query::Query;
use crate::request_error::RequestError;
use crate::request_id::RequestId;
use crate::response::JsonResponse;
use crate::state::{HttpState, SurfaceState};

/// The events that one decision appends to each stream; empty lists are dropped.
pub type Writes = Vec<(StreamId, Vec<Event>)>;

/// A request that has passed every check that does not depend on its operation.
pub struct Call<S> {
    /// The state of the surface.
    pub state: Arc<S>,
    /// The authenticated caller.
    pub caller: Caller,
    /// The request id.
    pub request: RequestId,
    /// The trace context: that of our own span, or the caller's when tracing is off.
    pub trace: Option<TraceContext>,
    /// The path parameters, decoded.
    pub params: Vec<(String, String)>,
    /// The query parameters.
    pub query: Query,
    /// How long the caller wants to wait for an outcome (`Prefer: wait=N`, RFC 7240 §4.3).
    pub wait: Option<Duration>,
    /// The body.
    pub body: Bytes,
    /// Whether the body says that it is not JSON.
    pub other_media: bool,
    /// The idempotency key, where the request has one.
    pub idempotency: Option<RequestKey>,
    /// Which responses are stored under that key.
    pub replay: ReplayPolicy,
    /// Whether the response is already stored, together with its effect.
    pub receipt_written: AtomicBool,
}

/// A decision and the response that reports it.
pub struct Decision {
    /// The events to append.
    pub writes: Writes,
    /// The response.
    pub response: JsonResponse,
}

impl<S: SurfaceState> Call<S> {
    /// The state that every surface has.
    pub fn http(&self) -> &HttpState {
        (*self.state).as_ref()
    }

    /// The path parameter `name`; empty when the path has none.
    pub fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// When the body does not have the expected shape; names the field.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, RequestError> {
        body::parse(&self.body, self.other_media).map_err(RequestError::Body)
    }

    /// The metadata of the events that this request appends.
    pub fn metadata(&self) -> Metadata {
        Metadata {
            request_id: Some(self.request.as_str().to_owned()),
            actor: Some(self.caller.key.id.to_string()),
            traceparent: self.trace.as_ref().map(|trace| trace.traceparent().to_owned()),
            tracestate: self.trace.as_ref().and_then(TraceContext::tracestate).map(str::to_owned),
        }
    }

    /// Decides, appends, and returns the response of the decision. For an idempotent request, the response is stored
    /// in the same transaction as its effect.
    ///
    /// # Errors
    /// The rejection of `decide`, or an error of the store.
    pub async fn respond<L: Load, E: ContractError>(
        &self,
        streams: L::Streams,
        mut decide: impl FnMut(&L, DateTime<Utc>) -> Result<Decision, E> + Send,
    ) -> Result<JsonResponse, E> {
        let executed = self
            .execute::<L, JsonResponse, E>(streams, |loaded, at| {
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

    /// The request key under which a response is stored; none without a key or when the response is not stored.
    fn stored_under(&self, response: &JsonResponse) -> Option<&RequestKey> {
        self.idempotency.as_ref().filter(|_| self.replay.stores(response.status))
    }

    /// Decides and appends; the caller makes the response from the result.
    ///
    /// # Errors
    /// The rejection of `decide`, or an error of the store.
    pub async fn append<L: Load, R: Send, E: ContractError>(
        &self,
        streams: L::Streams,
        mut decide: impl FnMut(&L, DateTime<Utc>) -> Result<(Writes, R), E> + Send,
    ) -> Result<Executed<L, R>, E> {
        self.execute(streams, |loaded, at| {
            decide(loaded, at).map(|(writes, result)| Plan { writes, receipt: None, result })
        })
        .await
    }

    async fn execute<L: Load, R: Send, E: ContractError>(
        &self,
        streams: L::Streams,
        decide: impl FnMut(&L, DateTime<Utc>) -> Result<Plan<R>, E> + Send,
    ) -> Result<Executed<L, R>, E> {
        let state = self.http();
        deed_store::execute(&*state.store, &*state.clock, streams, &self.metadata(), decide).await.map_err(
            |e| match e {
                ExecuteError::Rejected(refusal) => refusal,
                ExecuteError::Contended => RequestError::Contended.into(),
                ExecuteError::Unavailable(cause) => RequestError::Unavailable(cause).into(),
            },
        )
    }

    /// Loads a stream.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn load<A: Aggregate>(&self, stream: &StreamId) -> Result<Loaded<A>, RequestError> {
        Ok(deed_store::load(&*self.http().store, stream).await?)
    }
}
