//! Logging, tracing, and metrics of the process itself.
mod error;
mod export;
mod lines;
mod process;
mod tracer;

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{LogFormat, Traces};
pub use error::TelemetryError;
pub(crate) use export::{ExportHandle, SpanCounts};
pub(crate) use process::registry;

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
