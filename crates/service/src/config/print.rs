//! Prints a configuration: as TOML, as JSON, and as the documented sample.
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::fault::Origin;
use super::keys::{Config, KeyView};
use super::source::Sources;

/// The configuration as TOML; values that are not defaults have their origin in a comment.
pub fn as_toml(config: &Config, sources: &Sources) -> String {
    sections(config, |key, out| {
        let line = assignment(key);
        match sources.origin(&key.path()) {
            Origin::Default => out.push_str(&line),
            // Writing to a string cannot fail.
            origin => drop(write!(out, "{line}  # {origin}")),
        }
        out.push('\n');
    })
}

/// The configuration as JSON: `{"section": {"key": {"value", "origin"}}}`.
pub fn as_json(config: &Config, sources: &Sources) -> Value {
    let mut top = Map::new();
    for key in config.show() {
        let origin = sources.origin(&key.path());
        let entry = json!({ "value": key.value, "origin": origin });
        let section = top.entry(key.section).or_insert_with(|| json!({}));
        if let Value::Object(section) = section {
            section.insert(key.key.to_owned(), entry);
        }
    }
    Value::Object(top)
}

/// The sample: every key with its default and description.
pub fn sample(config: &Config) -> String {
    let head = "# Every key of Deed's configuration, with its default. Keys that are commented out are not set.\n\
                # A variable DEED__SECTION__KEY overrides a key: DEED__SERVER__LISTEN, DEED__DNS__BUDGETS__QUERIES.\n\
                # Lists are given there with commas between. `deed config check` finds every fault of a file.\n\n";
    head.to_owned()
        + &sections(config, |key, out| {
            for line in key.doc {
                let _ = writeln!(out, "#{line}");
            }
            let _ = writeln!(out, "# Has to be {}.", key.expected);
            let _ = writeln!(out, "{}\n", assignment(key));
        })
}

fn sections(config: &Config, mut each: impl FnMut(&KeyView, &mut String)) -> String {
    let (mut out, mut section) = (String::new(), "");
    for key in config.show() {
        if key.section != section {
            if !section.is_empty() && !out.ends_with("\n\n") {
                out.push('\n');
            }
            section = key.section;
            for line in key.about {
                let _ = writeln!(out, "#{line}");
            }
            let _ = writeln!(out, "[{section}]");
        }
        each(&key, &mut out);
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

fn assignment(key: &KeyView) -> String {
    match &key.value {
        Some(value) => format!("{} = {value}", key.key),
        None => format!("# {} =", key.key),
    }
}
