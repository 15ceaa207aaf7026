//! Runs the service in this process: opens the store, starts and supervises all parts, and stops them in
//! order.
mod bus;
#[cfg(test)]
mod metrics_page;
mod parts;
mod purge;
mod service;
mod signals;
mod store;
mod tasks;

use deed_claims::Entropy as _;
use deed_store::OsEntropy;
use tokio::time::Instant;

use crate::config::Settings;
use crate::exit::{Exit, Failure};
use crate::telemetry::{self, ExportHandle};

pub(crate) use bus::broker;
pub(crate) use service::Service;
pub(crate) use signals::stop_signal;
pub(crate) use store::{Migrated, Store, migrate};

/// A unique name of this process, as the owner of leases.
pub(crate) fn owner() -> String {
    let mut bytes = [0; 4];
    // The process id is unique on one machine; in containers it is often 1, so random bytes are added.
    let _ = OsEntropy.fill(&mut bytes);
    format!("{}-{:08x}", std::process::id(), u32::from_be_bytes(bytes))
}

/// What stops the service, besides the failure of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopCondition {
    /// SIGTERM or SIGINT.
    Signal,
    /// A signal, or the end of standard input.
    StdinClosed,
}

/// Runs the service until it is stopped or a part fails.
pub(crate) async fn serve(settings: Settings, until: StopCondition) -> Result<Exit, Failure> {
    let process = Process::start(&settings)?;
    let stop = stop_signal()?;
    if until == StopCondition::StdinClosed {
        signals::stop_with_stdin(stop.clone())?;
    }
    let service = Service::start(settings, process, &stop).await?;
    service.run(stop).await
}

/// The name and the telemetry of this process.
pub(crate) struct Process {
    name: String,
    exporting: Option<ExportHandle>,
}

impl Process {
    /// Starts logging and tracing as configured.
    pub(crate) fn start(settings: &Settings) -> Result<Self, Failure> {
        let (log, name) = (&settings.config.log, owner());
        let filter =
            telemetry::filter(&log.filter.0).map_err(|e| Failure::Usage(format!("log.filter: {e}")))?;
        let exporting = telemetry::start(log.format, filter, settings.traces.as_ref(), &name)
            .map_err(|error| Failure::with_source("logging cannot start", error))?;
        Ok(Self { name, exporting })
    }

    /// Exports the remaining spans.
    async fn finish(self, deadline: Instant) {
        if let Some(exporting) = self.exporting {
            exporting.finish(deadline).await;
        }
    }
}
