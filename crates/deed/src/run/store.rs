//! The store that the configuration names, behind its ports: a SQLite file, or a PostgreSQL server.
use std::sync::Arc;
use std::time::Duration;

use deed_store::{
    AppendMetrics, Checkpoints, Connections, DueWork, EventStore, Idempotency, Keys, ReadModels,
};
use deed_store_postgres::{PostgresConfig, PostgresStore};
use deed_store_sqlite::{SqliteConfig, SqliteStore};
use prometheus::Registry;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::config::{Database, Settings};
use crate::exit::Failure;

/// The pause before a server that did not answer at the start is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How long a server that does not answer is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

/// An open store; clones are the same.
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

/// What may be made of a store that is not as this build needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Absent {
    /// A SQLite file is made.
    Make,
    /// Whoever only looks must not make an empty one at a mistyped place.
    Refuse,
}

impl Store {
    /// Opens the store for the service. A SQLite file is made where it is not there and brought up to date; a database
    /// of a server has been made by `deed migrate`, and is waited for when it does not answer.
    pub(crate) async fn open(settings: &Settings, stop: &CancellationToken) -> Result<Self, Failure> {
        let begun = Instant::now();
        loop {
            match Self::open_as(settings, Absent::Make).await {
                Err(failure @ Failure::Unavailable { .. })
                    if matches!(settings.database, Database::Server(_)) && begun.elapsed() < PATIENCE =>
                {
                    tracing::warn!(error = &failure as &dyn std::error::Error, "waiting for the store");
                    if stop.run_until_cancelled(sleep(ASK_AGAIN)).await.is_none() {
                        return Err(failure);
                    }
                }
                done => return done,
            }
        }
    }

    /// Opens the store for a command, making a SQLite file where there is none.
    pub(crate) async fn open_or_make(settings: &Settings) -> Result<Self, Failure> {
        Self::open_as(settings, Absent::Make).await
    }

    /// Opens the store that is there.
    pub(crate) async fn open_existing(settings: &Settings) -> Result<Self, Failure> {
        Self::open_as(settings, Absent::Refuse).await
    }

    async fn open_as(settings: &Settings, absent: Absent) -> Result<Self, Failure> {
        match &settings.database {
            Database::File(path) => {
                let config = SqliteConfig { create: absent == Absent::Make, ..SqliteConfig::new(path) };
                SqliteStore::open(config).await.map(Self::of_file).map_err(unopened_file)
            }
            Database::Server(_) => {
                let config = postgres(settings);
                PostgresStore::connect(config).await.map(Self::of_server).map_err(unopened_server)
            }
        }
    }

    fn of_file(store: SqliteStore) -> Self {
        Self::of(&Arc::new(store.clone()), Backend::Sqlite(store))
    }

    fn of_server(store: PostgresStore) -> Self {
        Self::of(&Arc::new(store.clone()), Backend::Postgres(store))
    }

    fn of<S>(store: &Arc<S>, backend: Backend) -> Self
    where
        S: EventStore + Checkpoints + ReadModels + DueWork + Keys + Idempotency + 'static,
    {
        Self {
            log: store.clone(),
            checkpoints: store.clone(),
            read_models: store.clone(),
            due: store.clone(),
            keys: store.clone(),
            idempotency: store.clone(),
            backend,
        }
    }

    /// Has the connections that calls share told.
    pub(crate) fn register_connections(&self, registry: &Registry) -> prometheus::Result<()> {
        match &self.backend {
            Backend::Sqlite(store) => Connections::register(registry, store.connections()),
            Backend::Postgres(store) => Connections::register(registry, store.connections()),
        }
    }

    /// Has what this process appends told.
    pub(crate) fn register_appends(&self, registry: &Registry) -> prometheus::Result<()> {
        let metrics = AppendMetrics::register(registry)?;
        match &self.backend {
            Backend::Sqlite(store) => store.measure(metrics),
            Backend::Postgres(store) => store.measure(metrics),
        }
        Ok(())
    }

    /// Lets go of the store.
    ///
    /// # Errors
    /// When it was not closed cleanly. Nothing is lost by it: the next process to open it finishes the work.
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

fn unopened_file(error: deed_store_sqlite::OpenError) -> Failure {
    use deed_store_sqlite::OpenError;
    match error {
        OpenError::Locked { .. } => Failure::unavailable("the store is in use", error),
        OpenError::Missing(_) => Failure::NotFound(error.to_string()),
        _ => Failure::because("the store cannot be opened", error),
    }
}

fn unopened_server(error: deed_store_postgres::OpenError) -> Failure {
    use deed_store_postgres::OpenError;
    match error {
        OpenError::Unavailable { .. } => Failure::unavailable("the store does not answer", error),
        _ => Failure::because("the store cannot be opened", error),
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

/// Brings the tables up to date: says what was found and what there is now.
pub(crate) async fn migrate(settings: &Settings) -> Result<Migrated, Failure> {
    match &settings.database {
        Database::File(path) => {
            // Opening brings the tables up to date, or says why it cannot.
            Store::open_or_make(settings).await?.close().await?;
            Ok(Migrated { place: path.display().to_string(), change: None })
        }
        Database::Server(place) => {
            let done = deed_store_postgres::migrate(&postgres(settings)).await.map_err(unopened_server)?;
            Ok(Migrated { place: place.clone(), change: Some((done.from, done.to)) })
        }
    }
}

/// What became of the tables.
pub(crate) struct Migrated {
    /// The file, or the server without its password.
    pub(crate) place: String,
    /// From which version to which, where versions are told; none before the first.
    pub(crate) change: Option<(Option<i64>, i64)>,
}
