//! Why the service did not start, or did not end well.
use std::error::Error;
use std::io;
use std::net::SocketAddr;

use crate::store::StoreError;
use crate::telemetry::TelemetryError;

/// The error of starting or running the service.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// A setting that passed the checks of the configuration cannot be used all the same.
    #[error("{0}")]
    Setting(String),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A port cannot be opened.
    #[error("cannot listen on {at} (`{key}`)")]
    Listen {
        /// The configuration key of the address.
        key: &'static str,
        /// The address.
        at: SocketAddr,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Logging or tracing cannot start.
    #[error("logging cannot start")]
    Telemetry(#[from] TelemetryError),
    /// Two metrics have the same name.
    #[error("two metrics have the same name")]
    Metrics(#[from] prometheus::Error),
    /// Signals or standard input cannot be listened to.
    #[error("signals cannot be received")]
    Signals(#[source] io::Error),
    /// A part failed or panicked.
    #[error("the {task} died")]
    TaskFailed {
        /// The name of the part.
        task: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A part ended although the service was not stopping.
    #[error("the {0} ended")]
    TaskEnded(&'static str),
    /// Work in hand was dropped at the shutdown deadline, or failed during shutdown.
    #[error("not everything in hand could be finished")]
    Unfinished,
}
