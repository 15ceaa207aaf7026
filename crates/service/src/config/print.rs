//! Prints a configuration: as TOML and as JSON.
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::fault::Origin;
use super::source::Sources;
use super::view::KeyView;

/// The sample file: every key with its default and a description.
pub const SAMPLE: &str = include_str!("../../sample.toml");

/// The keys as TOML; values that are not defaults have their origin in a comment.
pub(crate) fn as_toml(keys: &[KeyView], sources: &Sources) -> String {
    let (mut out, mut section) = (String::new(), "");
    for key in keys {
        if key.section != section {
            section = key.section;
            let gap = if out.is_empty() { "" } else { "\n" };
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{gap}{}\n[{section}]", about(section));
        }
        out.push_str(&assignment(key));
        match sources.origin(&key.path()) {
            Origin::Default => out.push('\n'),
            origin => drop(writeln!(out, "  # {origin}")),
        }
    }
    out
}

/// The keys as JSON: `{"section": {"key": {"value", "origin"}}}`.
pub(crate) fn as_json(keys: &[KeyView], sources: &Sources) -> Value {
    let mut top = Map::new();
    for key in keys {
        let entry = json!({ "value": key.value, "origin": sources.origin(&key.path()) });
        let section = top.entry(key.section).or_insert_with(|| json!({}));
        if let Value::Object(section) = section {
            section.insert(key.key.to_owned(), entry);
        }
    }
    Value::Object(top)
}

/// The description of a section, from the sample.
fn about(section: &str) -> &'static str {
    let (head, _) = SAMPLE.split_once(&format!("\n[{section}]\n")).unwrap_or_default();
    head.rsplit_once("\n\n").map_or(head, |(_, about)| about)
}

/// The line of a key in TOML.
pub(crate) fn assignment(key: &KeyView) -> String {
    match &key.value {
        Some(value) => format!("{} = {value}", key.key),
        None => format!("# {} =", key.key),
    }
}
