//! `CloudEvents` 1.0 in structured JSON mode: the envelope of every published message.
//!
//! <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>. Payloads are JSON: an event
//! that carries `data_base64` is refused.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value};

use crate::TraceContext;

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct CloudEvent {
    /// Identifies the event, together with `source`.
    pub id: String,
    /// The context in which it happened: a URI reference.
    pub source: String,
    /// The versioned event type.
    pub r#type: String,
    /// The subject within the source.
    pub subject: Option<String>,
    /// When it happened.
    pub time: Option<DateTime<Utc>>,
    /// The media type of `data`; absent means [`CloudEvent::JSON`].
    pub datacontenttype: Option<String>,
    /// The schema that `data` follows: an absolute URI.
    pub dataschema: Option<String>,
    /// The payload. `null` means none.
    pub data: Value,
    /// Further attributes: lower-case letters and digits, at most 20, with a boolean, a 32-bit integer or a string.
    pub extensions: BTreeMap<String, Value>,
}

/// Why an event is invalid.
#[derive(Debug, thiserror::Error)]
pub enum CloudEventError {
    /// It is not a JSON object.
    #[error("a cloud event is a JSON object")]
    NotJson(#[source] serde_json::Error),
    /// A required attribute is missing.
    #[error("{field}: is required")]
    Missing {
        /// The attribute.
        field: &'static str,
    },
    /// An attribute has an invalid value.
    #[error("{}: {problem}", field.escape_debug())]
    Invalid {
        /// The attribute.
        field: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

type AttributeCheck = fn(&str) -> Option<&'static str>;

fn text(value: &str) -> Option<&'static str> {
    if value.is_empty() {
        return Some("must not be empty");
    }
    value.chars().any(char::is_control).then_some("must not hold control characters")
}

/// RFC 3986 §2 permits these characters only.
fn uri_reference(value: &str) -> Option<&'static str> {
    let is_uri = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&b);
    (value.is_empty() || !value.bytes().all(is_uri)).then_some("must be a URI reference")
}

fn absolute_uri(value: &str) -> Option<&'static str> {
    let has_scheme = value.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    });
    if has_scheme { uri_reference(value) } else { Some("must be an absolute URI") }
}

fn media_type(value: &str) -> Option<&'static str> {
    let has_two_parts =
        value.split_once('/').is_some_and(|(kind, rest)| !kind.is_empty() && !rest.is_empty());
    if has_two_parts { text(value) } else { Some("must be a media type") }
}

fn extension(name: &str, value: &Value) -> Option<&'static str> {
    if name.is_empty()
        || name.len() > 20
        || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    {
        return Some("an extension's name is made of at most 20 lower-case letters and digits");
    }
    if RESERVED.contains(&name) {
        return Some("is no extension");
    }
    match value {
        Value::Bool(_) | Value::String(_) => None,
        Value::Number(number) if number.as_i64().is_some_and(|n| i32::try_from(n).is_ok()) => None,
        _ => Some("an extension is a boolean, a 32-bit integer or a string"),
    }
}

const RESERVED: [&str; 9] =
    ["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "data"];

fn invalid(field: &str, problem: &'static str) -> CloudEventError {
    CloudEventError::Invalid { field: field.to_owned(), problem }
}

impl CloudEvent {
    /// The media type of an event in structured JSON mode.
    pub const CONTENT_TYPE: &str = "application/cloudevents+json";
    /// The media type of the data.
    pub const JSON: &str = "application/json";

    /// The event in structured JSON mode.
    ///
    /// # Errors
    /// Names the attribute that violates the specification.
    pub fn to_json(&self) -> Result<Vec<u8>, CloudEventError> {
        self.check()?;
        serde_json::to_vec(&StructuredJson(self)).map_err(CloudEventError::NotJson)
    }

    /// Reads an event in structured JSON mode.
    ///
    /// # Errors
    /// Names the attribute that is missing or violates the specification.
    pub fn from_json(json: &[u8]) -> Result<Self, CloudEventError> {
        let mut map: Map<String, Value> = serde_json::from_slice(json).map_err(CloudEventError::NotJson)?;
        // An attribute that is null is unset (JSON format §2.2).
        map.retain(|_, value| !value.is_null());
        if required(&mut map, "specversion")? != "1.0" {
            return Err(invalid("specversion", "must be 1.0"));
        }
        if map.contains_key("data_base64") {
            return Err(invalid("data_base64", "binary data is not supported"));
        }
        let event = Self {
            id: required(&mut map, "id")?,
            source: required(&mut map, "source")?,
            r#type: required(&mut map, "type")?,
            subject: optional(&mut map, "subject")?,
            time: optional(&mut map, "time")?.map(|time| timestamp(&time)).transpose()?,
            datacontenttype: optional(&mut map, "datacontenttype")?,
            dataschema: optional(&mut map, "dataschema")?,
            data: map.remove("data").unwrap_or_default(),
            extensions: map.into_iter().collect(),
        };
        event.check()?;
        Ok(event)
    }

    /// The trace context, in the extensions of the Distributed Tracing extension of `CloudEvents`; `None` if it is
    /// invalid.
    pub fn trace(&self) -> Option<TraceContext> {
        let extension = |name| self.extensions.get(name).and_then(Value::as_str);
        TraceContext::parse(extension("traceparent")?, extension("tracestate"))
    }

    /// Sets the extensions of the trace context.
    pub fn set_trace(&mut self, trace: Option<&TraceContext>) {
        let headers = trace.into_iter().flat_map(TraceContext::headers);
        self.extensions.extend(headers.map(|(name, value)| (name.to_owned(), Value::from(value))));
    }

    fn check(&self) -> Result<(), CloudEventError> {
        let attributes: [(&str, Option<&String>, AttributeCheck); 6] = [
            ("id", Some(&self.id), text),
            ("source", Some(&self.source), uri_reference),
            ("type", Some(&self.r#type), text),
            ("subject", self.subject.as_ref(), text),
            ("datacontenttype", self.datacontenttype.as_ref(), media_type),
            ("dataschema", self.dataschema.as_ref(), absolute_uri),
        ];
        for (field, value, check) in attributes {
            if let Some(problem) = value.and_then(|value| check(value)) {
                return Err(invalid(field, problem));
            }
        }
        for (name, value) in &self.extensions {
            if let Some(problem) = extension(name, value) {
                return Err(invalid(name, problem));
            }
        }
        Ok(())
    }
}

fn optional(map: &mut Map<String, Value>, field: &'static str) -> Result<Option<String>, CloudEventError> {
    match map.remove(field) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(invalid(field, "must be a string")),
    }
}

fn required(map: &mut Map<String, Value>, field: &'static str) -> Result<String, CloudEventError> {
    optional(map, field)?.ok_or(CloudEventError::Missing { field })
}

fn timestamp(time: &str) -> Result<DateTime<Utc>, CloudEventError> {
    let time = DateTime::parse_from_rfc3339(time);
    time.map(|time| time.to_utc()).map_err(|_| invalid("time", "must be a timestamp by RFC 3339"))
}

/// Serializes a valid event in structured JSON mode.
struct StructuredJson<'a>(&'a CloudEvent);

impl Serialize for StructuredJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let event = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("specversion", "1.0")?;
        map.serialize_entry("id", &event.id)?;
        map.serialize_entry("source", &event.source)?;
        map.serialize_entry("type", &event.r#type)?;
        let time = event.time.map(|time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true));
        let optional = [
            ("subject", &event.subject),
            ("time", &time),
            ("datacontenttype", &event.datacontenttype),
            ("dataschema", &event.dataschema),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                map.serialize_entry(name, value)?;
            }
        }
        for (name, value) in &event.extensions {
            map.serialize_entry(name, value)?;
        }
        if !event.data.is_null() {
            map.serialize_entry("data", &event.data)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn example() -> CloudEvent {
        CloudEvent {
            id: "A234-1234-1234".to_owned(),
            source: "/mycontext/4".to_owned(),
            r#type: "com.example.someevent.v1".to_owned(),
            subject: Some("mynewfile.jpg".to_owned()),
            time: Some("2018-04-05T17:31:00Z".parse().unwrap()),
            datacontenttype: Some(CloudEvent::JSON.to_owned()),
            dataschema: Some("https://example.com/schema".to_owned()),
            data: json!({"appinfoA": "abc", "appinfoB": 123}),
            extensions: BTreeMap::from([
                ("comexampleextension1".to_owned(), json!("value")),
                ("comexampleothervalue".to_owned(), json!(5)),
            ]),
        }
    }

    fn example_json() -> Value {
        json!({
            "specversion": "1.0", "id": "A234-1234-1234", "source": "/mycontext/4",
            "type": "com.example.someevent.v1", "subject": "mynewfile.jpg", "time": "2018-04-05T17:31:00Z",
            "datacontenttype": "application/json", "dataschema": "https://example.com/schema",
            "comexampleextension1": "value", "comexampleothervalue": 5,
            "data": {"appinfoA": "abc", "appinfoB": 123},
        })
    }

    fn read(json: &Value) -> Result<CloudEvent, CloudEventError> {
        CloudEvent::from_json(json.to_string().as_bytes())
    }

    #[test]
    fn round_trips_the_example_of_the_specification() {
        let written = example().to_json().unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&written).unwrap(), example_json());
        assert_eq!(CloudEvent::from_json(&written).unwrap(), example());
    }

    #[test]
    fn omits_unset_attributes_and_reads_null_as_unset() {
        let bare = json!({"specversion": "1.0", "id": "1", "source": "s", "type": "t"});
        let mut with_nulls = bare.clone();
        for unset in ["subject", "time", "data", "traceparent"] {
            with_nulls[unset] = Value::Null;
        }
        let event = read(&with_nulls).unwrap();
        assert_eq!(event, read(&bare).unwrap());
        assert_eq!(serde_json::from_slice::<Value>(&event.to_json().unwrap()).unwrap(), bare);
    }

    #[test]
    fn converts_times_of_any_offset_to_utc() {
        let mut json = example_json();
        json["time"] = json!("2018-04-05T19:31:00.000+02:00");
        assert_eq!(read(&json).unwrap().time, example().time);
    }

    #[test]
    fn parse_errors_name_the_attribute() {
        for (field, value) in [
            ("specversion", json!("0.3")),
            ("specversion", Value::Null),
            ("id", json!("")),
            ("id", Value::Null),
            ("id", json!(7)),
            ("source", json!("a b")),
            ("source", Value::Null),
            ("type", json!("a\nb")),
            ("type", Value::Null),
            ("subject", json!("")),
            ("time", json!("yesterday")),
            ("datacontenttype", json!("json")),
            ("dataschema", json!("schema")),
            ("data_base64", json!("AAAA")),
            ("traceParent", json!("x")),
            ("abcdefghijklmnopqrstu", json!("x")),
            ("big", json!(2_147_483_648_i64)),
            ("part", json!(1.5)),
            ("nested", json!({})),
        ] {
            let mut json = example_json();
            json[field] = value;
            let error = read(&json).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{field}: ")), "{field}: {error}");
        }
        for no_object in ["", "[]", "1", "{"] {
            assert!(matches!(CloudEvent::from_json(no_object.as_bytes()), Err(CloudEventError::NotJson(_))));
        }
    }

    #[test]
    fn refuses_to_write_invalid_events() {
        let mut event = example();
        event.extensions.insert("id".to_owned(), json!("another"));
        assert_eq!(event.to_json().unwrap_err().to_string(), "id: is no extension");
        let mut event = example();
        event.source.clear();
        assert_eq!(event.to_json().unwrap_err().to_string(), "source: must be a URI reference");
    }

    #[test]
    fn errors_escape_control_characters() {
        let mut json = example_json();
        json["\u{1b}[31m"] = json!("x");
        assert!(!read(&json).unwrap_err().to_string().contains('\u{1b}'));
    }
}
