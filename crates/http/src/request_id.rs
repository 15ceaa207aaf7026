//! Request ids, and the trace context of the caller.
use actix_web::http::header::{HeaderMap, HeaderName};
use data_encoding::HEXLOWER;
use deed_claims::Entropy;
use deed_messages::TraceContext;

/// The request id in responses.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// W3C Trace Context.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Vendor data of the caller's tracing system (W3C Trace Context §3.3).
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The longest request id that is accepted from a caller.
const MAX_LEN: usize = 128;

/// The id of one request: the caller's own if it is safe in a log line, otherwise a new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// The caller's id, or a new one.
    pub fn of(headers: &HeaderMap, entropy: &dyn Entropy) -> Self {
        let given = headers.get(X_REQUEST_ID).and_then(|value| value.to_str().ok());
        match given.filter(|id| fits(id)) {
            Some(id) => Self(id.to_owned()),
            None => Self::new(entropy),
        }
    }

    /// A new id.
    pub fn new(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 12];
        // Without randomness the request is still served; only its id is not unique.
        if let Err(error) = entropy.fill(&mut bytes) {
            tracing::warn!(%error, "no randomness for a request id");
        }
        Self(format!("req_{}", HEXLOWER.encode(&bytes)))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn fits(id: &str) -> bool {
    (1..=MAX_LEN).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:/+=".contains(&b))
}

/// The caller's trace, if its headers have the form of the standard (W3C Trace Context §3).
pub fn trace_context(headers: &HeaderMap) -> Option<TraceContext> {
    let traceparent = headers.get(TRACEPARENT)?.to_str().ok()?;
    // A list may come in several headers (§3.3.1.3).
    let states: Vec<_> = headers.get_all(TRACESTATE).filter_map(|value| value.to_str().ok()).collect();
    TraceContext::parse(traceparent, Some(&states.join(",")))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;
    use deed_store::OsEntropy;

    use super::*;

    fn with(name: HeaderName, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        headers
    }

    #[test]
    fn replaces_invalid_request_id() {
        let id = |value: &str| RequestId::of(&with(X_REQUEST_ID, value), &OsEntropy);
        assert_eq!(id("abc-123").as_str(), "abc-123");
        for bad in ["", "a b", "a\"b", "ü", &"a".repeat(129)] {
            assert!(id(bad).as_str().starts_with("req_"), "{bad}");
        }
        assert_ne!(id(""), id(""));
    }

    #[test]
    fn continues_trace_with_tracestate() {
        let mut headers = with(TRACEPARENT, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        headers.append(TRACESTATE, HeaderValue::from_static("congo=t61"));
        headers.append(TRACESTATE, HeaderValue::from_static("rojo=00f0"));
        let context = trace_context(&headers).unwrap();
        assert_eq!(context.tracestate(), Some("congo=t61,rojo=00f0"));
        assert_eq!(trace_context(&with(TRACEPARENT, "00-none")), None);
        assert_eq!(trace_context(&with(TRACESTATE, "congo=t61")), None);
    }
}
