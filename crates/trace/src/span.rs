//! Parents, links, attributes and errors of spans. Attributes go to the trace only, not to log lines.
use std::time::Duration;

use deed_messages::TraceContext;
use opentelemetry::trace::{SpanContext, SpanId, Status, TraceContextExt, TraceFlags, TraceId};
use opentelemetry::{Context, Value};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The largest age of a cause that still becomes the parent of a span. Older causes are linked.
pub const MAX_PARENT_AGE: Duration = Duration::from_mins(1);

/// The largest number of links of one span.
const MAX_LINKS: usize = 32;

/// The context of a span; `None` without a tracer.
pub fn context_of(span: &Span) -> Option<TraceContext> {
    if span.is_disabled() {
        return None;
    }
    let context = span.context();
    let span = context.span();
    let own = span.span_context();
    let traceparent = format!("00-{}-{}-{:02x}", own.trace_id(), own.span_id(), own.trace_flags());
    // All zeros, as without a tracer, are no valid context.
    TraceContext::parse(&traceparent, Some(&own.trace_state().header()))
}

/// The context as OpenTelemetry represents it.
fn span_context(context: &TraceContext) -> SpanContext {
    let flags = if context.is_sampled() { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
    SpanContext::new(
        TraceId::from_hex(context.trace_id()).unwrap_or(TraceId::INVALID),
        SpanId::from_hex(context.span_id()).unwrap_or(SpanId::INVALID),
        flags,
        true,
        context.tracestate().and_then(|state| state.parse().ok()).unwrap_or_default(),
    )
}

/// Makes a span a child of `cause`. The span must not have been entered yet.
pub fn set_parent(span: &Span, cause: &TraceContext) {
    // Fails without a tracer; there is no trace to belong to then.
    let _ = span.set_parent(Context::new().with_remote_span_context(span_context(cause)));
}

/// Makes a span a child of its cause, or links it to a cause that is older than [`MAX_PARENT_AGE`].
pub fn set_parent_or_link(span: &Span, cause: &TraceContext, age: Duration) {
    if age <= MAX_PARENT_AGE { set_parent(span, cause) } else { add_links(span, [cause]) }
}

/// Links a span to its causes, each trace once. Leaves out unsampled traces and the trace of the span itself.
pub fn add_links<'a>(span: &Span, causes: impl IntoIterator<Item = &'a TraceContext>) {
    if span.is_disabled() {
        return;
    }
    let own = context_of(span);
    let mut linked: Vec<&str> = own.iter().map(TraceContext::trace_id).collect();
    for cause in causes {
        if linked.len() > MAX_LINKS {
            break;
        }
        if cause.is_sampled() && !linked.contains(&cause.trace_id()) {
            linked.push(cause.trace_id());
            span.add_link(span_context(cause));
        }
    }
}

/// Whether the span records attributes. Starts the span, so its parent can no longer be set.
pub fn is_recording(span: &Span) -> bool {
    !span.is_disabled() && span.context().span().is_recording()
}

/// Sets an attribute in the trace, but in no log line.
pub fn set_attribute(span: &Span, key: &'static str, value: impl Into<Value>) {
    span.set_attribute(key, value);
}

/// Marks the span as failed. `kind` is one of few values (`error.type`), never a text with names in it.
pub fn set_error(span: &Span, kind: impl Into<Value>) {
    span.set_attribute("error.type", kind);
    span.set_status(Status::error(""));
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
    use tracing::debug_span;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    const CAUSE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn cause(traceparent: &str) -> TraceContext {
        TraceContext::parse(traceparent, Some("congo=t61")).unwrap()
    }

    fn record_spans(work: impl FnOnce()) -> Vec<SpanData> {
        let spans = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(spans.clone()).build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let layer = layer.with_context_activation(false);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), work);
        spans.get_finished_spans().unwrap()
    }

    #[test]
    fn recent_cause_becomes_parent_and_old_one_a_link() {
        let spans = record_spans(|| {
            set_parent_or_link(&debug_span!("work.soon"), &cause(CAUSE), MAX_PARENT_AGE);
            set_parent_or_link(
                &debug_span!("work.late"),
                &cause(CAUSE),
                MAX_PARENT_AGE + Duration::from_millis(1),
            );
        });
        let [soon, late] = &spans[..] else { panic!("{spans:?}") };
        assert_eq!(soon.span_context.trace_id().to_string(), CAUSE[3..35]);
        assert_eq!(soon.parent_span_id.to_string(), CAUSE[36..52]);
        assert!(soon.parent_span_is_remote && soon.links.is_empty());
        assert_eq!(soon.span_context.trace_state().header(), "congo=t61");
        assert_ne!(late.span_context.trace_id(), soon.span_context.trace_id());
        assert_eq!(late.links[0].span_context.trace_id(), soon.span_context.trace_id());
    }

    #[test]
    fn child_span_gets_the_context_of_its_parent() {
        let spans = record_spans(|| {
            let span = debug_span!("work.own");
            set_parent(&span, &cause(CAUSE));
            let own = context_of(&span).unwrap();
            assert_eq!((own.trace_id(), own.tracestate()), (&CAUSE[3..35], Some("congo=t61")));
            set_parent(&debug_span!("work.below"), &own);
        });
        let [below, own] = &spans[..] else { panic!("{spans:?}") };
        assert_eq!(below.parent_span_id, own.span_context.span_id());
    }

    #[test]
    fn links_are_limited_and_skip_own_and_unsampled_traces() {
        let spans = record_spans(|| {
            let span = debug_span!("work.late");
            let own = context_of(&span).unwrap();
            let others: Vec<_> =
                (1..=40).map(|number| cause(&format!("00-{number:032x}-00f067aa0ba902b7-01"))).collect();
            let unsampled = cause(&CAUSE.replace("-01", "-00"));
            add_links(&span, [&own, &unsampled, &others[0], &others[0]].into_iter().chain(&others));
        });
        let links: Vec<_> = spans[0].links.iter().map(|link| link.span_context.trace_id()).collect();
        assert_eq!(links.len(), MAX_LINKS);
        assert_eq!(links[0].to_string(), format!("{:032x}", 1));
        assert_eq!(links[1].to_string(), format!("{:032x}", 2));
    }

    #[test]
    fn span_has_no_context_without_a_tracer() {
        tracing::subscriber::with_default(tracing_subscriber::registry(), || {
            let span = debug_span!("work.alone");
            set_parent(&span, &cause(CAUSE));
            set_error(&span, "timeout");
            assert_eq!((context_of(&span), is_recording(&span)), (None, false));
        });
    }
}
