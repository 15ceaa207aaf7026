//! Golden events: every stored event stays readable, and is the proto3-JSON form of the published definitions.
#![expect(clippy::unwrap_used, reason = "a golden file that cannot be read fails its test")]

use std::{collections::BTreeMap, path::PathBuf};

use deed_claims::{Event, EventError, OwnershipEvent, upcast};
use prost_reflect::{DescriptorPool, DynamicMessage};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn descriptors() -> DescriptorPool {
    let files = ["deed/events/v1/events.proto", "deed/events/v2/events.proto"];
    let set = protox::compile(files, [root().join("proto")]).unwrap();
    DescriptorPool::from_file_descriptor_set(set).unwrap()
}

fn golden() -> BTreeMap<String, String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(&path).unwrap())
        })
        .collect()
}

/// The kind of a golden file: `CheckRecorded.v1.absent` is a `CheckRecorded` of schema 1.
fn kind_of(file: &str) -> (&str, u16) {
    let mut parts = file.split('.');
    let kind = parts.next().unwrap();
    let schema = parts.next().unwrap().strip_prefix('v').unwrap().parse().unwrap();
    (kind, schema)
}

#[test]
fn golden_events_round_trip() {
    for (file, json) in golden() {
        let (kind, schema) = kind_of(&file);
        let event = Event::from_parts(kind, schema, &json).unwrap_or_else(|e| panic!("{file}: {e:?}"));
        let again: serde_json::Value = serde_json::from_str(&event.payload().unwrap()).unwrap();
        let stored: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(again, upcast(kind, schema, stored), "{file}");
    }
}

#[test]
fn every_event_kind_has_a_golden_file() {
    let files = golden();
    for (kind, _) in Event::KINDS {
        for schema in 1..=Event::newest_schema(kind).unwrap() {
            assert!(
                files.keys().any(|file| kind_of(file) == (*kind, schema)),
                "no golden {kind} of schema {schema}"
            );
        }
    }
}

#[test]
fn golden_events_decode_by_the_descriptors() {
    let pool = descriptors();
    for (file, json) in golden() {
        let (kind, schema) = kind_of(&file);
        let name = format!("deed.events.v{schema}.{kind}");
        let descriptor = pool.get_message_by_name(&name).unwrap_or_else(|| panic!("no message {name}"));
        let mut reader = serde_json::Deserializer::from_str(&json);
        let message =
            DynamicMessage::deserialize(descriptor, &mut reader).unwrap_or_else(|e| panic!("{file}: {e}"));
        reader.end().unwrap();
        assert!(message.fields().count() >= 2, "{file} decodes to nothing");
    }
}

/// Every field of every message of a package, one per line.
fn shape(pool: &DescriptorPool, package: &str) -> Vec<String> {
    let mut lines: Vec<String> = pool
        .all_messages()
        .filter(|m| m.package_name() == package)
        .flat_map(|m| {
            m.fields()
                .map(|f| {
                    format!(
                        "{} {} {} {:?} {:?}",
                        m.name(),
                        f.number(),
                        f.json_name(),
                        f.kind(),
                        f.cardinality()
                    )
                })
                .collect::<Vec<_>>()
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn shipped_fields_stay_unchanged() {
    for version in ["v1", "v2"] {
        let path = root().join(format!("proto/deed/events/{version}/shipped.txt"));
        let now = shape(&descriptors(), &format!("deed.events.{version}"));
        if std::env::var_os("DEED_GENERATE").is_some() {
            std::fs::write(&path, now.join("\n") + "\n").unwrap();
        }
        let shipped = std::fs::read_to_string(&path).unwrap_or_default();
        for line in shipped.lines() {
            assert!(now.iter().any(|n| n == line), "shipped and now gone or different: {line}");
        }
        for line in &now {
            assert!(
                shipped.lines().any(|s| s == line),
                "new and not in {version}/shipped.txt yet: {line} (run `make generate`)"
            );
        }
    }
}

#[test]
fn sentences_of_old_checks_stay_unchanged() {
    let old = &golden()["CheckRecorded.v1.diagnosed"];
    let stored: serde_json::Value = serde_json::from_str(old).unwrap();
    let event = Event::from_parts("CheckRecorded", 1, old).unwrap();
    let Event::Ownership(OwnershipEvent::CheckRecorded(check)) = event else { panic!("{event:?}") };
    let diagnosis = check.diagnosis.unwrap();
    assert_eq!(diagnosis.message(), stored["diagnosis"]["message"].as_str().unwrap());
    assert_eq!(diagnosis.fix(), stored["diagnosis"]["fix"].as_str().unwrap());
}

#[test]
fn refuses_events_of_newer_schemas() {
    let new = &golden()["CheckRecorded.v2.diagnosed"];
    for schema in [0, 3] {
        assert!(matches!(Event::from_parts("CheckRecorded", schema, new), Err(EventError::Unknown { .. })));
    }
}
