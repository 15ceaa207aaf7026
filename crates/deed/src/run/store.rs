//! Opens the configured store behind its ports: a SQLite file or a PostgreSQL server.
use std::sync::Arc;
use std::time::Duration;

use deed_store::{
    AppendMetrics, Checkpoints, Connections, DueWork, EventStore, Idempotency, Instrumented, Keys, ReadModels,
};
use deed_store_postgres::{PostgresConfig, PostgresStore};
use deed_store_sqlite::{SqliteConfig, SqliteStore};
use prometheus::Registry;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::config::{Database, Settings};
use crate::exit::Failure;

/// The pause between two attempts to connect.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// How long connecting is retried.
const CONNECT_TIMEOUT: Duration = Duration::from_mins(1);

/// An open store; clones share it.
#[derive(Clone)]
pub(crate) struct Store {
    pub(crate) log: Arc<dyn EventStore>,
    pub(crate) checkpoints: Arc<dyn Checkpoints>,
    pub(crate) read_models: Arc<dyn ReadModels>,
    pub(crate) due: Arc<dyn DueWork>,
    pub(crate) keys: Arc<dyn Keys>,
    pub(crate) idempotency: Arc<dyn Idempotency>,
    backend: Backend,
}

#[derive(Clone)]
enum Backend {
    Sqlite(SqliteStore),
    Postgres(PostgresStore),
}

/// What to do when the SQLite file does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IfMissing {
    /// Create it.
    Create,
    /// Fail: a read-only command must not create an empty file at a mistyped path.
    Refuse,
}

impl Store {
    /// Opens the store for the service. A SQLite file is created and migrated as needed. A PostgreSQL
    /// database is migrated by `deed migrate`; connecting is retried.
    pub(crate) async fn open(settings: &Settings, stop: &CancellationToken) -> Result<Self, Failure> {
        let begun = Instant::now();
        loop {
            match Self::open_as(settings, IfMissing::Create).await {
                Err(failure @ Failure::Unavailable { .. })
                    if matches!(settings.database, Database::Server(_))
                        && begun.elapsed() < CONNECT_TIMEOUT =>
                {
                    tracing::warn!(error = &failure as &dyn std::error::Error, "waiting for the store");
                    if stop.run_until_cancelled(sleep(RETRY_PAUSE)).await.is_none() {
                        return Err(failure);
                    }
                }
                done => return done,
            }
        }
    }

    /// Opens the store for a command, and creates a missing SQLite file.
    pub(crate) async fn open_or_create(settings: &Settings) -> Result<Self, Failure> {
        Self::open_as(settings, IfMissing::Create).await
    }

    /// Opens an existing store.
    pub(crate) async fn open_existing(settings: &Settings) -> Result<Self, Failure> {
        Self::open_as(settings, IfMissing::Refuse).await
    }

    async fn open_as(settings: &Settings, if_missing: IfMissing) -> Result<Self, Failure> {
        match &settings.database {
            Database::File(path) => {
                let config =
                    SqliteConfig { create: if_missing == IfMissing::Create, ..SqliteConfig::new(path) };
                SqliteStore::open(config).await.map(Self::from_sqlite).map_err(sqlite_failure)
            }
            Database::Server(_) => {
                let config = postgres(settings);
                PostgresStore::connect(config).await.map(Self::from_postgres).map_err(postgres_failure)
            }
        }
    }

    fn from_sqlite(store: SqliteStore) -> Self {
        Self::of(&Arc::new(store.clone()), &Arc::new(store.instrumented()), Backend::Sqlite(store))
    }

    fn from_postgres(store: PostgresStore) -> Self {
        Self::of(&Arc::new(store.clone()), &Arc::new(store.instrumented()), Backend::Postgres(store))
    }

    fn of<S>(store: &Arc<S>, instrumented: &Arc<Instrumented<S>>, backend: Backend) -> Self
    where
        S: EventStore + Checkpoints + ReadModels + DueWork + Keys + Idempotency + 'static,
    {
        Self {
            log: instrumented.clone(),
            checkpoints: store.clone(),
            read_models: instrumented.clone(),
            due: store.clone(),
            keys: store.clone(),
            idempotency: store.clone(),
            backend,
        }
    }

    /// Registers the metrics of the connection pool.
    pub(crate) fn register_connections(&self, registry: &Registry) -> prometheus::Result<()> {
        match &self.backend {
            Backend::Sqlite(store) => Connections::register(registry, store.connections()),
            Backend::Postgres(store) => Connections::register(registry, store.connections()),
        }
    }

    /// Registers the metrics of appends.
    pub(crate) fn register_appends(&self, registry: &Registry) -> prometheus::Result<()> {
        let metrics = AppendMetrics::register(registry)?;
        match &self.backend {
            Backend::Sqlite(store) => store.measure(metrics),
            Backend::Postgres(store) => store.measure(metrics),
        }
        Ok(())
    }

    /// Closes the store.
    ///
    /// # Errors
    /// When it was not closed cleanly. No data is lost: the next process that opens it recovers.
    pub(crate) async fn close(&self) -> Result<(), Failure> {
        match &self.backend {
            Backend::Sqlite(store) => Ok(store.close().await?),
            Backend::Postgres(store) => {
                store.close().await;
                Ok(())
            }
        }
    }
}

fn sqlite_failure(error: deed_store_sqlite::OpenError) -> Failure {
    use deed_store_sqlite::OpenError;
    match error {
        OpenError::Locked { .. } => Failure::unavailable("the store is in use", error),
        OpenError::Missing(_) => Failure::NotFound(error.to_string()),
        _ => Failure::with_source("the store cannot be opened", error),
    }
}

fn postgres_failure(error: deed_store_postgres::OpenError) -> Failure {
    use deed_store_postgres::OpenError;
    match error {
        OpenError::Unavailable { .. } => Failure::unavailable("the store does not answer", error),
        _ => Failure::with_source("the store cannot be opened", error),
    }
}

fn postgres(settings: &Settings) -> PostgresConfig {
    let store = &settings.config.store;
    let url = store.url.as_ref().map(|url| url.reveal().to_owned()).unwrap_or_default();
    PostgresConfig {
        max_connections: store.max_connections,
        acquire_timeout: store.acquire_timeout,
        statement_timeout: store.statement_timeout,
        ..PostgresConfig::new(url)
    }
}

/// Migrates the tables.
pub(crate) async fn migrate(settings: &Settings) -> Result<Migrated, Failure> {
    match &settings.database {
        Database::File(path) => {
            // Opening a SQLite file migrates it.
            Store::open_or_create(settings).await?.close().await?;
            Ok(Migrated { place: path.display().to_string(), change: None })
        }
        Database::Server(place) => {
            let done = deed_store_postgres::migrate(&postgres(settings)).await.map_err(postgres_failure)?;
            Ok(Migrated { place: place.clone(), change: Some((done.from, done.to)) })
        }
    }
}

/// The result of a migration.
pub(crate) struct Migrated {
    /// The file, or the server without credentials.
    pub(crate) place: String,
    /// Old and new version, if known; no old version when there were no tables.
    pub(crate) change: Option<(Option<i64>, i64)>,
}
