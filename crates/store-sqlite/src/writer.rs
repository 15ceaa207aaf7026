//! The single connection for writes: all writes of this process take turns.
use std::{ffi::OsString, path::PathBuf, time::Duration};

use deed_store::Unavailable;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, Sqlite, Transaction};
use tokio::sync::{Mutex, MutexGuard};

/// How long a write waits for other writes of this process.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
/// A write-ahead log longer than this is truncated, even if that has to wait for readers.
const WAL_LIMIT: u64 = 64 << 20;
/// Writes between two checks of its length.
const WAL_CHECK_INTERVAL: u32 = 256;

/// The durability of a commit. Commits always become durable in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// It survives a power failure.
    Synced,
    /// It survives the end of the process; a power failure may undo it and later ones. For data that is derived from the
    /// log or only coordinates running processes.
    Ordered,
}

impl Durability {
    fn pragma(self) -> &'static str {
        match self {
            Self::Synced => "PRAGMA synchronous = FULL",
            Self::Ordered => "PRAGMA synchronous = NORMAL",
        }
    }

    /// The same, and the begin of a transaction.
    fn begin(self) -> &'static str {
        match self {
            Self::Synced => "PRAGMA synchronous = FULL; BEGIN IMMEDIATE",
            Self::Ordered => "PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE",
        }
    }
}

/// Lends the connection to one write at a time.
pub(crate) struct Writer {
    options: SqliteConnectOptions,
    wal: PathBuf,
    wal_limit: u64,
    state: Mutex<WriterState>,
}

struct WriterState {
    connection: Option<SqliteConnection>,
    /// The current setting of the connection; none while it is being changed.
    durability: Option<Durability>,
    writes: u32,
    closed: bool,
}

/// Exclusive use of the connection.
pub(crate) struct WriteGuard<'w> {
    state: MutexGuard<'w, WriterState>,
    durability: Durability,
    operation: &'static str,
}

#[derive(Debug, thiserror::Error)]
enum WriterUnavailable {
    #[error("other writes took too long")]
    LockTimeout,
    #[error("the store is closed")]
    Closed,
}

impl Writer {
    pub(crate) fn new(options: SqliteConnectOptions, connection: SqliteConnection) -> Self {
        let mut wal = OsString::from(options.get_filename());
        wal.push("-wal");
        let state = WriterState { connection: Some(connection), durability: None, writes: 0, closed: false };
        Self { options, wal: wal.into(), wal_limit: WAL_LIMIT, state: Mutex::new(state) }
    }

    /// Waits for the connection and makes it ready; `operation` names the write in errors.
    pub(crate) async fn lock(
        &self,
        durability: Durability,
        operation: &'static str,
    ) -> Result<WriteGuard<'_>, Unavailable> {
        let mut state = self.lock_state(operation).await?;
        if state.closed {
            return Err(Unavailable::new(operation, WriterUnavailable::Closed));
        }
        self.prepare(&mut state).await.map_err(|e| Unavailable::new(operation, e))?;
        Ok(WriteGuard { state, durability, operation })
    }

    async fn lock_state(&self, operation: &'static str) -> Result<MutexGuard<'_, WriterState>, Unavailable> {
        let state = tokio::time::timeout(LOCK_TIMEOUT, self.state.lock());
        state.await.map_err(|_| Unavailable::new(operation, WriterUnavailable::LockTimeout))
    }

    async fn prepare(&self, state: &mut WriterState) -> Result<(), sqlx::Error> {
        let mut connection = match state.connection.take() {
            Some(connection) => self.usable(connection).await?,
            None => None,
        };
        if connection.is_none() {
            state.durability = None;
            connection = Some(self.options.connect().await?);
        }
        let connection = state.connection.insert(connection.ok_or(sqlx::Error::WorkerCrashed)?);
        state.writes = state.writes.wrapping_add(1);
        if state.writes.is_multiple_of(WAL_CHECK_INTERVAL) {
            self.truncate_long_wal(connection).await?;
        }
        Ok(())
    }

    /// The connection, unless an earlier write left a transaction that cannot be ended: SQLite rolls a transaction back
    /// when the disk is full, and the driver does not notice.
    async fn usable(
        &self,
        mut connection: SqliteConnection,
    ) -> Result<Option<SqliteConnection>, sqlx::Error> {
        if !connection.is_in_transaction() {
            return Ok(Some(connection));
        }
        // A queued roll-back is done before the ping.
        if connection.ping().await.is_ok() && !connection.is_in_transaction() {
            return Ok(Some(connection));
        }
        tracing::warn!("the writing connection is replaced");
        connection.close_hard().await?;
        Ok(None)
    }

    /// Readers that always overlap prevent SQLite from restarting its write-ahead log; this waits for them.
    async fn truncate_long_wal(&self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        if std::fs::metadata(&self.wal).is_ok_and(|wal| wal.len() > self.wal_limit) {
            sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(connection).await?;
        }
        Ok(())
    }

    pub(crate) async fn close(&self, operation: &'static str) -> Result<(), Unavailable> {
        let mut state = self.lock_state(operation).await?;
        state.closed = true;
        match state.connection.take() {
            Some(connection) => connection.close().await.map_err(|e| Unavailable::new(operation, e)),
            None => Ok(()),
        }
    }
}

impl WriteGuard<'_> {
    /// The connection, for one statement that is its own transaction and returns no rows: the driver does not check the
    /// commit of a statement that returns rows.
    pub(crate) async fn autocommit(&mut self) -> Result<&mut SqliteConnection, Unavailable> {
        let (operation, durability) = (self.operation, self.durability);
        let WriterState { connection, durability: current, .. } = &mut *self.state;
        let connection = connection.as_mut().ok_or(Unavailable::new(operation, WriterUnavailable::Closed))?;
        if *current != Some(durability) {
            *current = None;
            let pragma = sqlx::query(durability.pragma()).execute(&mut *connection);
            pragma.await.map_err(|e| Unavailable::new(operation, e))?;
            *current = Some(durability);
        }
        Ok(connection)
    }

    /// Begins a transaction that has the write lock from its start, so what it reads stays valid until it ends.
    pub(crate) async fn begin(&mut self) -> Result<Transaction<'_, Sqlite>, Unavailable> {
        let (operation, durability) = (self.operation, self.durability);
        let WriterState { connection, durability: current, .. } = &mut *self.state;
        let connection = connection.as_mut().ok_or(Unavailable::new(operation, WriterUnavailable::Closed))?;
        // One call: a round trip to the driver's thread costs as much as a small statement.
        let begin = if *current == Some(durability) { "BEGIN IMMEDIATE" } else { durability.begin() };
        *current = None;
        let tx = connection.begin_with(begin).await.map_err(|e| Unavailable::new(operation, e))?;
        *current = Some(durability);
        Ok(tx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn writer(folder: &tempfile::TempDir) -> Writer {
        let options = SqliteConnectOptions::new()
            .filename(folder.path().join("deed.db"))
            .create_if_missing(true)
            .pragma("journal_mode", "WAL");
        let mut connection = options.connect().await.unwrap();
        sqlx::query("CREATE TABLE lines (line TEXT)").execute(&mut connection).await.unwrap();
        Writer::new(options, connection)
    }

    async fn write(writer: &Writer, durability: Durability) {
        let mut guard = writer.lock(durability, "test").await.unwrap();
        let mut tx = guard.begin().await.unwrap();
        sqlx::query("INSERT INTO lines VALUES ('a line')").execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn lines(writer: &Writer) -> i64 {
        let mut reader = writer.options.connect().await.unwrap();
        sqlx::query_scalar("SELECT count(*) FROM lines").fetch_one(&mut reader).await.unwrap()
    }

    #[tokio::test]
    async fn each_write_gets_its_durability() {
        let folder = tempfile::tempdir().unwrap();
        let writer = writer(&folder).await;
        for (durability, level) in [
            (Durability::Synced, 2),
            (Durability::Ordered, 1),
            (Durability::Ordered, 1),
            (Durability::Synced, 2),
        ] {
            let mut guard = writer.lock(durability, "test").await.unwrap();
            let connection = guard.autocommit().await.unwrap();
            let found =
                sqlx::query_scalar::<_, i64>("PRAGMA synchronous").fetch_one(connection).await.unwrap();
            assert_eq!(found, level, "{durability:?}");
        }
        for (durability, level) in [
            (Durability::Ordered, 1),
            (Durability::Synced, 2),
            (Durability::Synced, 2),
            (Durability::Ordered, 1),
        ] {
            let mut guard = writer.lock(durability, "test").await.unwrap();
            let mut tx = guard.begin().await.unwrap();
            let found = sqlx::query_scalar::<_, i64>("PRAGMA synchronous").fetch_one(&mut *tx).await.unwrap();
            assert_eq!(found, level, "{durability:?}, a transaction");
            tx.commit().await.unwrap();
        }
    }

    #[tokio::test]
    async fn recovers_after_sqlite_rolled_back() {
        let folder = tempfile::tempdir().unwrap();
        let writer = writer(&folder).await;
        let mut guard = writer.lock(Durability::Synced, "test").await.unwrap();
        let mut tx = guard.begin().await.unwrap();
        sqlx::query("INSERT INTO lines VALUES ('lost')").execute(&mut *tx).await.unwrap();
        sqlx::query("ROLLBACK").execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap_err();
        drop(guard);
        write(&writer, Durability::Synced).await;
        write(&writer, Durability::Ordered).await;
        assert_eq!(lines(&writer).await, 2);
    }

    #[tokio::test]
    async fn truncates_long_write_ahead_log() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(&folder).await;
        writer.wal_limit = 100_000;
        let mut longest = 0;
        for _ in 0..WAL_CHECK_INTERVAL * 2 {
            write(&writer, Durability::Ordered).await;
            longest = std::fs::metadata(&writer.wal).unwrap().len().max(longest);
        }
        assert!(longest > writer.wal_limit, "{longest}");
        let left = std::fs::metadata(&writer.wal).unwrap().len();
        assert!(left < writer.wal_limit, "{left}");
        assert_eq!(lines(&writer).await, i64::from(WAL_CHECK_INTERVAL) * 2);
    }
}
