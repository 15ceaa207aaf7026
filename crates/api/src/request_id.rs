//! What ties an answer to the logs and to the caller's trace.
use actix_web::http::header::{HeaderMap, HeaderName};
use data_encoding::HEXLOWER;
use deed_store::Entropy;

/// The request's name in answers and logs.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// W3C Trace Context.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Characters of a caller's request id that are accepted.
const MAX_LEN: usize = 128;

/// The name of one request: the caller's own if it is fit for a log line, otherwise a new one.
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
        // Without randomness a request is still answered; only its name is not its own.
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

/// The caller's trace, if the header has the form of version 00 or of a later one (W3C Trace Context §3.2).
pub fn traceparent(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(TRACEPARENT)?.to_str().ok()?;
    let hex = |part: &str, len: usize| {
        part.len() == len && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let mut parts = value.splitn(4, '-');
    let (version, trace, parent) = (parts.next()?, parts.next()?, parts.next()?);
    let flags = parts.next()?;
    let fits = hex(version, 2)
        && version != "ff"
        && hex(trace, 32)
        && trace.bytes().any(|b| b != b'0')
        && hex(parent, 16)
        && parent.bytes().any(|b| b != b'0')
        && hex(flags, 2);
    fits.then(|| value.to_owned())
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
    fn an_id_that_is_unfit_for_a_log_line_is_replaced() {
        let id = |value: &str| RequestId::of(&with(X_REQUEST_ID, value), &OsEntropy);
        assert_eq!(id("abc-123").as_str(), "abc-123");
        for bad in ["", "a b", "a\"b", "ü", &"a".repeat(129)] {
            assert!(id(bad).as_str().starts_with("req_"), "{bad}");
        }
        assert_ne!(id(""), id(""));
    }

    #[test]
    fn only_a_valid_traceparent_is_kept() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(traceparent(&with(TRACEPARENT, good)).as_deref(), Some(good));
        for bad in [
            "",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-extra",
        ] {
            assert_eq!(traceparent(&with(TRACEPARENT, bad)), None, "{bad}");
        }
    }
}
