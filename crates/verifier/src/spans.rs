//! The verifier's part in traces: the first look is a part of the request that asked for it, whatever comes later is a
//! trace of its own that links back.
use std::time::Duration;

use chrono::{DateTime, Utc};
use deed_bus::{Delivery, Topology};
use deed_claims::Event;
use deed_store::RecordedEvent;
use deed_trace::TraceContext;
use tracing::{Span, field};

use crate::check::{Settled, Trouble};
use crate::work::{Task, Work};

/// Begins the span of a piece of work. A message that comes again, or comes late, does not go on with its trace.
pub(crate) fn begin(delivery: &Delivery, work: &Work, system: &'static str, now: DateTime<Utc>) -> Span {
    // Of the highest level, so that no filter that lets a line through takes the claim's id from it.
    let span = tracing::error_span!(
        parent: None,
        "message.process",
        otel.kind = "consumer",
        request_id = work.metadata.request_id.as_deref(),
        claim = %work.claim_id,
        attempt = field::Empty
    );
    if let Task::Check { attempt } = work.task {
        span.record("attempt", attempt);
    }
    if let Some(cause) = &work.trace {
        let is_first = delivery.attempt() == 1 && !delivery.redelivered();
        let age = work.sent_at.map(|sent| (now - sent).to_std().unwrap_or_default());
        deed_trace::follow(&span, cause, age.filter(|_| is_first).unwrap_or(Duration::MAX));
    }
    let message = delivery.message();
    deed_trace::processed(
        &span,
        deed_trace::Message {
            system,
            destination: Topology::VERIFICATION,
            id: &message.id,
            routing_key: message.routing_key.as_str(),
            bytes: message.body.len(),
        },
    );
    span
}

/// Links the work in hand to what last happened to its claim: that is what it was asked for.
pub(crate) fn link(work: &Work, events: &[RecordedEvent]) {
    let cause = events.iter().rev().find_map(|recorded| match &recorded.event {
        Event::Ownership(event) if event.claim_id() == work.claim_id => {
            let metadata = &recorded.metadata;
            TraceContext::parse(metadata.traceparent.as_deref()?, metadata.tracestate.as_deref())
        }
        _ => None,
    });
    deed_trace::links(&Span::current(), &cause);
}

/// Tells what a look came to. That a record is missing is no failure of ours.
pub(crate) fn judged(outcome: &'static str, class: &'static str, code: &'static str) {
    let span = Span::current();
    deed_trace::attribute(&span, "deed.check.outcome", outcome);
    deed_trace::attribute(&span, "deed.check.class", class);
    deed_trace::attribute(&span, "deed.check.code", code);
}

/// Tells what became of the work.
pub(crate) fn settled(how: Settled) {
    let span = Span::current();
    deed_trace::attribute(&span, "deed.work.result", how.as_str());
    if how == Settled::Internal {
        deed_trace::failed(&span, how.as_str());
    }
}

/// Tells why the work could not be done now.
pub(crate) fn troubled(trouble: &Trouble) {
    let kind = match trouble {
        Trouble::Unavailable(_) => "unavailable",
        Trouble::Contended => "contended",
    };
    deed_trace::failed(&Span::current(), kind);
}
