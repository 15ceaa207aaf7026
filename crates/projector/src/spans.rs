//! The projector's spans. A batch folds the events of many requests, so it begins a trace of its own, which links to
//! the traces that wrote the events.
use deed_messages::TraceContext;
use deed_store::{RecordedEvent, SubscriberError};
use tracing::{Span, debug_span};

/// The span of one batch.
pub(crate) fn batch(events: &[RecordedEvent]) -> Span {
    let span = debug_span!(parent: None, "batch.fold", events = events.len());
    if !span.is_disabled() {
        let causes: Vec<_> = events.iter().filter_map(context).collect();
        deed_trace::add_links(&span, &causes);
    }
    span
}

/// The span of a rebuild. It has no links: a rebuild folds the whole log.
pub(crate) fn rebuild() -> Span {
    debug_span!(parent: None, "models.rebuild")
}

/// Records on a batch's span how the batch ended.
pub(crate) fn end(span: &Span, result: &Result<(), SubscriberError>) {
    match result {
        Ok(()) => {}
        Err(SubscriberError::Lost) => deed_trace::set_error(span, "lost"),
        Err(SubscriberError::Retry(_)) => deed_trace::set_error(span, "retry"),
    }
}

fn context(recorded: &RecordedEvent) -> Option<TraceContext> {
    let metadata = &recorded.metadata;
    TraceContext::parse(metadata.traceparent.as_deref()?, metadata.tracestate.as_deref())
}
