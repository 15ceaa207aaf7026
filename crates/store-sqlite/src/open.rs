//! Opening the database file: its errors, its schema, and the handle [`SqliteStore`].
use std::path::{Path, PathBuf};
use std::{fmt, io, sync::Arc, time::Duration};

use deed_store::rows::StreamEvents;
use deed_store::{
    AppendMetrics, BatchLimits, Batcher, Connections, Instrumented, MetricsSlot, Position, StreamRead,
    Unavailable,
};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePool, SqlitePoolOptions};
use sqlx::{ConnectOptions, Connection};
use tokio::{sync::watch, time::Instant};

use crate::batch::{Op, OpReply};
use crate::columns::Decoder;
use crate::stream_reader::StreamReader;
use crate::writer::Writer;

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/sqlite");

/// How long SQLite waits for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a read waits for a free connection, and `close` for reads in flight.
const READER_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause between two attempts to enable the write-ahead log; SQLite does not wait for locks there.
const WAL_RETRY: Duration = Duration::from_millis(20);
/// Page cache of the writing connection, in KiB when negative: the streams of a batch are spread over their index.
const CACHE_SIZE: &str = "-32768";
/// Pages in the write-ahead log that trigger a checkpoint: in a longer log more writes are to the same page.
const WAL_AUTOCHECKPOINT: &str = "4000";
/// `SQLITE_BUSY`: another connection has the lock.
const BUSY_CODE: u32 = 5;
/// The application id in the header of the file: "Deed".
const APPLICATION_ID: i64 = 0x4465_6564;

/// Where the store is and how it is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteConfig {
    /// The file; `-wal` and `-shm` files appear beside it.
    pub path: PathBuf,
    /// Connections for reads.
    pub read_connections: u32,
    /// Whether a missing file is created.
    pub create: bool,
}

impl SqliteConfig {
    /// Four read connections; a missing file is created.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), read_connections: 4, create: true }
    }
}

/// Why the file was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder of the file does not exist.
    #[error("the folder {} does not exist", .0.display())]
    FolderMissing(PathBuf),
    /// The file does not exist and must not be created.
    #[error("there is no database at {}", .0.display())]
    Missing(PathBuf),
    /// The file or its folder cannot be written.
    #[error("{} cannot be written", .path.display())]
    NotWritable {
        /// The file.
        path: PathBuf,
        /// The error of SQLite.
        #[source]
        source: sqlx::Error,
    },
    /// The file is not an SQLite database.
    #[error("{} is not an SQLite database", .0.display())]
    NotADatabase(PathBuf),
    /// The file is a database of another program.
    #[error("{} is a database of another program", .0.display())]
    Foreign(PathBuf),
    /// A newer version of this program created or changed the schema.
    #[error("{} has schema {found}, this version knows {known}: use a newer version of deed", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The newest migration in the file.
        found: i64,
        /// The newest migration known.
        known: i64,
    },
    /// A migration was edited after it was applied.
    #[error("migration {version} of {} is not the one this version has", .path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// The version of the migration.
        version: i64,
    },
    /// Another process kept the file locked.
    #[error("{} is locked by another process", .path.display())]
    Locked {
        /// The file.
        path: PathBuf,
        /// The error of SQLite.
        #[source]
        source: sqlx::Error,
    },
    /// Anything else.
    #[error("{} cannot be opened", .path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// SQLite's primary result code; the higher bytes of a code extend it.
fn primary_code(error: &sqlx::Error) -> Option<u32> {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code)?;
    code.parse::<u32>().ok().map(|code| code & 0xff)
}

impl OpenError {
    fn of(path: &Path, source: sqlx::Error) -> Self {
        let path = path.to_path_buf();
        match primary_code(&source) {
            Some(BUSY_CODE | 6) => Self::Locked { path, source },
            Some(3 | 8 | 14) => Self::NotWritable { path, source },
            Some(26) => Self::NotADatabase(path),
            _ => Self::Other { path, source: source.into() },
        }
    }

    fn of_migration(path: &Path, error: MigrateError) -> Self {
        let known = MIGRATIONS.iter().map(|m| m.version).max().unwrap_or(0);
        match error {
            MigrateError::VersionMissing(found) => Self::Newer { path: path.to_path_buf(), found, known },
            MigrateError::VersionMismatch(version) => Self::Changed { path: path.to_path_buf(), version },
            MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => {
                Self::of(path, source)
            }
            other => Self::Other { path: path.to_path_buf(), source: other.into() },
        }
    }
}

/// What the clones of a handle share.
pub(crate) struct StoreInner {
    pub(crate) writer: Writer,
    pub(crate) readers: SqlitePool,
    pub(crate) head: watch::Sender<Position>,
    pub(crate) metrics: MetricsSlot,
}

impl StoreInner {
    /// Wakes readers that wait for the log to grow.
    pub(crate) fn advance_head(&self, position: Position) {
        self.head.send_if_modified(|head| {
            let grown = position > *head;
            *head = position.max(*head);
            grown
        });
    }
}

/// The store in one SQLite file. Clones share their connections.
#[derive(Clone)]
pub struct SqliteStore {
    pub(crate) inner: Arc<StoreInner>,
    pub(crate) write_batcher: Batcher<Op, OpReply>,
    pub(crate) stream_batcher: Batcher<StreamRead, StreamEvents>,
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens the file, creates it if it is missing and may be created, and migrates its schema.
    ///
    /// # Errors
    /// When the file cannot be used; the error says why.
    pub async fn open(config: SqliteConfig) -> Result<Self, OpenError> {
        let path = config.path.as_path();
        check_path(&config)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true)
            .pragma("journal_size_limit", (64 << 20).to_string());
        let writing = options
            .clone()
            .row_buffer_size(512)
            .pragma("cache_size", CACHE_SIZE)
            .pragma("wal_autocheckpoint", WAL_AUTOCHECKPOINT);
        let creating = writing.clone().create_if_missing(config.create);
        let mut connection = creating.connect().await.map_err(|e| OpenError::of(path, e))?;
        check_application_id(path, &mut connection).await?;
        enable_wal(&mut connection).await.map_err(|e| OpenError::of(path, e))?;
        migrate(path, &mut connection).await?;
        let head = sqlx::query_scalar!(r#"SELECT coalesce(max(position), 0) AS "head!: i64" FROM events"#)
            .fetch_one(&mut connection)
            .await
            .map_err(|e| OpenError::of(path, e))?;
        let head = Decoder("open the store").number("position", head).map(Position);
        let head = head.map_err(|e| OpenError::Other { path: path.to_path_buf(), source: e.into() })?;
        let readers = SqlitePoolOptions::new()
            .max_connections(config.read_connections.max(1))
            .acquire_timeout(READER_TIMEOUT)
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options.clone().read_only(true).row_buffer_size(512))
            .await
            .map_err(|e| OpenError::of(path, e))?;
        let writer = Writer::new(writing, connection);
        let inner = Arc::new(StoreInner {
            writer,
            readers,
            head: watch::Sender::new(head),
            metrics: MetricsSlot::default(),
        });
        let limits = BatchLimits::default();
        let write_batcher = Batcher::start("write", inner.clone(), limits);
        let stream_batcher = Batcher::start("read a stream", Arc::new(StreamReader(inner.clone())), limits);
        Ok(Self { inner, write_batcher, stream_batcher })
    }

    /// The store with metrics and spans.
    pub fn instrumented(&self) -> Instrumented<Self> {
        Instrumented::new(self.clone(), "sqlite", self.inner.metrics.clone())
    }

    /// Counts the appends to instrumented handles from now on.
    pub fn measure(&self, metrics: AppendMetrics) {
        self.inner.metrics.set(metrics);
    }

    /// Reports the connections for reads; does not keep the store open.
    pub fn connections(&self) -> impl Fn() -> Connections + Send + Sync + 'static {
        let inner = Arc::downgrade(&self.inner);
        move || {
            let Some(inner) = inner.upgrade() else { return Connections::default() };
            let (readers, idle) = (&inner.readers, inner.readers.num_idle());
            let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
            let used = count(readers.size()).saturating_sub(idle);
            Connections { used, idle, max: count(readers.options().get_max_connections()) }
        }
    }

    /// Executes queued writes, then closes the file. Later calls fail as unavailable.
    ///
    /// # Errors
    /// When SQLite could not checkpoint its write-ahead log; no data is lost, the next process that opens the file does
    /// it.
    pub async fn close(&self) -> Result<(), Unavailable> {
        tokio::join!(self.write_batcher.close(), self.stream_batcher.close());
        // Longer reads end later, and close their connections.
        let _ = tokio::time::timeout(READER_TIMEOUT, self.inner.readers.close()).await;
        self.inner.writer.close("close the store").await
    }
}

fn check_path(config: &SqliteConfig) -> Result<(), OpenError> {
    let path = &config.path;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let found = |at: &Path| match at.metadata() {
        Ok(found) => Ok(Some(found)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(OpenError::Other { path: path.clone(), source: e.into() }),
    };
    if !found(folder)?.is_some_and(|f| f.is_dir()) {
        return Err(OpenError::FolderMissing(folder.to_path_buf()));
    }
    match found(path)? {
        Some(file) if !file.is_file() => Err(OpenError::NotADatabase(path.clone())),
        None if !config.create => Err(OpenError::Missing(path.clone())),
        _ => Ok(()),
    }
}

/// Refuses databases of other programs.
async fn check_application_id(path: &Path, connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let found = sqlx::query!(
        r#"SELECT (SELECT max(application_id) FROM pragma_application_id) AS "application_id!: i64",
                  (SELECT count(*) FROM sqlite_schema) AS "objects!: i64""#
    )
    .fetch_one(connection)
    .await
    .map_err(|e| OpenError::of(path, e))?;
    if found.objects > 0 && found.application_id != APPLICATION_ID {
        return Err(OpenError::Foreign(path.to_path_buf()));
    }
    Ok(())
}

/// Sets the journal mode, which is stored in the file. SQLite does not wait for locks here, so this retries.
async fn enable_wal(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let until = Instant::now() + BUSY_TIMEOUT;
    loop {
        match sqlx::query("PRAGMA journal_mode = WAL").execute(&mut *connection).await {
            Err(e) if primary_code(&e) == Some(BUSY_CODE) && Instant::now() < until => {
                tokio::time::sleep(WAL_RETRY).await;
            }
            other => return other.map(|_| ()),
        }
    }
}

/// Runs all migrations in one transaction with a write lock, so that of two processes which open a new file only one
/// creates the schema.
async fn migrate(path: &Path, connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let mut tx = connection.begin_with("BEGIN IMMEDIATE").await.map_err(|e| OpenError::of(path, e))?;
    // `run` does the same, but the compiler cannot prove that its future is Send.
    MIGRATIONS.run_direct(None, &mut *tx, false).await.map_err(|e| OpenError::of_migration(path, e))?;
    tx.commit().await.map_err(|e| OpenError::of(path, e))
}
