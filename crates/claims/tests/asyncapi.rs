//! Generates `proto/asyncapi.yaml`, which describes the messages on the bus, from the model and the published
//! definitions; `make generate` writes it.
#![expect(clippy::unwrap_used, reason = "a definition that cannot be read fails its test")]

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf};

use deed_claims::Event;
use prost_reflect::{Cardinality, DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

/// The packages of definitions, the newest last.
const PACKAGES: [&str; 2] = ["deed.events.v1", "deed.events.v2"];
/// The message of due work, which is on the bus and never in the log.
const DUE: (&str, &str) = ("VerificationDue", "verification.due");
/// The messages that the work queue is bound to.
const WORK: [&str; 2] = ["VerificationRequested", "VerificationDue"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn descriptors() -> DescriptorPool {
    let files = ["deed/events/v1/events.proto", "deed/events/v2/events.proto"];
    let set = protox::compile(files, [root().join("proto")]).unwrap();
    DescriptorPool::from_file_descriptor_set(set).unwrap()
}

/// The comments of the definitions by the descriptor path of their message or field.
fn comments(pool: &DescriptorPool, package: &str) -> BTreeMap<Vec<i32>, String> {
    let file = pool.files().find(|file| file.package_name() == package).unwrap();
    let info = file.file_descriptor_proto().source_code_info.clone().unwrap_or_default();
    let text = |comment: &str| comment.lines().map(str::trim).collect::<Vec<_>>().join(" ").trim().to_owned();
    info.location
        .iter()
        .map(|l| (l.path.clone(), text(l.leading_comments())))
        .filter(|(_, text)| !text.is_empty())
        .collect()
}

fn kinds() -> Vec<(&'static str, &'static str)> {
    Event::KINDS.iter().copied().chain([DUE]).collect()
}

fn reference(place: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/{place}/{name}") })
}

fn field_schema(field: &FieldDescriptor, comment: Option<&String>) -> Value {
    let mut schema = match field.kind() {
        Kind::Message(entry) if field.is_map() => {
            let values = field_schema(&entry.map_entry_value_field(), None);
            json!({"type": "object", "additionalProperties": values})
        }
        Kind::String => json!({"type": "string"}),
        Kind::Bool => json!({"type": "boolean"}),
        Kind::Uint32 => json!({"type": "integer", "minimum": 0}),
        Kind::Message(message) if message.full_name() == "google.protobuf.Timestamp" => {
            json!({"type": "string", "format": "date-time"})
        }
        Kind::Message(message) => reference("components/schemas", message.name()),
        other => panic!("{} is a {other:?}: say how that looks in JSON", field.full_name()),
    };
    if field.cardinality() == Cardinality::Repeated && !field.is_map() {
        schema = json!({"type": "array", "items": schema});
    }
    if let (Some(comment), Some(schema)) = (comment, schema.as_object_mut()) {
        schema.insert("description".to_owned(), json!(comment));
    }
    schema
}

/// proto3 has no required fields; every reader may rely on the identifier and the time.
fn required(message: &MessageDescriptor) -> Vec<String> {
    if message.name() == DUE.0 {
        return message.fields().map(|field| field.json_name().to_owned()).collect();
    }
    let always = |name: &str| matches!(name, "at" | "claimId" | "appId");
    message.fields().map(|f| f.json_name().to_owned()).filter(|name| always(name)).collect()
}

fn message_schema(message: &MessageDescriptor, index: usize, comments: &BTreeMap<Vec<i32>, String>) -> Value {
    let number = |index: usize| i32::try_from(index).unwrap();
    let fields = message.fields().enumerate().map(|(at, field)| {
        let comment = comments.get(&vec![4, number(index), 2, number(at)]);
        (field.json_name().to_owned(), field_schema(&field, comment))
    });
    let properties: Map<String, Value> = fields.collect();
    let mut schema = json!({"type": "object", "x-protobuf-message": message.full_name()});
    if let Some(comment) = comments.get(&vec![4, number(index)]) {
        schema["description"] = json!(comment);
    }
    let required = required(message);
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    for oneof in message.oneofs().filter(|oneof| !oneof.is_synthetic()) {
        schema["oneOf"] = oneof.fields().map(|field| json!({"required": [field.json_name()]})).collect();
    }
    schema["properties"] = Value::Object(properties);
    schema
}

/// `CloudEvents` 1.0 in structured JSON mode, with the extensions that Deed adds.
fn envelope() -> Value {
    json!({
        "type": "object",
        "description": "CloudEvents 1.0, structured JSON mode.",
        "required": ["specversion", "id", "source", "type", "subject", "time", "data"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {"type": "string", "description": "Together with `source` it tells the event from every other; the same again when it is published again. `evt_` and the position for what is in the log."},
            "source": {"type": "string", "format": "uri-reference", "description": "As configured; `/deed` by default."},
            "type": {"type": "string", "description": "`deed.`, the routing key, and the schema number of the data."},
            "subject": {"type": "string", "description": "The stream: `apex:` and a registrable domain, `host:` and a hostname, or that of an app or a slug."},
            "time": {"type": "string", "format": "date-time", "description": "When it was recorded, or fell due."},
            "datacontenttype": {"const": "application/json"},
            "dataschema": {"type": "string", "format": "uri"},
            "position": {"type": "string", "pattern": "^[0-9]+$", "description": "Extension: where it stands in the log. Only on what is in the log."},
            "streamversion": {"type": "string", "pattern": "^[0-9]+$", "description": "Extension: where it stands in its stream. Only on what is in the log."},
            "traceparent": {"type": "string", "description": "Extension: the W3C trace context of the request that led to it, when known; where Deed makes traces, that of the publication."},
            "tracestate": {"type": "string", "description": "Extension: what the caller's tracing system wants to be passed on beside it, where Deed makes traces."},
            "data": {"type": "object"}
        }
    })
}

fn bus_message(pool: &DescriptorPool, kind: &str, key: &str, summary: Option<&String>) -> Value {
    // Due work is not an event of the log.
    let schema = Event::newest_schema(kind).unwrap_or(1);
    let definition = format!("deed.events.v{schema}.{kind}");
    assert!(pool.get_message_by_name(&definition).is_some(), "no definition of {kind}");
    json!({
        "name": kind,
        "title": format!("deed.{key}.v{schema}"),
        "summary": summary.unwrap_or_else(|| panic!("{kind} has no comment")),
        "contentType": "application/cloudevents+json",
        "headers": reference("components/schemas", "Headers"),
        "payload": {
            "allOf": [
                reference("components/schemas", "Envelope"),
                {"properties": {"type": {"const": format!("deed.{key}.v{schema}")}, "data": reference("components/schemas", kind)}}
            ]
        },
        "x-routing-key": key,
        "x-protobuf-message": definition
    })
}

fn channels() -> Value {
    let every: Map<String, Value> = kinds()
        .iter()
        .map(|(kind, _)| ((*kind).to_owned(), reference("components/messages", kind)))
        .collect();
    let work: Map<String, Value> =
        WORK.iter().map(|kind| ((*kind).to_owned(), reference("components/messages", kind))).collect();
    let keys: Vec<&str> = kinds().iter().map(|(_, key)| *key).collect();
    let queue = |name: &str| json!({"amqp": {"is": "queue", "queue": {"name": name, "durable": true, "exclusive": false, "autoDelete": false}}});
    json!({
        "events": {
            "address": "{routingKey}",
            "description": "Everything that happens. Bind a queue of your own to the exchange by the keys you want to hear. Delivery is at least once, and only events of one stream come in their order.",
            "parameters": {"routingKey": {"description": "What happened.", "enum": keys}},
            "messages": every,
            "bindings": {"amqp": {"is": "routingKey", "exchange": {"name": "deed.events", "type": "topic", "durable": true, "autoDelete": false}}}
        },
        "verification": {
            "address": "deed.verification",
            "description": "Work for verifiers: a quorum queue, bound to `verification.requested` and `verification.due`. It is Deed's own: consume from a queue of yours instead.",
            "messages": work,
            "bindings": queue("deed.verification")
        },
        "verificationDead": {
            "address": "deed.verification.dead",
            "description": "Work that nobody could do, kept until an operator replays or removes it (`deed dead`).",
            "messages": work,
            "bindings": queue("deed.verification.dead")
        }
    })
}

fn document() -> Value {
    let pool = descriptors();
    // A definition in a newer package replaces the older one.
    let mut definitions: BTreeMap<String, (Value, Option<String>)> = BTreeMap::new();
    for package in PACKAGES {
        let comments = comments(&pool, package);
        let file = pool.files().find(|file| file.package_name() == package).unwrap();
        for (index, message) in file.messages().enumerate() {
            let about = comments.get(&vec![4, i32::try_from(index).unwrap()]).cloned();
            let schema = message_schema(&message, index, &comments);
            definitions.insert(message.name().to_owned(), (schema, about));
        }
    }
    let about = |kind: &str| definitions[kind].1.as_ref();
    let messages: Map<String, Value> = kinds()
        .iter()
        .map(|(kind, key)| ((*kind).to_owned(), bus_message(&pool, kind, key, about(kind))))
        .collect();
    let mut schemas = json!({
        "Envelope": envelope(),
        "Headers": {
            "type": "object",
            "properties": {"traceparent": {"type": "string", "description": "The same as the extension, for tools that read headers."}, "tracestate": {"type": "string", "description": "The same as the extension."}}
        }
    });
    for (name, (schema, _)) in &definitions {
        schemas[name] = schema.clone();
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Deed on the bus",
            "version": "1.0.0",
            "description": "What Deed publishes to RabbitMQ, and the work it hands to its own verifiers. Fields are only ever added; texts documented as \"one of\" are open lists. A breaking change gets a new number at the end of `type`; the newest of each event is described here. An event that an older version stored keeps its number: proto/deed/events has every one."
        },
        "defaultContentType": "application/cloudevents+json",
        "channels": channels(),
        "operations": {
            "publishEvents": {"action": "send", "channel": reference("channels", "events"), "summary": "The relay publishes what is in the log, and the dispatcher what falls due, with publisher confirms."},
            "doWork": {"action": "receive", "channel": reference("channels", "verification"), "summary": "Verifiers take work and acknowledge it when its outcome is in the log."},
            "buryWork": {"action": "send", "channel": reference("channels", "verificationDead"), "summary": "What no verifier can read, or what came back too often."}
        },
        "components": {"messages": messages, "schemas": schemas}
    })
}

/// Writes YAML in block style; strings are quoted as in JSON unless they are plain words.
fn yaml(value: &Value, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    let is_block = |value: &Value| {
        value.as_object().is_some_and(|o| !o.is_empty()) || value.as_array().is_some_and(|a| !a.is_empty())
    };
    match value {
        Value::Object(map) if !map.is_empty() => {
            // Sorted, because the order of a map depends on the features of serde_json.
            let sorted: BTreeMap<&String, &Value> = map.iter().collect();
            for (key, value) in sorted {
                write!(out, "{indent}{}:", scalar(&json!(key))).unwrap();
                if is_block(value) {
                    out.push('\n');
                    yaml(value, depth + 1, out);
                } else {
                    writeln!(out, " {}", scalar(value)).unwrap();
                }
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                if is_block(item) {
                    let mut block = String::new();
                    yaml(item, depth + 1, &mut block);
                    write!(out, "{indent}- {}", block.trim_start()).unwrap();
                } else {
                    writeln!(out, "{indent}- {}", scalar(item)).unwrap();
                }
            }
        }
        other => writeln!(out, "{indent}{}", scalar(other)).unwrap(),
    }
}

fn scalar(value: &Value) -> String {
    let plain = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-/+".contains(c))
            && !matches!(text, "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n")
    };
    match value {
        Value::String(text) if plain(text) => text.clone(),
        other => other.to_string(),
    }
}

#[test]
fn document_matches_model_and_definitions() {
    let path = root().join("proto/asyncapi.yaml");
    let mut now = "# Made by `make generate` of the model and of proto/deed/events.\n".to_owned();
    yaml(&document(), 0, &mut now);
    if std::env::var_os("DEED_GENERATE").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == now, "proto/asyncapi.yaml is not what it would be made as now: run `make generate`");
}

#[test]
fn every_reference_resolves() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str));
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > Event::KINDS.len() * 4);
    for reference in found {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
}

#[test]
fn each_message_has_a_routing_key_of_its_own() {
    let document = document();
    let messages = document["components"]["messages"].as_object().unwrap();
    let mut keys: Vec<&str> =
        messages.values().map(|message| message["x-routing-key"].as_str().unwrap()).collect();
    let mut expected: Vec<&str> = kinds().iter().map(|(_, key)| *key).collect();
    keys.sort_unstable();
    expected.sort_unstable();
    assert_eq!(keys, expected);
    assert!(keys.windows(2).all(|pair| pair[0] != pair[1]), "two events share a routing key");
}
