//! The one connection that writes: everybody who writes in this process waits for it in turn.
use std::{ffi::OsString, path::PathBuf, time::Duration};

use deed_store::Unavailable;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, Sqlite, Transaction};
use tokio::sync::{Mutex, MutexGuard};

/// How long a write waits for others of this process.
const TURN: Duration = Duration::from_secs(10);
/// A write-ahead log longer than this is emptied, even if readers have to be waited for.
const WAL_LIMIT: u64 = 64 << 20;
/// How many writes pass between two looks at its length.
const WAL_LOOK: u32 = 256;

/// What a commit promises once it is answered. Commits always become durable in their order, whichever is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// It survives the loss of power.
    Synced,
    /// It survives the end of the process; the loss of power may take it and later ones back. For what is derived
    /// from the log or only coordinates running processes.
    Ordered,
}

impl Durability {
    fn pragma(self) -> &'static str {
        match self {
            Self::Synced => "PRAGMA synchronous = FULL",
            Self::Ordered => "PRAGMA synchronous = NORMAL",
        }
    }

    /// The same, and the beginning of a transaction.
    fn begin(self) -> &'static str {
        match self {
            Self::Synced => "PRAGMA synchronous = FULL; BEGIN IMMEDIATE",
            Self::Ordered => "PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE",
        }
    }
}

/// Hands the writing connection out, one write at a time.
pub(crate) struct Writer {
    options: SqliteConnectOptions,
    wal: PathBuf,
    wal_limit: u64,
    slot: Mutex<Slot>,
}

struct Slot {
    connection: Option<SqliteConnection>,
    /// None while it is being changed.
    durability: Option<Durability>,
    writes: u32,
    closed: bool,
}

/// The right to write, until it is dropped.
pub(crate) struct Turn<'w> {
    slot: MutexGuard<'w, Slot>,
    durability: Durability,
    what: &'static str,
}

#[derive(Debug, thiserror::Error)]
enum NoTurn {
    #[error("other writes took too long")]
    Deadline,
    #[error("the store is closed")]
    Closed,
}

impl Writer {
    pub(crate) fn new(options: SqliteConnectOptions, connection: SqliteConnection) -> Self {
        let mut wal = OsString::from(options.get_filename());
        wal.push("-wal");
        let slot = Slot { connection: Some(connection), durability: None, writes: 0, closed: false };
        Self { options, wal: wal.into(), wal_limit: WAL_LIMIT, slot: Mutex::new(slot) }
    }

    /// Waits for the connection and makes it ready; `what` names the write in errors.
    pub(crate) async fn turn(
        &self,
        durability: Durability,
        what: &'static str,
    ) -> Result<Turn<'_>, Unavailable> {
        let mut slot = self.slot(what).await?;
        if slot.closed {
            return Err(Unavailable::new(what, NoTurn::Closed));
        }
        self.prepare(&mut slot).await.map_err(|e| Unavailable::new(what, e))?;
        Ok(Turn { slot, durability, what })
    }

    async fn slot(&self, what: &'static str) -> Result<MutexGuard<'_, Slot>, Unavailable> {
        let slot = tokio::time::timeout(TURN, self.slot.lock());
        slot.await.map_err(|_| Unavailable::new(what, NoTurn::Deadline))
    }

    async fn prepare(&self, slot: &mut Slot) -> Result<(), sqlx::Error> {
        let mut connection = match slot.connection.take() {
            Some(connection) => self.settled(connection).await?,
            None => None,
        };
        if connection.is_none() {
            slot.durability = None;
            connection = Some(self.options.connect().await?);
        }
        let connection = slot.connection.insert(connection.ok_or(sqlx::Error::WorkerCrashed)?);
        slot.writes = slot.writes.wrapping_add(1);
        if slot.writes.is_multiple_of(WAL_LOOK) {
            self.bound_wal(connection).await?;
        }
        Ok(())
    }

    /// The connection, unless an earlier write left a transaction that cannot be ended: SQLite ends a transaction
    /// by itself when the disk is full, which the driver does not notice.
    async fn settled(
        &self,
        mut connection: SqliteConnection,
    ) -> Result<Option<SqliteConnection>, sqlx::Error> {
        if !connection.is_in_transaction() {
            return Ok(Some(connection));
        }
        // A roll-back that was only asked for is done once this is answered.
        if connection.ping().await.is_ok() && !connection.is_in_transaction() {
            return Ok(Some(connection));
        }
        tracing::warn!("the writing connection is replaced");
        connection.close_hard().await?;
        Ok(None)
    }

    /// Readers that overlap for ever keep SQLite from starting its write-ahead log over; this waits for them.
    async fn bound_wal(&self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        if std::fs::metadata(&self.wal).is_ok_and(|wal| wal.len() > self.wal_limit) {
            sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(connection).await?;
        }
        Ok(())
    }

    pub(crate) async fn close(&self, what: &'static str) -> Result<(), Unavailable> {
        let mut slot = self.slot(what).await?;
        slot.closed = true;
        match slot.connection.take() {
            Some(connection) => connection.close().await.map_err(|e| Unavailable::new(what, e)),
            None => Ok(()),
        }
    }
}

impl Turn<'_> {
    /// The connection, for one statement that is a transaction by itself and returns no rows: the driver ends a
    /// statement that returns rows without looking whether that committed.
    pub(crate) async fn alone(&mut self) -> Result<&mut SqliteConnection, Unavailable> {
        let (what, durability) = (self.what, self.durability);
        let Slot { connection, durability: current, .. } = &mut *self.slot;
        let connection = connection.as_mut().ok_or(Unavailable::new(what, NoTurn::Closed))?;
        if *current != Some(durability) {
            *current = None;
            let pragma = sqlx::query(durability.pragma()).execute(&mut *connection);
            pragma.await.map_err(|e| Unavailable::new(what, e))?;
            *current = Some(durability);
        }
        Ok(connection)
    }

    /// Begins a transaction that may write from its first statement on, so what it reads stays true until it ends.
    pub(crate) async fn begin(&mut self) -> Result<Transaction<'_, Sqlite>, Unavailable> {
        let (what, durability) = (self.what, self.durability);
        let Slot { connection, durability: current, .. } = &mut *self.slot;
        let connection = connection.as_mut().ok_or(Unavailable::new(what, NoTurn::Closed))?;
        // Together: each word with the driver's thread costs as much as a small statement.
        let begin = if *current == Some(durability) { "BEGIN IMMEDIATE" } else { durability.begin() };
        *current = None;
        let tx = connection.begin_with(begin).await.map_err(|e| Unavailable::new(what, e))?;
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
        let mut turn = writer.turn(durability, "test").await.unwrap();
        let mut tx = turn.begin().await.unwrap();
        sqlx::query("INSERT INTO lines VALUES ('a line')").execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn lines(writer: &Writer) -> i64 {
        let mut reader = writer.options.connect().await.unwrap();
        sqlx::query_scalar("SELECT count(*) FROM lines").fetch_one(&mut reader).await.unwrap()
    }

    #[tokio::test]
    async fn each_write_is_as_durable_as_it_asks_for() {
        let folder = tempfile::tempdir().unwrap();
        let writer = writer(&folder).await;
        for (durability, level) in [
            (Durability::Synced, 2),
            (Durability::Ordered, 1),
            (Durability::Ordered, 1),
            (Durability::Synced, 2),
        ] {
            let mut turn = writer.turn(durability, "test").await.unwrap();
            let connection = turn.alone().await.unwrap();
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
            let mut turn = writer.turn(durability, "test").await.unwrap();
            let mut tx = turn.begin().await.unwrap();
            let found = sqlx::query_scalar::<_, i64>("PRAGMA synchronous").fetch_one(&mut *tx).await.unwrap();
            assert_eq!(found, level, "{durability:?}, a transaction");
            tx.commit().await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_transaction_that_sqlite_ended_by_itself_does_not_stop_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let writer = writer(&folder).await;
        let mut turn = writer.turn(Durability::Synced, "test").await.unwrap();
        let mut tx = turn.begin().await.unwrap();
        sqlx::query("INSERT INTO lines VALUES ('lost')").execute(&mut *tx).await.unwrap();
        sqlx::query("ROLLBACK").execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap_err();
        drop(turn);
        write(&writer, Durability::Synced).await;
        write(&writer, Durability::Ordered).await;
        assert_eq!(lines(&writer).await, 2);
    }

    #[tokio::test]
    async fn the_write_ahead_log_does_not_grow_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(&folder).await;
        writer.wal_limit = 100_000;
        let mut longest = 0;
        for _ in 0..WAL_LOOK * 2 {
            write(&writer, Durability::Ordered).await;
            longest = std::fs::metadata(&writer.wal).unwrap().len().max(longest);
        }
        assert!(longest > writer.wal_limit, "{longest}");
        let left = std::fs::metadata(&writer.wal).unwrap().len();
        assert!(left < writer.wal_limit, "{left}");
        assert_eq!(lines(&writer).await, i64::from(WAL_LOOK) * 2);
    }
}
