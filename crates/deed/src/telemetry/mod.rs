//! Log lines, and the metrics that are about the process rather than about claims.
mod process;

use std::io;

use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::LogFormat;

pub(crate) use process::registry;

/// Reads a filter: a level, or `target=level` pairs with commas between.
pub(crate) fn filter(directives: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::builder().with_regex(false).parse(directives)
}

/// Sends what is logged from now on to standard error; standard output is for answers.
pub(crate) fn start(format: LogFormat, filter: EnvFilter) -> Result<(), TryInitError> {
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        // The span's fields are what carries the request id.
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(true).with_span_list(false).finish().try_init()
        }
        LogFormat::Human => {
            let colours = io::IsTerminal::is_terminal(&io::stderr());
            lines.with_ansi(colours).compact().finish().try_init()
        }
    }
}
