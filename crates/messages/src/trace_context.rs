//! Trace context as text: the headers `traceparent` and `tracestate` of W3C Trace Context.
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

    /// The header `traceparent`.
    pub fn traceparent(&self) -> &str {
        &self.traceparent
    }

    /// The header `tracestate`, where there is one.
    pub fn tracestate(&self) -> Option<&str> {
        self.tracestate.as_deref()
    }

    /// Both headers, by name.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let state = self.tracestate.as_deref().map(|state| ("tracestate", state));
        std::iter::once(("traceparent", &*self.traceparent)).chain(state)
    }

    /// The id of the trace: 32 hexadecimal digits.
    pub fn trace_id(&self) -> &str {
        self.traceparent.get(3..35).unwrap_or_default()
    }

    /// The id of the parent span: 16 hexadecimal digits.
    pub fn span_id(&self) -> &str {
        self.traceparent.get(36..52).unwrap_or_default()
    }

    /// The sampling decision of the program that began the trace.
    pub fn is_sampled(&self) -> bool {
        let flags = self.traceparent.get(53..55).and_then(|flags| u8::from_str_radix(flags, 16).ok());
        flags.is_some_and(|flags| flags & 1 == 1)
    }
}

/// Whether this is a `tracestate` (W3C Trace Context §3.3.1) that fits into the headers of any protocol.
fn is_state(state: &str) -> bool {
    (1..=MAX_STATE).contains(&state.len())
        && state.bytes().all(|b| (b' '..=b'~').contains(&b))
        && state.split(',').map(str::trim).all(|member| member.is_empty() || is_state_member(member))
}

/// Whether this is a `key=value` of a `tracestate`.
fn is_state_member(member: &str) -> bool {
    let Some((key, value)) = member.split_once('=') else { return false };
    let is_start = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    key.bytes().next().is_some_and(is_start)
        && key.bytes().all(|b| is_start(b) || b"_-*/@".contains(&b))
        && !value.contains('=')
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
        assert_eq!(context.span_id(), "00f067aa0ba902b7");
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
