//! Logging, tracing, and metrics of the process itself.
mod export;
mod lines;
mod process;
mod tracer;

use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use crate::config::{LogFormat, Traces};
pub(crate) use export::{ExportHandle, SpanCounts};
pub(crate) use process::registry;

/// The error of starting telemetry.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TelemetryError {
    #[error("somebody else gets the log lines")]
    Taken(#[from] TryInitError),
    #[error("spans cannot be sent")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    #[error("there is no HTTP client to send spans with")]
    Client(#[from] reqwest::Error),
    #[error("what becomes of spans cannot be counted")]
    Counts(#[from] prometheus::Error),
}

/// Parses a filter: a level, or `target=level` pairs separated by commas.
pub(crate) fn filter(directives: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::builder().with_regex(false).parse(directives)
}

/// Starts logging to standard error (standard output is for results), and tracing if `traces` is set.
/// `instance` identifies this process. Tracing needs a Tokio runtime.
pub(crate) fn start(
    format: LogFormat,
    filter: EnvFilter,
    traces: Option<&Traces>,
    instance: &str,
) -> Result<Option<ExportHandle>, TelemetryError> {
    let (layer, exporting) = match traces {
        Some(traces) => {
            let (layer, exporting) = tracer::start(traces, instance)?;
            (Some(layer), Some(exporting))
        }
        // Without tracing only the spans exist that give log lines their context.
        None => (None, None),
    };
    let lines = lines::layer(format).with_filter(filter);
    tracing_subscriber::registry().with(lines).with(layer).try_init()?;
    Ok(exporting)
}
