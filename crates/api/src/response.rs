//! An answer before it becomes bytes on a connection: status, headers, JSON text.
use std::time::{Duration, SystemTime};

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue, HttpDate};
use chrono::{DateTime, Utc};
use deed_store::{Position, StoredResponse};
use serde::Serialize;

use crate::request_error::RequestError;

/// How far the log had come when the answer was made; lists take it as `atLeast`.
pub const DEED_POSITION: HeaderName = HeaderName::from_static("deed-position");
/// Set when an answer is given again instead of being worked out.
pub const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Which of a request's preferences were followed.
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// An answer. The body is always JSON.
#[derive(Debug, Clone)]
pub struct JsonResponse {
    /// HTTP status.
    pub status: StatusCode,
    /// Headers besides those that every answer has.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// JSON text.
    pub body: String,
}

impl JsonResponse {
    /// An answer with `body` as JSON.
    ///
    /// # Errors
    /// When `body` cannot be written as JSON, which no type of this crate gives reason for.
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

    /// The same, telling how far the log had come.
    #[must_use]
    pub fn at(self, position: Option<Position>) -> Self {
        match position {
            Some(position) => self.header(DEED_POSITION, HeaderValue::from(position.0)),
            None => self,
        }
    }

    /// The same, telling how long an outcome was waited for (RFC 7240 §3).
    #[must_use]
    pub fn waited(self, wait: Duration) -> Self {
        match HeaderValue::from_str(&format!("wait={}", wait.as_secs())) {
            Ok(value) => self.header(PREFERENCE_APPLIED, value),
            Err(_) => self,
        }
    }

    /// The same as the last bytes of a connection, head and body.
    pub fn final_bytes(&self, at: DateTime<Utc>) -> Vec<u8> {
        let date = HttpDate::from(SystemTime::from(at));
        let mut bytes = format!(
            "HTTP/1.1 {}\r\ncontent-length: {}\r\nconnection: close\r\ncontent-type: application/json\r\ndate: {date}\r\n",
            self.status,
            self.body.len(),
        )
        .into_bytes();
        for (name, value) in &self.headers {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                bytes.extend_from_slice(part);
            }
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(self.body.as_bytes());
        bytes
    }

    /// What an idempotent request is answered with again.
    pub fn stored(&self) -> StoredResponse {
        StoredResponse { status: self.status.as_u16(), body: self.body.clone() }
    }

    /// An answer given before.
    pub fn replayed(stored: StoredResponse) -> Self {
        Self {
            // Only statuses that were answered are stored.
            status: StatusCode::from_u16(stored.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            headers: vec![(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"))],
            body: stored.body,
        }
    }
}
