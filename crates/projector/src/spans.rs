//! The projector's part in traces: what it does is done for many at once, so it begins traces of its own, which link to
//! those that wrote the events.
use deed_store::{RecordedEvent, SubscriberError};
use deed_trace::TraceContext;
use tracing::{Span, debug_span};

/// The span of one batch.
pub(crate) fn batch(events: &[RecordedEvent]) -> Span {
    let span = debug_span!(parent: None, "batch.fold", events = events.len());
    if !span.is_disabled() {
        let causes: Vec<_> = events.iter().filter_map(context).collect();
        deed_trace::links(&span, &causes);
    }
    span
}

/// The span of a rebuild, which folds what years have written: it links to nothing.
pub(crate) fn rebuild() -> Span {
    debug_span!(parent: None, "models.rebuild")
}

/// Tells how the work of a span ended.
pub(crate) fn end(span: &Span, done: &Result<(), SubscriberError>) {
    match done {
        Ok(()) => {}
        Err(SubscriberError::Lost) => deed_trace::failed(span, "lost"),
        Err(SubscriberError::Retry(_)) => deed_trace::failed(span, "retry"),
    }
}

fn context(recorded: &RecordedEvent) -> Option<TraceContext> {
    let metadata = &recorded.metadata;
    TraceContext::parse(metadata.traceparent.as_deref()?, metadata.tracestate.as_deref())
}
