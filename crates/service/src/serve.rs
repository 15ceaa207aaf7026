//! Runs the service in this process until it is stopped or a part fails.
use crate::config::Settings;
use crate::error::ServiceError;
use crate::process::Process;
use crate::service::Service;
use crate::signals::{stop_signal, stop_with_stdin};

/// What stops the service, besides the failure of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopCondition {
    /// SIGTERM or SIGINT.
    Signal,
    /// A signal, or the end of standard input.
    StdinClosed,
}

/// Runs the service until it is stopped.
///
/// # Errors
/// When it cannot start, a part fails, or work had to be aborted.
pub async fn serve(settings: Settings, until: StopCondition) -> Result<(), ServiceError> {
    let process = Process::start(&settings)?;
    let stop = stop_signal().map_err(ServiceError::Signals)?;
    if until == StopCondition::StdinClosed {
        stop_with_stdin(stop.clone()).map_err(ServiceError::Signals)?;
    }
    let service = Service::start(settings, process, &stop).await?;
    service.run(stop).await
}
