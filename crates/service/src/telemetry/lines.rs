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
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, format};
use tracing_subscriber::registry::LookupSpan;

use crate::config::LogFormat;

/// The prefix of fields that only the tracer reads.
const FOR_THE_TRACER: &str = "otel.";

/// A layer that writes lines of this format to standard error.
pub(super) fn layer<S>(wanted: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
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
        let more = span_fields(context);
        let end = line.trim_end().strip_suffix('}');
        match (end, more.is_empty()) {
            (Some(head), false) => {
                // Fields of the event take precedence.
                let own: Map<String, Value> = serde_json::from_str(&line).map_err(|_| fmt::Error)?;
                writer.write_str(head)?;
                for (name, value) in more.iter().filter(|(name, _)| !own.contains_key(*name)) {
                    write!(writer, ",{}:{value}", Value::String(name.clone()))?;
                }
                writer.write_str("}\n")
            }
            _ => writer.write_str(&line),
        }
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
