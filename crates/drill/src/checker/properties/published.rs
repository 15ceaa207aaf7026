//! Properties of published events: complete and identical to the log.
use std::collections::BTreeSet;

use serde_json::Value;

use super::{ParsedEvidence, PropertyResult};

/// Whether `part` equals `whole` with fields omitted.
fn covers(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(key, value)| whole.get(key).is_some_and(|whole| covers(whole, value)))
        }
        (Value::Array(whole), Value::Array(part)) => {
            whole.len() == part.len() && whole.iter().zip(part).all(|(whole, part)| covers(whole, part))
        }
        (whole, part) => whole == part,
    }
}

pub(super) fn announced(input: &ParsedEvidence<'_>) -> PropertyResult {
    let Some(published) = &input.evidence.published else { return (0, vec![]) };
    let log = &input.evidence.log;
    let mut missing: BTreeSet<i64> = log
        .iter()
        .map(|row| row.position)
        .filter(|position| *position > input.evidence.heard_after)
        .collect();
    let mut findings = vec![];
    for event in published {
        let position = event.position;
        missing.remove(&position);
        let Ok(index) = log.binary_search_by_key(&position, |row| row.position) else {
            findings
                .push(format!("position {position} of {} was published and is not in the log", event.stream));
            continue;
        };
        let same = log.get(index).is_some_and(|row| {
            row.stream == event.stream
                && row.version.to_string() == event.version
                && (row.payload == event.data || input.evidence.thinned && covers(&row.payload, &event.data))
        });
        if !same {
            findings.push(format!(
                "position {position} of {} was published otherwise than it is in the log",
                event.stream
            ));
        }
    }
    findings.extend(missing.iter().map(|position| format!("position {position} was never published")));
    (published.len(), findings)
}
