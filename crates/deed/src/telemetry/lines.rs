//! How log lines look: each says which request and which claim it is about, and which trace, however deep in it was written.
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

/// Fields that tell the tracer something and a reader nothing.
const FOR_THE_TRACER: &str = "otel.";

/// Lines of this form on standard error.
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

/// The ids of trace and span, when an event lies in a trace that is kept.
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

/// One JSON object a line. The fields of all spans around an event stand beside its own, an inner span's before an outer's.
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
        let more = around(context);
        let end = line.trim_end().strip_suffix('}');
        match (end, more.is_empty()) {
            (Some(head), false) => {
                // What the event says itself counts more.
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

/// What the spans around an event say.
fn around<S>(context: &FmtContext<'_, S, JsonFields>) -> Map<String, Value>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let mut said = Map::new();
    let Some(scope) = context.event_scope() else { return said };
    for span in scope {
        said.entry("span").or_insert_with(|| span.name().into());
        let extensions = span.extensions();
        let Some(fields) = extensions.get::<FormattedFields<JsonFields>>() else { continue };
        let fields: Map<String, Value> = serde_json::from_str(fields).unwrap_or_default();
        for (name, value) in fields {
            if !name.starts_with(FOR_THE_TRACER) {
                said.entry(name).or_insert(value);
            }
        }
    }
    if let Some((trace, span)) = trace(context) {
        said.insert("trace_id".to_owned(), trace.into());
        said.insert("span_id".to_owned(), span.into());
    }
    said
}

/// Lines for people.
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

/// Fields as people read them.
struct HumanFields;

impl<'writer> FormatFields<'writer> for HumanFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut shown = Shown(DefaultVisitor::new(writer, true));
        fields.record(&mut shown);
        shown.0.finish()
    }
}

/// Leaves out what is for the tracer.
struct Shown<'writer>(DefaultVisitor<'writer>);

impl Visit for Shown<'_> {
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
