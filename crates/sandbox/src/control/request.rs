//! Parses control requests: paths, query strings and bodies.

use std::time::Duration;

use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::StatusCode;
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;

use super::types::ErrorBody;
use crate::error::InvalidInput;

/// The largest body that is accepted.
pub(super) const MAX_BODY: usize = 64 * 1024;
/// How long a client may take to send it.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// Why a request is refused: the status and the body of the response.
#[derive(Debug)]
pub(super) struct RequestError {
    pub(super) status: StatusCode,
    pub(super) body: ErrorBody,
}

impl RequestError {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, body: ErrorBody { error: error.into(), field: None } }
    }
}

impl From<InvalidInput> for RequestError {
    fn from(invalid: InvalidInput) -> Self {
        let body = ErrorBody { error: invalid.to_string(), field: Some(invalid.field) };
        Self { status: StatusCode::BAD_REQUEST, body }
    }
}

/// The path's segments, decoded. `@` stands for the root name, since clients drop a segment `.`.
pub(super) fn segments(path: &str) -> Result<Vec<String>, RequestError> {
    let segments = path.split('/').filter(|segment| !segment.is_empty());
    segments
        .map(|segment| match decode("path", segment)?.as_str() {
            "@" => Ok(".".to_owned()),
            other => Ok(other.to_owned()),
        })
        .collect()
}

/// The filters of `GET /queries`.
#[derive(Debug, Default)]
pub(super) struct QueryFilter {
    pub(super) name: Option<String>,
    pub(super) after: u64,
}

impl QueryFilter {
    pub(super) fn parse(query: Option<&str>) -> Result<Self, RequestError> {
        let mut filter = Self::default();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key {
                "name" => filter.name = Some(decode("name", value)?),
                "after" => {
                    filter.after =
                        value.parse().map_err(|_| InvalidInput::new("after", "must be a number"))?;
                }
                _ => return Err(InvalidInput::new("query", "knows `name` and `after` only").into()),
            }
        }
        Ok(filter)
    }
}

fn decode(field: &str, text: &str) -> Result<String, RequestError> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| InvalidInput::new(field, "is not UTF-8").into())
}

/// Reads a JSON body within the cap and the deadline.
pub(super) async fn body<T: DeserializeOwned>(incoming: Incoming) -> Result<T, RequestError> {
    let read = tokio::time::timeout(BODY_DEADLINE, Limited::new(incoming, MAX_BODY).collect()).await;
    let bytes = match read {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let problem = format!("the body has more than {MAX_BODY} bytes");
            return Err(RequestError::new(StatusCode::PAYLOAD_TOO_LARGE, problem));
        }
        Ok(Err(_)) => {
            return Err(RequestError::new(StatusCode::BAD_REQUEST, "cannot read the body"));
        }
        Err(_) => {
            return Err(RequestError::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"));
        }
    };
    let mut json = serde_json::Deserializer::from_slice(&bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { "body".to_owned() } else { path };
        InvalidInput::new(field, error.inner().to_string())
    })?;
    json.end().map_err(|error| InvalidInput::new("body", error.to_string()))?;
    Ok(value)
}
