//! How a span stands to what caused it, and what is only for the trace and for no log line.
use std::time::Duration;

use opentelemetry::trace::{Status, TraceContextExt};
use opentelemetry::{Context, Value};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::TraceContext;

/// How long after its cause something still belongs to the same trace. What comes later begins its own.
pub const SAME_TRACE: Duration = Duration::from_mins(1);

/// Spans that one span links to at most.
const LINKS: usize = 32;

/// Makes a span that has not been entered a child of `cause`.
pub fn parent(span: &Span, cause: &TraceContext) {
    // Refused where nothing is traced, which is as it should be.
    let _ = span.set_parent(Context::new().with_remote_span_context(cause.remote()));
}

/// Makes a span a child of its cause, or has it begin a trace with a link to the cause where that is long past; `age`
/// is how long.
pub fn follow(span: &Span, cause: &TraceContext, age: Duration) {
    if age <= SAME_TRACE { parent(span, cause) } else { links(span, [cause]) }
}

/// Links a span to what caused it, each trace once; traces that nobody keeps, and the span's own, are left out.
pub fn links<'a>(span: &Span, causes: impl IntoIterator<Item = &'a TraceContext>) {
    if span.is_disabled() {
        return;
    }
    let own = TraceContext::of(span);
    let mut seen: Vec<&str> = own.iter().map(TraceContext::trace_id).collect();
    for cause in causes {
        if seen.len() > LINKS {
            break;
        }
        if cause.is_sampled() && !seen.contains(&cause.trace_id()) {
            seen.push(cause.trace_id());
            span.add_link(cause.remote());
        }
    }
}

/// Whether anything that is told of a span is kept. Begins the span: its parent is settled then.
pub fn is_kept(span: &Span) -> bool {
    !span.is_disabled() && span.context().span().is_recording()
}

/// Tells something of a span to the trace alone.
pub fn attribute(span: &Span, key: &'static str, value: impl Into<Value>) {
    span.set_attribute(key, value);
}

/// Says that what a span stands for went wrong: `kind` is one of few, never a text with names in it.
pub fn failed(span: &Span, kind: impl Into<Value>) {
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

    fn traced(work: impl FnOnce()) -> Vec<SpanData> {
        let spans = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(spans.clone()).build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let layer = layer.with_context_activation(false);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), work);
        spans.get_finished_spans().unwrap()
    }

    #[test]
    fn what_follows_at_once_is_a_child_and_what_comes_later_has_a_link() {
        let spans = traced(|| {
            follow(&debug_span!("work.soon"), &cause(CAUSE), SAME_TRACE);
            follow(&debug_span!("work.late"), &cause(CAUSE), SAME_TRACE + Duration::from_millis(1));
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
    fn the_context_of_a_span_is_what_its_children_are_given() {
        let spans = traced(|| {
            let span = debug_span!("work.own");
            parent(&span, &cause(CAUSE));
            let own = TraceContext::of(&span).unwrap();
            assert_eq!((own.trace_id(), own.tracestate()), (&CAUSE[3..35], Some("congo=t61")));
            parent(&debug_span!("work.below"), &own);
        });
        let [below, own] = &spans[..] else { panic!("{spans:?}") };
        assert_eq!(below.parent_span_id, own.span_context.span_id());
    }

    #[test]
    fn links_are_few_and_lead_somewhere_else() {
        let spans = traced(|| {
            let span = debug_span!("work.late");
            let own = TraceContext::of(&span).unwrap();
            let others: Vec<_> =
                (1..=40).map(|number| cause(&format!("00-{number:032x}-00f067aa0ba902b7-01"))).collect();
            let unkept = cause(&CAUSE.replace("-01", "-00"));
            links(&span, [&own, &unkept, &others[0], &others[0]].into_iter().chain(&others));
        });
        let links: Vec<_> = spans[0].links.iter().map(|link| link.span_context.trace_id()).collect();
        assert_eq!(links.len(), LINKS);
        assert_eq!(links[0].to_string(), format!("{:032x}", 1));
        assert_eq!(links[1].to_string(), format!("{:032x}", 2));
    }

    #[test]
    fn without_a_tracer_nothing_has_a_context() {
        tracing::subscriber::with_default(tracing_subscriber::registry(), || {
            let span = debug_span!("work.alone");
            parent(&span, &cause(CAUSE));
            failed(&span, "timeout");
            assert_eq!((TraceContext::of(&span), is_kept(&span)), (None, false));
        });
    }
}
