//! A response with a JSON body, and the headers that more than one operation sets.
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use deed_store::{Position, StoredResponse};
use serde::Serialize;

use crate::request_error::RequestError;

/// The log position that the response reflects; lists accept it as `atLeast`.
pub const DEED_POSITION: HeaderName = HeaderName::from_static("deed-position");
/// Set when a stored response is replayed.
pub const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The preferences of the request that were applied (RFC 7240 §3).
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// A response. The body is always JSON.
#[derive(Debug, Clone)]
pub struct JsonResponse {
    /// HTTP status.
    pub status: StatusCode,
    /// Headers besides those of every response.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// JSON text.
    pub body: String,
}

impl JsonResponse {
    /// A response with `body` as JSON.
    ///
    /// # Errors
    /// When `body` does not serialize, which does not happen with the types of this crate.
    pub fn json(status: StatusCode, body: &impl Serialize) -> Result<Self, RequestError> {
        let body = serde_json::to_string(body).map_err(|e| RequestError::internal("writing an answer", e))?;
        Ok(Self { status, headers: vec![], body })
    }

    /// `200` with `body` as JSON.
    ///
    /// # Errors
    /// As [`JsonResponse::json`].
    pub fn ok(body: &impl Serialize) -> Result<Self, RequestError> {
        Self::json(StatusCode::OK, body)
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The same with the log position that it reflects.
    #[must_use]
    pub fn at(self, position: Option<Position>) -> Self {
        match position {
            Some(position) => self.header(DEED_POSITION, HeaderValue::from(position.0)),
            None => self,
        }
    }

    /// The same with the wait that was applied (RFC 7240 §3).
    #[must_use]
    pub fn waited(self, wait: Duration) -> Self {
        match HeaderValue::from_str(&format!("wait={}", wait.as_secs())) {
            Ok(value) => self.header(PREFERENCE_APPLIED, value),
            Err(_) => self,
        }
    }

    /// The response to store for replay.
    pub fn stored(&self) -> StoredResponse {
        StoredResponse { status: self.status.as_u16(), body: self.body.clone() }
    }

    /// A stored response, marked as replayed.
    pub fn replayed(stored: StoredResponse) -> Self {
        Self {
            // A stored status was a valid one when it was sent.
            status: StatusCode::from_u16(stored.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            headers: vec![(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"))],
            body: stored.body,
        }
    }
}
