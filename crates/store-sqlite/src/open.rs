//! Opening the file: what may be wrong with it, its schema, and the handle that everything else hangs on.
use std::path::{Path, PathBuf};
use std::{fmt, io, sync::Arc, time::Duration};

use deed_store::{
    AppendBackend, AppendMetrics, Appends, Connections, Gatherer, GroupCommitLimits, Position, Unavailable,
};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePool, SqlitePoolOptions};
use sqlx::{ConnectOptions, Connection};
use tokio::{sync::watch, time::Instant};

use crate::batch::{Answer, Op};
use crate::columns::Reading;
use crate::streams::{Asked, Found, StreamReader};
use crate::writer::Writer;

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/sqlite");

/// How long SQLite waits for another process that writes.
const BUSY: Duration = Duration::from_secs(5);
/// How long a read waits for a free connection, and closing for the reads that are under way.
const READER: Duration = Duration::from_secs(10);
/// Pause between two tries to turn the write-ahead log on, which SQLite does not wait for by itself.
const WAL_RETRY: Duration = Duration::from_millis(20);
/// Pages that the writing connection remembers, in KiB when negative: streams are spread all over their index.
const CACHE: &str = "-32768";
/// Pages in the write-ahead log after which they are copied to the file: the more there are, the more of them are
/// the same page.
const CHECKPOINT: &str = "4000";
/// `SQLITE_BUSY`: another connection has the lock.
const BUSY_CODE: u32 = 5;
/// What the header of our files says: "Deed".
const APPLICATION_ID: i64 = 0x4465_6564;

/// Where the store is and how it is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteConfig {
    /// The file; `-wal` and `-shm` files appear beside it.
    pub path: PathBuf,
    /// Connections for reading.
    pub read_connections: u32,
    /// Whether a missing file is made.
    pub create: bool,
}

impl SqliteConfig {
    /// Four read connections; a missing file is made.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), read_connections: 4, create: true }
    }
}

/// Why the file was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file's folder is not there.
    #[error("the folder {} does not exist", .0.display())]
    FolderMissing(PathBuf),
    /// The file is not there and is not to be made.
    #[error("there is no database at {}", .0.display())]
    Missing(PathBuf),
    /// The file or its folder cannot be written.
    #[error("{} cannot be written", .path.display())]
    NotWritable {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: sqlx::Error,
    },
    /// The file is something else.
    #[error("{} is not an SQLite database", .0.display())]
    NotADatabase(PathBuf),
    /// The file is a database of another program.
    #[error("{} is a database of another program", .0.display())]
    Foreign(PathBuf),
    /// A newer version of this program has made or changed the schema.
    #[error("{} has schema {found}, this version knows {known}: use a newer version of deed", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The newest migration in the file.
        found: i64,
        /// The newest migration known.
        known: i64,
    },
    /// The schema was made by a migration that has been edited since.
    #[error("migration {version} of {} is not the one this version has", .path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// The migration.
        version: i64,
    },
    /// Another process kept the file locked.
    #[error("{} is locked by another process", .path.display())]
    Locked {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: sqlx::Error,
    },
    /// Anything else.
    #[error("{} cannot be opened", .path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// SQLite's result code without its refinement, which is in the higher bytes.
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

/// What every clone of a handle shares.
pub(crate) struct Database {
    pub(crate) writer: Writer,
    pub(crate) readers: SqlitePool,
    pub(crate) head: watch::Sender<Position>,
    pub(crate) told: Appends,
}

impl Database {
    /// Tells those who wait for the log to grow.
    pub(crate) fn saw(&self, position: Position) {
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
    pub(crate) database: Arc<Database>,
    pub(crate) commit: Gatherer<Op, Answer>,
    pub(crate) streams: Gatherer<Asked, Found>,
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens the file, makes it where it may and has to, and brings its schema up to date.
    ///
    /// # Errors
    /// When the file cannot be used; the error says why.
    pub async fn open(config: SqliteConfig) -> Result<Self, OpenError> {
        let path = config.path.as_path();
        check_place(&config)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(BUSY)
            .foreign_keys(true)
            .pragma("journal_size_limit", (64 << 20).to_string());
        let writing = options
            .clone()
            .row_buffer_size(512)
            .pragma("cache_size", CACHE)
            .pragma("wal_autocheckpoint", CHECKPOINT);
        let creating = writing.clone().create_if_missing(config.create);
        let mut connection = creating.connect().await.map_err(|e| OpenError::of(path, e))?;
        recognise(path, &mut connection).await?;
        write_ahead(&mut connection).await.map_err(|e| OpenError::of(path, e))?;
        migrate(path, &mut connection).await?;
        let head = sqlx::query_scalar!(r#"SELECT coalesce(max(position), 0) AS "head!: i64" FROM events"#)
            .fetch_one(&mut connection)
            .await
            .map_err(|e| OpenError::of(path, e))?;
        let head = Reading("open the store").number("position", head).map(Position);
        let head = head.map_err(|e| OpenError::Other { path: path.to_path_buf(), source: e.into() })?;
        let readers = SqlitePoolOptions::new()
            .max_connections(config.read_connections.max(1))
            .acquire_timeout(READER)
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options.clone().read_only(true).row_buffer_size(512))
            .await
            .map_err(|e| OpenError::of(path, e))?;
        let writer = Writer::new(writing, connection);
        let database =
            Arc::new(Database { writer, readers, head: watch::Sender::new(head), told: Appends::default() });
        let limits = GroupCommitLimits::default();
        let commit = Gatherer::start("write", database.clone(), limits);
        let streams = Gatherer::start("read a stream", Arc::new(StreamReader(database.clone())), limits);
        Ok(Self { database, commit, streams })
    }

    /// What the gatherer writes through, for those who measure or test one transaction alone.
    pub fn append_backend(&self) -> Arc<dyn AppendBackend> {
        self.database.clone()
    }

    /// Has appends counted from now on.
    pub fn measure(&self, metrics: AppendMetrics) {
        self.database.told.measure(metrics);
    }

    /// How many connections for reading are in use: a question that keeps no store open.
    pub fn connections(&self) -> impl Fn() -> Connections + Send + Sync + 'static {
        let database = Arc::downgrade(&self.database);
        move || {
            let Some(database) = database.upgrade() else { return Connections::default() };
            let (readers, idle) = (&database.readers, database.readers.num_idle());
            let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
            let used = count(readers.size()).saturating_sub(idle);
            Connections { used, idle, max: count(readers.options().get_max_connections()) }
        }
    }

    /// Writes what has been handed in, then lets go of the file. Whoever uses the handle afterwards is told that
    /// the store is unavailable.
    ///
    /// # Errors
    /// When SQLite could not finish its write-ahead log; nothing is lost, the next one to open does it.
    pub async fn close(&self) -> Result<(), Unavailable> {
        tokio::join!(self.commit.close(), self.streams.close());
        // Reads that take longer end by themselves; their connections close with them.
        let _ = tokio::time::timeout(READER, self.database.readers.close()).await;
        self.database.writer.close("close the store").await
    }
}

fn check_place(config: &SqliteConfig) -> Result<(), OpenError> {
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

/// Keeps hands off the databases of others.
async fn recognise(path: &Path, connection: &mut SqliteConnection) -> Result<(), OpenError> {
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

/// The mode is kept in the file; SQLite does not wait for others when it changes it, so this does.
async fn write_ahead(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let until = Instant::now() + BUSY;
    loop {
        match sqlx::query("PRAGMA journal_mode = WAL").execute(&mut *connection).await {
            Err(e) if primary_code(&e) == Some(BUSY_CODE) && Instant::now() < until => {
                tokio::time::sleep(WAL_RETRY).await;
            }
            other => return other.map(|_| ()),
        }
    }
}

/// All migrations in one transaction that locks others out from its beginning: two processes that open a new file
/// at once do not both make the schema.
async fn migrate(path: &Path, connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let mut tx = connection.begin_with("BEGIN IMMEDIATE").await.map_err(|e| OpenError::of(path, e))?;
    // `run` is the same, but its future cannot be seen to be Send for every lifetime of the connection.
    MIGRATIONS.run_direct(None, &mut *tx, false).await.map_err(|e| OpenError::of_migration(path, e))?;
    tx.commit().await.map_err(|e| OpenError::of(path, e))
}
