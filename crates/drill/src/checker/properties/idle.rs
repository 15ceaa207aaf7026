//! Properties of an idle service: no overdue work, empty queues.
use super::{ParsedEvidence, PropertyResult};
use crate::checker::broker::{DEAD, VERIFICATION};
use crate::checker::evidence::Micros;

/// The prefix of the queues of the service.
const QUEUE_PREFIX: &str = "deed.";

/// The tolerated lateness of the dispatcher.
const TOLERANCE: Micros = 10_000_000;

pub(super) fn due_work(input: &ParsedEvidence<'_>) -> PropertyResult {
    let (due, now) = (&input.evidence.views.due, input.evidence.taken_at);
    let late = due.iter().filter(|(_, row)| row.due_at.max(row.visible_at) + TOLERANCE < now);
    let findings = late.map(|((stream, claim, kind, attempt), row)| {
        let seconds = (now - row.due_at) / 1_000_000;
        format!("{stream}: {kind} {attempt} of {claim} was due {seconds} s ago")
    });
    (due.len(), findings.collect())
}

pub(super) fn queues(input: &ParsedEvidence<'_>) -> PropertyResult {
    let Some(queues) = &input.evidence.queues else { return (0, vec![]) };
    // Other consumers have queues of their own.
    let queues: Vec<_> = queues.iter().filter(|queue| queue.name.starts_with(QUEUE_PREFIX)).collect();
    let mut findings: Vec<_> = [VERIFICATION, DEAD]
        .into_iter()
        .filter(|name| !queues.iter().any(|queue| queue.name == *name))
        .map(|name| format!("there is no queue {name}"))
        .collect();
    let full = queues.iter().filter(|queue| queue.messages > 0);
    findings.extend(full.map(|queue| format!("{} messages are in {}", queue.messages, queue.name)));
    (queues.len(), findings)
}
