//! What was published, held against the log.
use std::collections::BTreeSet;

use super::{Case, Checked};

pub(super) fn announced(case: &Case<'_>) -> Checked {
    let Some(heard) = &case.evidence.heard else { return (0, vec![]) };
    let log = &case.evidence.log;
    let mut missing: BTreeSet<i64> = log.iter().map(|row| row.position).collect();
    let mut findings = vec![];
    for event in heard {
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
                && row.payload == event.data
        });
        if !same {
            findings.push(format!(
                "position {position} of {} was published otherwise than it is in the log",
                event.stream
            ));
        }
    }
    findings.extend(missing.iter().map(|position| format!("position {position} was never published")));
    (heard.len(), findings)
}
