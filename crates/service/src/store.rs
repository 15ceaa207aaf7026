//! Opens the configured store behind its ports: a SQLite file or a PostgreSQL server.
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use deed_store::{
    AppendMetrics, Checkpoints, Connections, DueWork, EventStore, Idempotency, Instrumented, Keys,
    ReadModels, Unavailable,
};
use deed_store_postgres::{PostgresConfig, PostgresStore};
use deed_store_sqlite::{SqliteConfig, SqliteStore};
use prometheus::Registry;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::config::{Database, Settings};

/// The pause between two attempts to connect.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// How long connecting is retried.
const CONNECT_TIMEOUT: Duration = Duration::from_mins(1);

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file does not exist.
    #[error(transparent)]
    Missing(deed_store_sqlite::OpenError),
    /// Another process has the file.
    #[error("the store is in use")]
    InUse(#[source] deed_store_sqlite::OpenError),
    /// The server does not answer.
    #[error("the store does not answer")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// Any other error.
    #[error("the store cannot be opened")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
}

/// An open store; clones share it.
#[derive(Clone)]
pub struct Store {
    /// The log of events.
    pub log: Arc<dyn EventStore>,
    /// Checkpoints and leases of subscriptions.
    pub checkpoints: Arc<dyn Checkpoints>,
    /// The read models.
    pub read_models: Arc<dyn ReadModels>,
    /// Due work.
    pub due: Arc<dyn DueWork>,
    /// API keys.
    pub keys: Arc<dyn Keys>,
    /// Stored responses to idempotent requests.
    pub idempotency: Arc<dyn Idempotency>,
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
    pub async fn open(settings: &Settings, stop: &CancellationToken) -> Result<Self, StoreError> {
        let begun = Instant::now();
        loop {
            match Self::open_as(settings, IfMissing::Create).await {
                Err(failure @ StoreError::Unavailable(_))
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
    pub async fn open_or_create(settings: &Settings) -> Result<Self, StoreError> {
        Self::open_as(settings, IfMissing::Create).await
    }

    /// Opens an existing store.
    pub async fn open_existing(settings: &Settings) -> Result<Self, StoreError> {
        Self::open_as(settings, IfMissing::Refuse).await
    }

    async fn open_as(settings: &Settings, if_missing: IfMissing) -> Result<Self, StoreError> {
        match &settings.database {
            Database::File(path) => {
                let config =
                    SqliteConfig { create: if_missing == IfMissing::Create, ..SqliteConfig::new(path) };
                Ok(Self::from_sqlite(SqliteStore::open(config).await?))
            }
            Database::Server(_) => Ok(Self::from_postgres(PostgresStore::connect(postgres(settings)).await?)),
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
    pub fn register_connections(&self, registry: &Registry) -> prometheus::Result<()> {
        match &self.backend {
            Backend::Sqlite(store) => Connections::register(registry, store.connections()),
            Backend::Postgres(store) => Connections::register(registry, store.connections()),
        }
    }

    /// Registers the metrics of appends.
    pub fn register_appends(&self, registry: &Registry) -> prometheus::Result<()> {
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
    pub async fn close(&self) -> Result<(), Unavailable> {
        match &self.backend {
            Backend::Sqlite(store) => Ok(store.close().await?),
            Backend::Postgres(store) => {
                store.close().await;
                Ok(())
            }
        }
    }
}

impl From<deed_store_sqlite::OpenError> for StoreError {
    fn from(error: deed_store_sqlite::OpenError) -> Self {
        use deed_store_sqlite::OpenError;
        match error {
            OpenError::Locked { .. } => Self::InUse(error),
            OpenError::Missing(_) => Self::Missing(error),
            _ => Self::Failed(error.into()),
        }
    }
}

impl From<deed_store_postgres::OpenError> for StoreError {
    fn from(error: deed_store_postgres::OpenError) -> Self {
        use deed_store_postgres::OpenError;
        match error {
            OpenError::Unavailable { .. } => Self::Unavailable(error.into()),
            _ => Self::Failed(error.into()),
        }
    }
}

fn postgres(settings: &Settings) -> PostgresConfig {
    let store = &settings.config.store;
    let url = store.url.as_ref().map(|url| url.reveal().to_owned()).unwrap_or_default();
    PostgresConfig { url, ..store.postgres.clone() }
}

/// Migrates the tables.
pub async fn migrate(settings: &Settings) -> Result<Migrated, StoreError> {
    match &settings.database {
        Database::File(path) => {
            // Opening a SQLite file migrates it.
            let store = Store::open_or_create(settings).await?;
            store.close().await.map_err(|error| StoreError::Unavailable(error.into()))?;
            Ok(Migrated { place: path.display().to_string(), change: None })
        }
        Database::Server(place) => {
            let done = deed_store_postgres::migrate(&postgres(settings)).await?;
            Ok(Migrated { place: place.clone(), change: Some((done.from, done.to)) })
        }
    }
}

/// The result of a migration.
pub struct Migrated {
    /// The file, or the server without credentials.
    pub place: String,
    /// Old and new version, if known; no old version when there were no tables.
    pub change: Option<(Option<i64>, i64)>,
}
