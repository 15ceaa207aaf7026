//! Trace context as text: the headers `traceparent` and `tracestate` of W3C Trace Context.
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The longest `tracestate` that is propagated; the standard requires no more (W3C Trace Context §3.3.1.5).
const MAX_STATE: usize = 512;

/// A trace and the parent span in it. The text is well-formed, but may come from a foreign program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    traceparent: String,
    tracestate: Option<String>,
}

impl TraceContext {
    /// Parses the header `traceparent` in the form of version 00 (W3C Trace Context §3.2). Keeps `tracestate` if it is
    /// well-formed, too.
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        let hex = |part: &str, len: usize| {
            part.len() == len && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        let mut parts = traceparent.splitn(4, '-');
        let (version, trace, parent) = (parts.next()?, parts.next()?, parts.next()?);
        let flags = parts.next()?;
        let is_valid = hex(version, 2)
            && version != "ff"
            && hex(trace, 32)
            && trace.bytes().any(|b| b != b'0')
            && hex(parent, 16)
            && parent.bytes().any(|b| b != b'0')
            && hex(flags, 2);
        is_valid.then(|| Self {
            traceparent: traceparent.to_owned(),
            tracestate: tracestate.filter(|state| is_state(state)).map(str::to_owned),
        })
    }

    /// The context of a span; `None` without a tracer.
    pub fn of(span: &Span) -> Option<Self> {
        if span.is_disabled() {
            return None;
        }
        let context = span.context();
        let span = context.span();
        let own = span.span_context();
        own.is_valid().then(|| Self {
            traceparent: format!("00-{}-{}-{:02x}", own.trace_id(), own.span_id(), own.trace_flags()),
            tracestate: Some(own.trace_state().header()).filter(|state| is_state(state)),
        })
    }

    /// The header `traceparent`.
    pub fn traceparent(&self) -> &str {
        &self.traceparent
    }

    /// The header `tracestate`, where there is one.
    pub fn tracestate(&self) -> Option<&str> {
        self.tracestate.as_deref()
    }

    /// The id of the trace: 32 hexadecimal digits.
    pub fn trace_id(&self) -> &str {
        self.traceparent.get(3..35).unwrap_or_default()
    }

    /// The sampling decision of the program that began the trace.
    pub fn is_sampled(&self) -> bool {
        self.flags().is_sampled()
    }

    fn flags(&self) -> TraceFlags {
        let flags = self.traceparent.get(53..55).and_then(|flags| u8::from_str_radix(flags, 16).ok());
        TraceFlags::new(flags.unwrap_or_default()) & TraceFlags::SAMPLED
    }

    /// The context as OpenTelemetry represents it.
    pub(crate) fn to_span_context(&self) -> SpanContext {
        let part = |from, to| self.traceparent.get(from..to).unwrap_or_default();
        SpanContext::new(
            TraceId::from_hex(part(3, 35)).unwrap_or(TraceId::INVALID),
            SpanId::from_hex(part(36, 52)).unwrap_or(SpanId::INVALID),
            self.flags(),
            true,
            self.tracestate.as_deref().and_then(|state| state.parse().ok()).unwrap_or_default(),
        )
    }
}

/// Whether this is a valid `tracestate` that fits into the headers of any protocol.
fn is_state(state: &str) -> bool {
    (1..=MAX_STATE).contains(&state.len())
        && state.bytes().all(|b| (b' '..=b'~').contains(&b))
        && state.parse::<TraceState>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn parses_valid_traceparents_only() {
        let context = TraceContext::parse(GOOD, None).unwrap();
        assert_eq!((context.traceparent(), context.tracestate()), (GOOD, None));
        assert_eq!(context.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(context.is_sampled());
        assert_eq!(context.to_span_context().span_id().to_string(), "00f067aa0ba902b7");
        assert!(!TraceContext::parse(&GOOD.replace("-01", "-02"), None).unwrap().is_sampled());
        for bad in [
            "",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-extra",
            "\u{202e}gpj",
        ] {
            assert_eq!(TraceContext::parse(bad, None), None, "{bad}");
        }
    }

    #[test]
    fn drops_an_invalid_tracestate_and_keeps_the_rest() {
        let state = |text: &str| {
            let context = TraceContext::parse(GOOD, Some(text)).unwrap();
            context.tracestate().map(str::to_owned)
        };
        assert_eq!(state("congo=t61rcWkgMzE,rojo=00f0").as_deref(), Some("congo=t61rcWkgMzE,rojo=00f0"));
        for bad in ["", "nothing", "a=\u{1b}[31m", "ü=1", &format!("a={}", "b".repeat(512))] {
            assert_eq!(state(bad), None, "{bad:?}");
        }
    }
}
