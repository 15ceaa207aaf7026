//! Reads JSON bodies up to a size limit and a deadline; parse errors name the field.
use std::time::Duration;

use actix_web::http::header::{self, HeaderMap};
use actix_web::web::{Bytes, BytesMut, Payload};
use futures::StreamExt;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::body_error::BodyError;
use crate::request_error::RequestError;

/// The size limit of a body, in bytes.
pub const MAX_BODY: usize = 16 * 1024;
/// How long a client may take to send a body.
const DEADLINE: Duration = Duration::from_secs(10);

/// Reads a whole body.
pub async fn read(payload: &mut Payload) -> Result<Bytes, RequestError> {
    let collect = async {
        let mut bytes = BytesMut::new();
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_| BodyError::Incomplete)?;
            if bytes.len() + chunk.len() > MAX_BODY {
                return Err(RequestError::BodyTooLarge { limit: MAX_BODY });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    };
    tokio::time::timeout(DEADLINE, collect)
        .await
        .unwrap_or(Err(RequestError::RequestTimeout { within: DEADLINE }))
}

/// Whether the content type is something else than JSON.
pub fn is_other_media(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return false };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    !essence.eq_ignore_ascii_case("application/json")
}

/// Parses a required body.
pub fn parse<T: DeserializeOwned>(bytes: &[u8], other_media: bool) -> Result<T, BodyError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(BodyError::Empty);
    }
    if other_media {
        return Err(BodyError::ContentType);
    }
    let syntax = |e: &serde_json::Error| BodyError::Syntax { line: e.line(), column: e.column() };
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        // serde would also read a struct from an array, which is not part of the contract.
        let json = serde_json::from_slice::<IgnoredAny>(bytes);
        return Err(json.map_or_else(|e| syntax(&e), |_| BodyError::NotAnObject));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut json).map_err(|e| BodyError::of(&e))?;
    json.end().map_err(|e| syntax(&e))?;
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct TestBody {
        #[serde(rename = "domain")]
        _domain: String,
        #[serde(default, rename = "names")]
        _names: Vec<String>,
    }

    fn wrong(text: &str) -> BodyError {
        parse::<TestBody>(text.as_bytes(), false).unwrap_err()
    }

    #[test]
    fn body_errors_name_the_field() {
        for (text, field, kind, message) in [
            ("{}", Some("domain"), "missing", "the field `domain` is missing"),
            (r#"{"domain":"a","x":1}"#, Some("x"), "extra_forbidden", "there is no field `x`"),
            (
                r#"{"domain":"a","domain":"b"}"#,
                Some("domain"),
                "type_error",
                "the field `domain` is given twice",
            ),
            (
                r#"{"domain":7}"#,
                Some("domain"),
                "type_error",
                "the field `domain`: invalid type: integer `7`, expected a string",
            ),
            (
                r#"{"domain":"a","names":["b",null]}"#,
                Some("names[1]"),
                "type_error",
                "the field `names[1]`: invalid type: null, expected a string",
            ),
            ("3", None, "type_error", "the body has to be a JSON object"),
            (r#"["acme.com"]"#, None, "type_error", "the body has to be a JSON object"),
            ("nope", None, "json_invalid", "the body is not valid JSON: error in line 1, column 2"),
            ("{", None, "json_invalid", "the body is not valid JSON: error in line 1, column 1"),
            (
                r#"{"domain":"a"} x"#,
                None,
                "json_invalid",
                "the body is not valid JSON: error in line 1, column 16",
            ),
            ("  ", None, "missing", "a JSON body is needed and there is none"),
        ] {
            let e = wrong(text);
            assert_eq!(
                (e.field().as_deref(), e.kind(), e.to_string().as_str()),
                (field, kind, message),
                "{text}"
            );
        }
        assert_eq!(wrong(r#"{"domain":"a","names":[1]}"#).location(), json!(["body", "names", 0]));
    }

    #[test]
    fn escapes_and_truncates_client_text() {
        let long = format!(r#"{{"{}":1}}"#, "\u{202e}".repeat(300));
        let message = wrong(&long).to_string();
        assert!(message.is_ascii() && message.len() < 200, "{message}");
    }

    #[test]
    fn accepts_only_json_media_types() {
        let headers = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
            headers
        };
        assert!(!is_other_media(&HeaderMap::new()));
        assert!(!is_other_media(&headers("Application/JSON; charset=utf-8")));
        assert!(is_other_media(&headers("text/plain")));
        assert_eq!(parse::<TestBody>(b"{}", true).unwrap_err(), BodyError::ContentType);
    }
}
