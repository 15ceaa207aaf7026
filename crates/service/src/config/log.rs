//! The format and the filter of log lines.
use tracing_subscriber::filter::{EnvFilter, ParseError};

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Human-readable lines.
    Human,
}

/// Parses a filter: a level, or `target=level` pairs separated by commas.
///
/// # Errors
/// When it is neither.
pub fn log_filter(directives: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::builder().with_regex(false).parse(directives)
}
