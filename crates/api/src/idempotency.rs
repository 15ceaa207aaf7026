//! The same request twice: the stored answer again, whichever replica it reaches.
use std::time::Duration as StdDuration;

use actix_web::http::header::{HeaderMap, HeaderName};
use chrono::Duration;
use deed_claims::WorkspaceId;
use deed_store::{Begin, KeyId, Receipt, RequestKey, StoredResponse};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::auth::{Repeated, only};
use crate::fault::Fault;
use crate::reply::Reply;
use crate::state::AppState;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const MAX_KEY_CHARS: usize = 100;
/// How long answers are kept.
const KEPT: Duration = Duration::hours(24);
/// After this a run that has not answered is taken for dead; longer than any operation takes.
const RUN: Duration = Duration::seconds(60);
/// How long a second request waits for the first.
const PATIENCE: StdDuration = StdDuration::from_secs(5);

/// What to do with a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Entry {
    /// Carry it out.
    Run,
    /// Answer as before.
    Replay(StoredResponse),
}

/// The idempotency key of a request, bare or quoted (a Structured Fields string, RFC 9651 §3.3.3).
pub fn key(headers: &HeaderMap, key_id: &KeyId) -> Result<Option<RequestKey>, Fault> {
    let value = only(headers, IDEMPOTENCY_KEY).map_err(|Repeated| Fault::IdempotencyKeyRepeated)?;
    let Some(value) = value else { return Ok(None) };
    let text = match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => text.to_owned(),
        // Older clients send Latin-1.
        Err(_) => value.as_bytes().iter().map(|b| char::from(*b)).collect(),
    };
    let text = text.trim();
    let bare = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    if !(1..=MAX_KEY_CHARS).contains(&bare.chars().count()) {
        return Err(Fault::IdempotencyKeyInvalid);
    }
    Ok(Some(RequestKey { key_id: key_id.clone(), idempotency_key: bare.to_owned() }))
}

/// Tells requests apart: method, path with query, workspace, body.
pub fn fingerprint(method: &str, target: &str, workspace: &WorkspaceId, body: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [method.as_bytes(), target.as_bytes(), workspace.as_str().as_bytes(), body] {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

impl AppState {
    /// Begins an idempotent request; waits a while for one that is being carried out.
    pub(crate) async fn enter(&self, request: &RequestKey, fingerprint: [u8; 32]) -> Result<Entry, Fault> {
        let deadline = Instant::now() + PATIENCE;
        let mut pause = StdDuration::from_millis(20);
        loop {
            let now = self.clock.now();
            let begun = self.idempotency.begin(request, fingerprint, now, now + RUN, now - KEPT).await?;
            match begun {
                Begin::Started => return Ok(Entry::Run),
                Begin::Answered(response) => return Ok(Entry::Replay(response)),
                Begin::Mismatch => return Err(Fault::IdempotencyConflict),
                Begin::Running if Instant::now() >= deadline || self.stop.is_cancelled() => {
                    return Err(Fault::IdempotencyInProgress);
                }
                Begin::Running => {
                    tokio::time::sleep_until(deadline.min(Instant::now() + pause)).await;
                    pause = (pause * 2).min(StdDuration::from_millis(200));
                }
            }
        }
    }

    /// Ends an idempotent request whose answer is not kept yet: a passing failure is forgotten so that it can be
    /// tried again, anything else is kept.
    pub(crate) async fn leave(&self, request: &RequestKey, reply: &Reply) {
        let passing = reply.status.is_server_error() || reply.status.as_u16() == 429;
        let done = if passing {
            self.idempotency.abandon(request).await
        } else {
            let receipt = Receipt { request: request.clone(), response: reply.stored() };
            self.idempotency.complete(&receipt).await
        };
        if let Err(error) = done {
            // The answer stands; a repetition finds a run that looks dead once its time is over.
            tracing::warn!(%error, "an idempotent request's answer could not be kept");
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn read(value: &[u8]) -> Result<Option<String>, Fault> {
        let mut headers = HeaderMap::new();
        headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_bytes(value).unwrap());
        key(&headers, &KeyId("key_1".into())).map(|key| key.map(|key| key.idempotency_key))
    }

    #[test]
    fn a_key_is_read_bare_or_quoted_and_counted_in_characters() {
        assert_eq!(read(b"abc").unwrap().as_deref(), Some("abc"));
        assert_eq!(read(b"\"abc\"").unwrap().as_deref(), Some("abc"));
        assert_eq!(read(b"\xe9").unwrap().as_deref(), Some("é"));
        let hundred = "ü".repeat(100);
        assert_eq!(read(hundred.as_bytes()).unwrap(), Some(hundred.clone()));
        for bad in ["", "\"\"", &format!("{hundred}x")] {
            assert!(matches!(read(bad.as_bytes()), Err(Fault::IdempotencyKeyInvalid)), "{bad}");
        }
        assert!(key(&HeaderMap::new(), &KeyId("key_1".into())).unwrap().is_none());
    }

    #[test]
    fn every_part_of_a_request_tells_it_apart() {
        let (a, b): (WorkspaceId, WorkspaceId) = ("ws_a".parse().unwrap(), "ws_b".parse().unwrap());
        let base = fingerprint("POST", "/v1/domains", &a, b"{}");
        assert_eq!(base, fingerprint("POST", "/v1/domains", &a, b"{}"));
        for other in [
            fingerprint("DELETE", "/v1/domains", &a, b"{}"),
            fingerprint("POST", "/v1/domains?", &a, b"{}"),
            fingerprint("POST", "/v1/domains", &b, b"{}"),
            fingerprint("POST", "/v1/domains", &a, b"{} "),
            fingerprint("POST/", "v1/domains", &a, b"{}"),
        ] {
            assert_ne!(base, other);
        }
    }
}
