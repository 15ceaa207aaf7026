//! Reads JSON bodies up to a size limit and a deadline; parse errors name the field.
use std::fmt;
use std::time::Duration;

use actix_web::http::header::{self, HeaderMap};
use actix_web::web::{Bytes, BytesMut, Payload};
use deed_claims::name::Excerpt;
use futures::StreamExt;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Value, json};
use serde_path_to_error::Segment;

use crate::request_error::RequestError;

/// The size limit of a body, in bytes.
pub const MAX_BODY: usize = 16 * 1024;
/// How long a client may take to send a body.
const DEADLINE: Duration = Duration::from_secs(10);

/// What is wrong with a body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("the body did not arrive")]
    Incomplete,
    #[error("a JSON body is needed: send it with `Content-Type: application/json`")]
    ContentType,
    #[error("a JSON body is needed and there is none")]
    Empty,
    #[error("the body is not valid JSON: error in line {line}, column {column}")]
    Syntax { line: usize, column: usize },
    #[error("the body has to be a JSON object")]
    NotAnObject,
    #[error("the field `{field}` is missing")]
    Missing { field: FieldPath },
    #[error("there is no field `{field}`")]
    Unknown { field: FieldPath },
    #[error("the field `{field}` is given twice")]
    Duplicate { field: FieldPath },
    #[error("{}: {problem}", FieldLabel(field))]
    Invalid { field: FieldPath, problem: Excerpt },
}

/// A path in a body, such as `domains[3]`; empty for the body as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath(Vec<PathSegment>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum PathSegment {
    Key(Excerpt),
    Index(usize),
}

struct FieldLabel<'a>(&'a FieldPath);

impl fmt::Display for FieldLabel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.0.is_empty() { f.write_str("the body") } else { write!(f, "the field `{}`", self.0) }
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                PathSegment::Key(key) if i == 0 => write!(f, "{key}")?,
                PathSegment::Key(key) => write!(f, ".{key}")?,
                PathSegment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl FieldPath {
    fn of(path: &serde_path_to_error::Path) -> Self {
        let steps = path.iter().filter_map(|segment| match segment {
            Segment::Seq { index } => Some(PathSegment::Index(*index)),
            Segment::Map { key } => Some(PathSegment::Key(Excerpt::of(key))),
            Segment::Enum { variant } => Some(PathSegment::Key(Excerpt::of(variant))),
            Segment::Unknown => None,
        });
        Self(steps.collect())
    }

    /// The path to a field of this object; serde may have appended the key already.
    fn then(mut self, key: &str) -> Self {
        let step = PathSegment::Key(Excerpt::of(key));
        if self.0.last() != Some(&step) {
            self.0.push(step);
        }
        self
    }
}

impl BodyError {
    fn path(&self) -> Option<&FieldPath> {
        match self {
            Self::Incomplete | Self::ContentType | Self::Empty | Self::Syntax { .. } | Self::NotAnObject => {
                None
            }
            Self::Missing { field }
            | Self::Unknown { field }
            | Self::Duplicate { field }
            | Self::Invalid { field, .. } => Some(field),
        }
    }

    /// The invalid field, if the error is about one.
    pub fn field(&self) -> Option<String> {
        self.path().filter(|path| !path.0.is_empty()).map(ToString::to_string)
    }

    /// The same path as a JSON array that begins with `body`.
    pub fn location(&self) -> Value {
        let steps = self.path().map(|path| path.0.as_slice()).unwrap_or_default();
        let steps = steps.iter().map(|step| match step {
            PathSegment::Key(key) => json!(key.as_str()),
            PathSegment::Index(index) => json!(index),
        });
        Value::Array(std::iter::once(json!("body")).chain(steps).collect())
    }

    /// The stable error type for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Incomplete | Self::Empty | Self::Missing { .. } => "missing",
            Self::ContentType => "content_type",
            Self::Syntax { .. } => "json_invalid",
            Self::Unknown { .. } => "extra_forbidden",
            Self::NotAnObject | Self::Duplicate { .. } | Self::Invalid { .. } => "type_error",
        }
    }

    fn of(e: &serde_path_to_error::Error<serde_json::Error>) -> Self {
        use serde_json::error::Category;
        let inner = e.inner();
        match inner.classify() {
            Category::Syntax | Category::Eof | Category::Io => {
                return Self::Syntax { line: inner.line(), column: inner.column() };
            }
            Category::Data => {}
        }
        let (field, text) = (FieldPath::of(e.path()), inner.to_string());
        // serde_json distinguishes these three only in its message.
        let quoted =
            |prefix: &str| text.strip_prefix(prefix)?.split_once('`').map(|(name, _)| name.to_owned());
        if let Some(name) = quoted("missing field `") {
            return Self::Missing { field: field.then(&name) };
        }
        if let Some(name) = quoted("unknown field `") {
            return Self::Unknown { field: field.then(&name) };
        }
        if let Some(name) = quoted("duplicate field `") {
            return Self::Duplicate { field: field.then(&name) };
        }
        let problem = text.rsplit_once(" at line ").map_or(text.as_str(), |(problem, _)| problem);
        Self::Invalid { field, problem: Excerpt::of(problem) }
    }
}

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
