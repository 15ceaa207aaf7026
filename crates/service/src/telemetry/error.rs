//! The error of starting telemetry.
use tracing_subscriber::util::TryInitError;

/// Why logging or tracing cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The process has a global subscriber already.
    #[error("somebody else gets the log lines")]
    Taken(#[from] TryInitError),
    /// The exporter cannot be built.
    #[error("spans cannot be sent")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// The HTTP client of the exporter cannot be built.
    #[error("there is no HTTP client to send spans with")]
    Client(#[from] reqwest::Error),
    /// The counters of spans cannot be made.
    #[error("what becomes of spans cannot be counted")]
    Counts(#[from] prometheus::Error),
}
