//! Runs the service in this process: opens the store, starts every part, supervises them, and ends them in order.
mod parts;
mod purge;
mod service;
mod signals;
mod tasks;

use deed_store::{Entropy as _, OsEntropy};
use deed_store_sqlite::{OpenError, SqliteConfig, SqliteStore};

use crate::config::Settings;
use crate::exit::{Exit, Failure};
use crate::telemetry;

pub(crate) use service::Service;
pub(crate) use signals::stop_signal;

/// Opens the store, makes it where it is not there, and brings its tables up to date.
pub(crate) async fn open_store(settings: &Settings) -> Result<SqliteStore, Failure> {
    open(SqliteConfig::new(&settings.database)).await
}

/// Opens the store that is there: whoever only looks must not make an empty one at a mistyped place.
pub(crate) async fn open_existing_store(settings: &Settings) -> Result<SqliteStore, Failure> {
    open(SqliteConfig { create: false, ..SqliteConfig::new(&settings.database) }).await
}

async fn open(config: SqliteConfig) -> Result<SqliteStore, Failure> {
    SqliteStore::open(config).await.map_err(|error| match error {
        OpenError::Locked { .. } => Failure::unavailable("the store is in use", error),
        OpenError::Missing(_) => Failure::NotFound(error.to_string()),
        _ => Failure::because("the store cannot be opened", error),
    })
}

/// A name for this process among those that share a store.
pub(crate) fn owner() -> String {
    let mut bytes = [0; 4];
    // The process id tells processes of one machine apart; the random part is for containers, where all have the same.
    let _ = OsEntropy.fill(&mut bytes);
    format!("{}-{:08x}", std::process::id(), u32::from_be_bytes(bytes))
}

/// Runs the service until a signal ends it or a part of it dies.
pub(crate) async fn serve(settings: Settings) -> Result<Exit, Failure> {
    start_logging(&settings)?;
    let stop = stop_signal()?;
    let service = Service::start(settings).await?;
    service.run(stop).await
}

/// Sends log lines where the configuration says.
pub(crate) fn start_logging(settings: &Settings) -> Result<(), Failure> {
    let log = &settings.config.log;
    let filter = telemetry::filter(&log.filter.0).map_err(|e| Failure::Usage(format!("log.filter: {e}")))?;
    telemetry::start(log.format, filter).map_err(|error| Failure::because("logging cannot start", error))
}
