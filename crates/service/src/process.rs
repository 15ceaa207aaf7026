//! The identity and the telemetry of this process.
use deed_claims::Entropy as _;
use deed_store::OsEntropy;
use tokio::time::Instant;

use crate::config::{Settings, log_filter};
use crate::error::ServiceError;
use crate::telemetry::{self, ExportHandle, SpanCounts};

/// A unique name of this process, as the owner of leases.
pub fn owner() -> String {
    let mut bytes = [0; 4];
    // The process id is unique on one machine; in containers it is often 1, so random bytes are added.
    let _ = OsEntropy.fill(&mut bytes);
    format!("{}-{:08x}", std::process::id(), u32::from_be_bytes(bytes))
}

/// The name and the telemetry of this process.
pub struct Process {
    pub(crate) name: String,
    pub(crate) exporting: Option<ExportHandle>,
}

impl Process {
    /// Starts logging and tracing as configured.
    ///
    /// # Errors
    /// When the log filter is invalid, or logging has been started already.
    pub fn start(settings: &Settings) -> Result<Self, ServiceError> {
        let (log, name) = (&settings.config.log, owner());
        let filter =
            log_filter(&log.filter).map_err(|e| ServiceError::Setting(format!("log.filter: {e}")))?;
        let exporting = telemetry::start(log.format, filter, settings.traces.as_ref(), &name)?;
        Ok(Self { name, exporting })
    }

    /// The counters of spans; without tracing they stay at 0.
    pub(crate) fn span_counts(&self) -> Result<SpanCounts, prometheus::Error> {
        self.exporting.as_ref().map_or_else(SpanCounts::new, |exporting| Ok(exporting.counts().clone()))
    }

    /// Exports the remaining spans.
    pub(crate) async fn finish(self, deadline: Instant) {
        if let Some(exporting) = self.exporting {
            exporting.finish(deadline).await;
        }
    }
}
