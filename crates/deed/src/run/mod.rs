//! Runs the service in this process: opens the store, starts every part, supervises them, and ends them in order.
mod bus;
#[cfg(test)]
mod metrics_page;
mod parts;
mod purge;
mod service;
mod signals;
mod store;
mod tasks;

use deed_store::{Entropy as _, OsEntropy};
use tokio::time::Instant;

use crate::config::Settings;
use crate::exit::{Exit, Failure};
use crate::telemetry::{self, Exporting};

pub(crate) use bus::broker;
pub(crate) use service::Service;
pub(crate) use signals::stop_signal;
pub(crate) use store::{Migrated, Store, migrate};

/// A name for this process among those that share a store.
pub(crate) fn owner() -> String {
    let mut bytes = [0; 4];
    // The process id tells processes of one machine apart; the random part is for containers, where all have the same.
    let _ = OsEntropy.fill(&mut bytes);
    format!("{}-{:08x}", std::process::id(), u32::from_be_bytes(bytes))
}

/// What ends the service besides the death of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// A signal.
    Signalled,
    /// A signal, or the end of standard input.
    StdinEnds,
}

/// Runs the service until it is told to end or a part of it dies.
pub(crate) async fn serve(settings: Settings, until: Until) -> Result<Exit, Failure> {
    let process = Process::start(&settings)?;
    let stop = stop_signal()?;
    if until == Until::StdinEnds {
        signals::stop_with_stdin(stop.clone())?;
    }
    let service = Service::start(settings, process, &stop).await?;
    service.run(stop).await
}

/// This process among others: its name, and what it tells of itself.
pub(crate) struct Process {
    name: String,
    exporting: Option<Exporting>,
}

impl Process {
    /// Sends log lines, and traces, where the configuration says.
    pub(crate) fn start(settings: &Settings) -> Result<Self, Failure> {
        let (log, name) = (&settings.config.log, owner());
        let filter =
            telemetry::filter(&log.filter.0).map_err(|e| Failure::Usage(format!("log.filter: {e}")))?;
        let exporting = telemetry::start(log.format, filter, settings.traces.as_ref(), &name)
            .map_err(|error| Failure::because("logging cannot start", error))?;
        Ok(Self { name, exporting })
    }

    /// Sends the last spans.
    async fn finish(self, deadline: Instant) {
        if let Some(exporting) = self.exporting {
            exporting.finish(deadline).await;
        }
    }
}
