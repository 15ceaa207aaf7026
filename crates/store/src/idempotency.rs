//! The port that remembers answers to requests with an idempotency key.
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{KeyId, Unavailable};

/// What names a request: the API key and the idempotency key under it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestKey {
    /// The API key.
    pub key_id: KeyId,
    /// The `Idempotency-Key`, at most 100 characters.
    pub idempotency_key: String,
}

/// An answer as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResponse {
    /// HTTP status.
    pub status: u16,
    /// JSON text.
    pub body: String,
}

/// The answer to a request that was begun, written together with its effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Which request.
    pub request: RequestKey,
    /// Its answer.
    pub response: StoredResponse,
}

/// What is known of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begin {
    /// It is new, or its last run died or was abandoned: carry it out.
    Started,
    /// It was answered.
    Answered(StoredResponse),
    /// It is being carried out.
    Running,
    /// The key was used for another request.
    Mismatch,
}

/// Answers to requests, kept for a day.
#[async_trait]
pub trait Idempotency: Send + Sync {
    /// Begins a request. `fingerprint` tells requests apart; a run that has not answered by `locked_until` is
    /// taken for dead. An answer older than `forget_before` is forgotten.
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

    /// Keeps the answer of a request that was begun and is not answered yet.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn complete(&self, receipt: &Receipt) -> Result<(), Unavailable>;

    /// Ends the run of a request whose answer is not kept. The same request is carried out anew from then on; another
    /// one under the same key is still a mismatch. A request that is answered stays answered.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn abandon(&self, request: &RequestKey) -> Result<(), Unavailable>;

    /// Forgets at most `limit` requests begun before a time; how many.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn purge(&self, before: DateTime<Utc>, limit: usize) -> Result<u64, Unavailable>;
}
