//! Upcasts stored payloads of older schemas to the newest one, one step per schema.
use serde_json::{Value, json};

use crate::event::Event;

/// A payload of an older schema in the newest schema of its kind. A payload that does not fit its schema stays
/// unchanged, and deserializing it fails later.
pub fn upcast(kind: &str, schema: u16, payload: Value) -> Value {
    let newest = Event::newest_schema(kind).unwrap_or(schema);
    (schema..newest).fold(payload, |payload, schema| step(kind, schema, payload))
}

/// One step, from a schema to the next.
fn step(kind: &str, schema: u16, payload: Value) -> Value {
    match (kind, schema) {
        ("CheckRecorded", 1) => check_recorded_2(payload),
        _ => payload,
    }
}

/// Schema 1 of `CheckRecorded` has the sentences of a diagnosis, schema 2 their keys and parameters. The sentences of
/// old checks become phrases with the same text.
fn check_recorded_2(mut payload: Value) -> Value {
    if let Some(diagnosis) = payload.get_mut("diagnosis").and_then(Value::as_object_mut) {
        for sentences in ["message", "fix"] {
            if let Some(text) = diagnosis.get_mut(sentences).filter(|text| text.is_string()) {
                *text = json!([{ "say": "text", "params": { "text": text.take() } }]);
            }
        }
    }
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_sentences_of_old_checks() {
        let old = json!({ "attempt": 1, "diagnosis": { "code": "timeout", "message": "m", "fix": "f", "clearsIn": 3 } });
        let text = |text: &str| json!([{ "say": "text", "params": { "text": text } }]);
        let new = json!({
            "attempt": 1,
            "diagnosis": { "code": "timeout", "message": text("m"), "fix": text("f"), "clearsIn": 3 },
        });
        assert_eq!(upcast("CheckRecorded", 1, old), new);
        assert_eq!(upcast("CheckRecorded", 2, new.clone()), new);
    }

    #[test]
    fn leaves_malformed_and_unknown_payloads_alone() {
        for payload in
            [json!(null), json!([]), json!({ "diagnosis": 1 }), json!({ "diagnosis": { "message": 1 } })]
        {
            assert_eq!(upcast("CheckRecorded", 1, payload.clone()), payload);
            assert_eq!(upcast("OfTomorrow", 1, payload.clone()), payload);
        }
    }
}
