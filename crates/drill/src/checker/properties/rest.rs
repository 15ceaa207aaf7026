//! What has to be at rest when nobody asks for anything any more.
use super::{Case, Checked};
use crate::checker::broker::{DEAD, VERIFICATION};
use crate::checker::evidence::Micros;

/// How the names of the service's queues begin.
const OURS: &str = "deed.";

/// How late a dispatcher at rest may be.
const LATE: Micros = 10_000_000;

pub(super) fn due_work(case: &Case<'_>) -> Checked {
    let (due, now) = (&case.evidence.views.due, case.evidence.taken_at);
    let late = due.iter().filter(|(_, row)| row.due_at.max(row.visible_at) + LATE < now);
    let findings = late.map(|((stream, claim, kind, attempt), row)| {
        let seconds = (now - row.due_at) / 1_000_000;
        format!("{stream}: {kind} {attempt} of {claim} was due {seconds} s ago")
    });
    (due.len(), findings.collect())
}

pub(super) fn queues(case: &Case<'_>) -> Checked {
    let Some(queues) = &case.evidence.queues else { return (0, vec![]) };
    // Whoever else listens has queues of their own.
    let queues: Vec<_> = queues.iter().filter(|queue| queue.name.starts_with(OURS)).collect();
    let mut findings: Vec<_> = [VERIFICATION, DEAD]
        .into_iter()
        .filter(|name| !queues.iter().any(|queue| queue.name == *name))
        .map(|name| format!("there is no queue {name}"))
        .collect();
    let full = queues.iter().filter(|queue| queue.messages > 0);
    findings.extend(full.map(|queue| format!("{} messages are in {}", queue.messages, queue.name)));
    (queues.len(), findings)
}
