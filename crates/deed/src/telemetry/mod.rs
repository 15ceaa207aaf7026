//! Log lines, traces, and the metrics that are about the process rather than about claims.
mod export;
mod lines;
mod process;
mod tracer;

use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use crate::config::{LogFormat, Traces};
pub(crate) use export::{Counts as SpanCounts, Exporting};
pub(crate) use process::registry;

/// Why nothing can be told of what happens.
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

/// Reads a filter: a level, or `target=level` pairs with commas between.
pub(crate) fn filter(directives: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::builder().with_regex(false).parse(directives)
}

/// Sends what is logged from now on to standard error (standard output is for answers), and spans where they are wanted.
/// `instance` tells this process from others. Needs a Tokio runtime where there are any.
pub(crate) fn start(
    format: LogFormat,
    filter: EnvFilter,
    traces: Option<&Traces>,
    instance: &str,
) -> Result<Option<Exporting>, TelemetryError> {
    let (layer, exporting) = match traces {
        Some(traces) => {
            let (layer, exporting) = tracer::start(traces, instance)?;
            (Some(layer), Some(exporting))
        }
        // No span is made then but those that name what a log line is about.
        None => (None, None),
    };
    let lines = lines::layer(format).with_filter(filter);
    tracing_subscriber::registry().with(lines).with(layer).try_init()?;
    Ok(exporting)
}
