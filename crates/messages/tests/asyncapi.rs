//! The published `AsyncAPI` document agrees with the envelope, the exchange and the queues.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use deed_messages::{CloudEvent, queues};
use serde_json::{Map, Value, json};

/// The extensions that Deed adds.
const EXTENSIONS: [&str; 4] = ["position", "streamversion", "traceparent", "tracestate"];

/// The keys directly under this path. The file is written in block style, indented by two spaces.
fn keys_under(yaml: &str, path: &[&str]) -> BTreeSet<String> {
    let mut lines = yaml.lines();
    for (depth, key) in path.iter().enumerate() {
        let wanted = format!("{}{key}:", "  ".repeat(depth));
        lines.find(|line| *line == wanted).unwrap_or_else(|| panic!("no {key}"));
    }
    let indent = "  ".repeat(path.len());
    lines
        .take_while(|line| line.starts_with(&indent))
        .filter_map(|line| line.strip_prefix(&indent)?.split_once(':'))
        .filter(|(key, _)| !key.starts_with(' '))
        .map(|(key, _)| key.to_owned())
        .collect()
}

#[test]
fn describes_all_envelope_attributes_and_no_others() {
    let event = CloudEvent {
        id: "evt_1".to_owned(),
        source: "/deed".to_owned(),
        r#type: "deed.domain.verified.v1".to_owned(),
        subject: Some("apex:acme.com".to_owned()),
        time: Some("2026-01-01T00:00:00Z".parse().unwrap()),
        datacontenttype: Some(CloudEvent::JSON.to_owned()),
        dataschema: Some("https://deed.test/schema".to_owned()),
        data: json!({"attempt": 1}),
        extensions: EXTENSIONS
            .map(|name| (name.to_owned(), Value::from("1")))
            .into_iter()
            .collect::<BTreeMap<_, _>>(),
    };
    let written: Map<String, Value> = serde_json::from_slice(&event.to_json().unwrap()).unwrap();
    let written: BTreeSet<String> = written.into_iter().map(|(key, _)| key).collect();
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../proto/asyncapi.yaml");
    let yaml = std::fs::read_to_string(path).unwrap();
    assert_eq!(keys_under(&yaml, &["components", "schemas", "Envelope", "properties"]), written);
    assert!(yaml.contains(&format!("\ndefaultContentType: {}\n", CloudEvent::CONTENT_TYPE)));
}

#[test]
fn describes_the_exchange_and_the_queues() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../proto/asyncapi.yaml");
    let yaml = std::fs::read_to_string(path).unwrap();
    let [(queue, dead_letter_queue, keys)] = queues::ALL;
    for name in [queues::EXCHANGE, queue, dead_letter_queue] {
        assert!(yaml.contains(&format!("          name: {name}\n")), "{name}");
    }
    for key in keys {
        assert!(yaml.contains(&format!("x-routing-key: {key}\n")), "{key}");
    }
}
