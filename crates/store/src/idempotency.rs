//! The port that stores responses to requests with an idempotency key.
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{KeyId, Unavailable};

/// Identifies a request: the API key, and the idempotency key under it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestKey {
    /// The API key.
    pub key_id: KeyId,
    /// The `Idempotency-Key`, at most 100 characters.
    pub idempotency_key: String,
}

/// A response as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResponse {
    /// HTTP status.
    pub status: u16,
    /// JSON text.
    pub body: String,
}

/// The response to a request that was begun, written together with its effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The request.
    pub request: RequestKey,
    /// Its response.
    pub response: StoredResponse,
}

/// The result of beginning a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begin {
    /// It is new, or its last run died or was abandoned: execute it.
    Started,
    /// It has a response.
    Answered(StoredResponse),
    /// It is being executed.
    Running,
    /// The idempotency key was used for another request.
    Mismatch,
}

/// Responses to requests, kept for a day.
#[async_trait]
pub trait Idempotency: Send + Sync {
    /// Begins a request. `fingerprint` identifies its content; a run without a response at `locked_until` counts as
    /// dead. A response of a request that was begun before `forget_before` is forgotten.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn begin(
        &self,
        request: &RequestKey,
        fingerprint: [u8; 32],
        now: DateTime<Utc>,
        locked_until: DateTime<Utc>,
        forget_before: DateTime<Utc>,
    ) -> Result<Begin, Unavailable>;

    /// Stores the response of a request that was begun and has no response yet.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn complete(&self, receipt: &Receipt) -> Result<(), Unavailable>;

    /// Ends the run of a request without a response. The same request can be executed again at once; another request
    /// under the same key is still a mismatch. A stored response stays.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn abandon(&self, request: &RequestKey) -> Result<(), Unavailable>;

    /// Deletes at most `limit` requests that were begun before a time; returns how many.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn purge(&self, before: DateTime<Utc>, limit: usize) -> Result<u64, Unavailable>;
}
