//! Upcasts stored payloads of older schemas to the newest one, one step per schema.
use serde_json::{Value, json};

/// Brings a payload to the next schema.
type Upcast = fn(Value) -> Value;

/// A payload of an older schema in the newest schema of its kind. A payload that does not fit its schema stays
/// unchanged, and deserializing it fails later.
pub fn upcast(kind: &str, schema: u16, payload: Value) -> Value {
    (schema..).map_while(|schema| step(kind, schema)).fold(payload, |payload, step| step(payload))
}

/// The step from a schema to the next; none from the newest.
fn step(kind: &str, schema: u16) -> Option<Upcast> {
    match (kind, schema) {
        ("CheckRecorded", 1) => Some(check_recorded_2),
        _ => None,
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
    use crate::Event;

    #[test]
    fn steps_lead_to_the_newest_schema() {
        for (kind, _) in Event::KINDS {
            let newest = (1..100).find(|schema| step(kind, *schema).is_none());
            assert_eq!(newest, Event::newest_schema(kind), "{kind}");
        }
    }

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
