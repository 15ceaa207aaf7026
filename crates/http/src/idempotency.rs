//! Idempotent requests: a repetition has no second effect and gets the stored response, on every replica. Responses
//! without an effect are not stored: the request is executed again.
use std::borrow::Cow;
use std::time::Duration as StdDuration;

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, HeaderName};
use chrono::Duration;
use deed_claims::WorkspaceId;
use deed_store::{Begin, KeyId, Receipt, RequestKey, StoredResponse};
use serde_json::{Number, Value};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::auth::{RepeatedHeader, single_value};
use crate::request_error::RequestError;
use crate::response::JsonResponse;
use crate::state::HttpState;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const MAX_KEY_CHARS: usize = 100;
/// How long responses are stored.
const RETENTION: Duration = Duration::hours(24);
/// A run without a response counts as dead after this time, which is longer than any operation takes.
const RUN_TIMEOUT: Duration = Duration::seconds(60);
/// How long a repetition waits for the first request.
const REPEAT_WAIT: StdDuration = StdDuration::from_secs(5);

/// Which responses of an operation are stored and replayed for an `Idempotency-Key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayPolicy {
    /// Responses to an effect: 2xx other than 202. After any other response, the request is executed again.
    Effects,
    /// None: every response shows the current state, and a repetition has no second effect even without a key.
    Never,
}

impl ReplayPolicy {
    /// Whether a response of this status is stored.
    pub fn stores(self, status: StatusCode) -> bool {
        self == Self::Effects && status.is_success() && status != StatusCode::ACCEPTED
    }
}

/// What to do with an idempotent request.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    /// Execute it.
    Run,
    /// Send the stored response again.
    Replay(StoredResponse),
}

/// The idempotency key of a request, bare or quoted (a Structured Fields string, RFC 9651 §3.3.3).
pub fn key(headers: &HeaderMap, key_id: &KeyId) -> Result<Option<RequestKey>, RequestError> {
    let value = single_value(headers, IDEMPOTENCY_KEY)
        .map_err(|RepeatedHeader| RequestError::IdempotencyKeyRepeated)?;
    let Some(value) = value else { return Ok(None) };
    let text = match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => text.to_owned(),
        // Older clients send Latin-1.
        Err(_) => value.as_bytes().iter().map(|b| char::from(*b)).collect(),
    };
    let text = text.trim();
    let bare = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    if !(1..=MAX_KEY_CHARS).contains(&bare.chars().count()) {
        return Err(RequestError::IdempotencyKeyInvalid);
    }
    Ok(Some(RequestKey { key_id: key_id.clone(), idempotency_key: bare.to_owned() }))
}

/// The canonical form of a body: JSON with sorted keys, without white space, with whole numbers as integers; other
/// bodies unchanged. Bodies that the service reads as the same value have the same form.
pub fn canonical_body(body: &[u8]) -> Cow<'_, [u8]> {
    let Ok(mut value) = serde_json::from_slice::<Value>(body) else { return body.into() };
    // serde_json's maps are sorted unless a crate of the build enables `preserve_order`.
    value.sort_all_objects();
    normalise_numbers(&mut value);
    serde_json::to_vec(&value).map_or(Cow::Borrowed(body), Cow::Owned)
}

/// Writes `1.0`, `1e0` and `-0` as the integers they are.
fn normalise_numbers(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(normalise_numbers),
        Value::Object(fields) => fields.values_mut().for_each(normalise_numbers),
        Value::Number(number) => *number = normalised(number),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

fn normalised(number: &Number) -> Number {
    const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
    let Some(float) = number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0) else {
        return number.clone();
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole numbers within the range of the type"
    )]
    if (-TWO_TO_63..TWO_TO_63).contains(&float) {
        Number::from(float as i64)
    } else if (TWO_TO_63..2.0 * TWO_TO_63).contains(&float) {
        Number::from(float as u64)
    } else {
        number.clone()
    }
}

/// The fingerprint of a request: method, path with query, workspace, body.
pub fn fingerprint(method: &str, target: &str, workspace: &WorkspaceId, body: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [method.as_bytes(), target.as_bytes(), workspace.as_str().as_bytes(), body] {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

impl HttpState {
    /// Begins an idempotent request; waits a while for a run that is in progress.
    pub(crate) async fn begin_idempotent(
        &self,
        request: &RequestKey,
        fingerprint: [u8; 32],
        replay: ReplayPolicy,
    ) -> Result<Admission, RequestError> {
        let deadline = Instant::now() + REPEAT_WAIT;
        let mut pause = StdDuration::from_millis(20);
        loop {
            let now = self.clock.now();
            let begun =
                self.idempotency.begin(request, fingerprint, now, now + RUN_TIMEOUT, now - RETENTION).await?;
            match begun {
                Begin::Answered(response) if stores(replay, &response) => {
                    return Ok(Admission::Replay(response));
                }
                // An older version may have stored a response that this one does not store.
                Begin::Started | Begin::Answered(_) => return Ok(Admission::Run),
                Begin::Mismatch => return Err(RequestError::IdempotencyConflict),
                Begin::Running if Instant::now() >= deadline || self.stop.is_cancelled() => {
                    return Err(RequestError::IdempotencyInProgress);
                }
                Begin::Running => {
                    tokio::time::sleep_until(deadline.min(Instant::now() + pause)).await;
                    pause = (pause * 2).min(StdDuration::from_millis(200));
                }
            }
        }
    }

    /// Ends an idempotent request whose response was not stored with its effect: stores the response to an effect;
    /// after any other, the request can be executed again.
    pub(crate) async fn finish_idempotent(
        &self,
        request: &RequestKey,
        response: &JsonResponse,
        replay: ReplayPolicy,
    ) {
        let done = if replay.stores(response.status) {
            let receipt = Receipt { request: request.clone(), response: response.stored() };
            self.idempotency.complete(&receipt).await
        } else {
            self.idempotency.abandon(request).await
        };
        if let Err(error) = done {
            // The response is valid; a repetition runs again once this run counts as dead.
            tracing::warn!(%error, "an idempotent request's answer could not be kept");
        }
    }
}

fn stores(replay: ReplayPolicy, stored: &StoredResponse) -> bool {
    StatusCode::from_u16(stored.status).is_ok_and(|status| replay.stores(status))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn read(value: &[u8]) -> Result<Option<String>, RequestError> {
        let mut headers = HeaderMap::new();
        headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_bytes(value).unwrap());
        key(&headers, &KeyId("key_1".into())).map(|key| key.map(|key| key.idempotency_key))
    }

    #[test]
    fn reads_bare_and_quoted_idempotency_keys() {
        assert_eq!(read(b"abc").unwrap().as_deref(), Some("abc"));
        assert_eq!(read(b"\"abc\"").unwrap().as_deref(), Some("abc"));
        assert_eq!(read(b"\xe9").unwrap().as_deref(), Some("é"));
        let hundred = "ü".repeat(100);
        assert_eq!(read(hundred.as_bytes()).unwrap(), Some(hundred.clone()));
        for bad in ["", "\"\"", &format!("{hundred}x")] {
            assert!(matches!(read(bad.as_bytes()), Err(RequestError::IdempotencyKeyInvalid)), "{bad}");
        }
        assert!(key(&HeaderMap::new(), &KeyId("key_1".into())).unwrap().is_none());
    }

    #[test]
    fn fingerprint_covers_every_part_of_a_request() {
        let (a, b): (WorkspaceId, WorkspaceId) = ("ws_a".parse().unwrap(), "ws_b".parse().unwrap());
        let base = fingerprint("POST", "/v1/domains", &a, b"{}");
        assert_eq!(base, fingerprint("POST", "/v1/domains", &a, b"{}"));
        for other in [
            fingerprint("DELETE", "/v1/domains", &a, b"{}"),
            fingerprint("POST", "/v1/domains?", &a, b"{}"),
            fingerprint("POST", "/v1/domains", &b, b"{}"),
            fingerprint("POST", "/v1/domains", &a, b"{} "),
            fingerprint("POST", "/v1/domains/", &a, b"{}"),
            fingerprint("POST/", "v1/domains", &a, b"{}"),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn compares_json_by_value_and_the_rest_by_bytes() {
        let same = |a: &str, b: &str| canonical_body(a.as_bytes()) == canonical_body(b.as_bytes());
        for (a, b) in [
            (r#"{"a":1,"b":[true,null]}"#, " {\n\t\"b\" : [ true , null ],\r\n \"a\":1 } "),
            (r#"{"a":{"x":1,"y":2}}"#, r#"{"a":{"y":2,"x":1}}"#),
            (r#"[{"x":1,"y":2}]"#, r#"[{"y":2,"x":1}]"#),
            (r#""\u0061\/\u00fc""#, r#""a/ü""#),
            ("1", "1.0"),
            ("10", "1e1"),
            ("[100]", "[1.0E+2]"),
            ("0", "-0"),
            ("-0.0", "0e9"),
            ("0.5", "5e-1"),
            ("1e19", "10000000000000000000"),
            ("-9223372036854775808", "-9223372036854775808.0"),
            ("1e300", "10e299"),
        ] {
            assert!(same(a, b), "{a} {b}");
        }
        for (a, b) in [
            ("[1,2]", "[2,1]"),
            ("1", "1.5"),
            ("1", "-1"),
            ("1", r#""1""#),
            ("0", "false"),
            ("{}", "[]"),
            ("{}", r#"{"a":null}"#),
            (r#"{"a":" b"}"#, r#"{"a":"b"}"#),
            ("9007199254740992", "9007199254740993"),
            ("18446744073709551615", "18446744073709551616"),
            // Not JSON: a space counts.
            ("", " "),
            ("{", "{ "),
            ("{} x", "{}  x"),
            ("a=1", "a=1 "),
        ] {
            assert!(!same(a, b), "{a} {b}");
        }
        // Compact JSON, as most clients write it, is its own canonical form.
        let compact = br#"{"domain":"acme.com"}"#;
        assert_eq!(canonical_body(compact), Cow::Borrowed(compact));
        // JSON that is nested too deep for the parser is compared by bytes.
        let deep = "[".repeat(5000) + &"]".repeat(5000);
        assert_eq!(canonical_body(deep.as_bytes()), Cow::Borrowed(deep.as_bytes()));
    }
}
