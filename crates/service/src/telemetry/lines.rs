//! The format of log lines: each has the fields of all enclosing spans, such as the request id, and the trace
//! id.
use std::fmt;
use std::io;

use opentelemetry::trace::TraceContextExt as _;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::field::{RecordFields, VisitOutput};
use tracing_subscriber::fmt::format::{Compact, DefaultVisitor, Format, Json, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, MakeWriter, format};
use tracing_subscriber::registry::LookupSpan;

use crate::config::LogFormat;

/// The prefix of fields that only the tracer reads.
const FOR_THE_TRACER: &str = "otel.";

/// A layer that writes lines of this format to standard error.
pub(super) fn layer<S>(wanted: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    layer_with(wanted, io::stderr)
}

fn layer_with<S, W>(wanted: LogFormat, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    match wanted {
        LogFormat::Json => {
            let inner = format().json().flatten_event(true).with_current_span(false).with_span_list(false);
            Box::new(lines.with_ansi(false).fmt_fields(JsonFields::new()).event_format(JsonLines(inner)))
        }
        LogFormat::Human => {
            let colours = io::IsTerminal::is_terminal(&io::stderr());
            let inner = format().with_ansi(colours).compact();
            Box::new(lines.with_ansi(colours).fmt_fields(HumanFields).event_format(HumanLines(inner)))
        }
    }
}

/// The trace id and span id, when the event belongs to a sampled trace.
fn trace<S, N>(context: &FmtContext<'_, S, N>) -> Option<(String, String)>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    let innermost = context.parent_span()?.id();
    let found =
        tracing::dispatcher::get_default(|all| tracing_opentelemetry::get_otel_context(&innermost, all))?;
    let span = found.span();
    let own = span.span_context();
    own.is_sampled().then(|| (own.trace_id().to_string(), own.span_id().to_string()))
}

/// The fields of a JSON line besides those of the event.
const LINE_FIELDS: [&str; 3] = ["timestamp", "level", "target"];

/// JSON lines. The fields of all enclosing spans are added; those of the event and of inner spans take
/// precedence.
struct JsonLines(Format<Json>);

impl<S> FormatEvent<S, JsonFields> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        writer.write_str(line.trim_end().strip_suffix('}').ok_or(fmt::Error)?)?;
        let own = event.metadata().fields();
        for (name, value) in span_fields(context) {
            if !LINE_FIELDS.contains(&&*name) && own.field(&name).is_none() {
                write!(writer, ",{}:{value}", Value::String(name))?;
            }
        }
        writer.write_str("}\n")
    }
}

/// The fields of all enclosing spans.
fn span_fields<S>(context: &FmtContext<'_, S, JsonFields>) -> Map<String, Value>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let mut fields_of_spans = Map::new();
    let Some(scope) = context.event_scope() else { return fields_of_spans };
    for span in scope {
        fields_of_spans.entry("span").or_insert_with(|| span.name().into());
        let extensions = span.extensions();
        let Some(fields) = extensions.get::<FormattedFields<JsonFields>>() else { continue };
        let fields: Map<String, Value> = serde_json::from_str(fields).unwrap_or_default();
        for (name, value) in fields {
            if !name.starts_with(FOR_THE_TRACER) {
                fields_of_spans.entry(name).or_insert(value);
            }
        }
    }
    if let Some((trace, span)) = trace(context) {
        fields_of_spans.insert("trace_id".to_owned(), trace.into());
        fields_of_spans.insert("span_id".to_owned(), span.into());
    }
    fields_of_spans
}

/// Human-readable lines.
struct HumanLines(Format<Compact>);

impl<S> FormatEvent<S, HumanFields> for HumanLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, HumanFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some((trace, _)) = trace(context) else {
            return self.0.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        writeln!(writer, "{} trace_id={trace}", line.trim_end())
    }
}

/// Human-readable fields.
struct HumanFields;

impl<'writer> FormatFields<'writer> for HumanFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut shown = WithoutTracerFields(DefaultVisitor::new(writer, true));
        fields.record(&mut shown);
        shown.0.finish()
    }
}

/// A visitor that omits fields for the tracer.
struct WithoutTracerFields<'writer>(DefaultVisitor<'writer>);

impl Visit for WithoutTracerFields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if !field.name().starts_with(FOR_THE_TRACER) {
            self.0.record_str(field, value);
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.0.record_error(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if !field.name().starts_with(FOR_THE_TRACER) {
            self.0.record_debug(field, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::{info, info_span};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn json_line_has_the_fields_of_its_spans() {
        let written = Lines::default();
        let writer = written.clone();
        let layer = layer_with(LogFormat::Json, move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            info!(count = 1, "alone");
            let _outer =
                info_span!("outer", claim = "c-1", level = 7, attempt = 1, otel.kind = "server").entered();
            let _inner = info_span!("inner", attempt = 2, request_id = "r\"1").entered();
            info!(attempt = 3_u64, why = %"a\nb", "nested");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let shown: Vec<&str> = text.lines().map(|line| line.split_once(r#"Z","#).unwrap().1).collect();
        assert_eq!(
            shown,
            [
                r#""level":"INFO","message":"alone","count":1,"target":"deed_service::telemetry::lines::tests"}"#,
                r#""level":"INFO","message":"nested","attempt":3,"why":"a\nb","target":"deed_service::telemetry::lines::tests","claim":"c-1","request_id":"r\"1","span":"inner"}"#,
            ]
        );
    }
}
