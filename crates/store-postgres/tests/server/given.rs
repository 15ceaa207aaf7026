//! A database for each test, and connections of other programs to it.
use std::{collections::HashMap, sync::Arc, time::Duration};

use deed_claims::StreamId;
use deed_store::conformance::samples::{append, requested};
use deed_store::{Appended, EventStore, Position, RecordedEvent, Version};
use deed_store_postgres::{PostgresConfig, PostgresStore, migrate};
use deed_testkit::{Database, Postgres};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions};

/// How long a test waits before it fails.
pub const TIMEOUT: Duration = Duration::from_secs(30);

pub struct Given {
    pub server: Arc<Postgres>,
    pub database: Database,
}

impl Given {
    /// An empty database on the server that tests share.
    pub async fn empty() -> Self {
        Self::on(tokio::task::spawn_blocking(Postgres::shared).await.unwrap()).await
    }

    /// An empty database on a server that the test may break.
    pub async fn alone() -> Self {
        Self::on(Arc::new(tokio::task::spawn_blocking(Postgres::start).await.unwrap())).await
    }

    async fn on(server: Arc<Postgres>) -> Self {
        let database = server.database().await;
        Self { server, database }
    }

    /// With the current schema.
    pub async fn migrated(self) -> Self {
        migrate(&self.config()).await.unwrap();
        self
    }

    pub fn config(&self) -> PostgresConfig {
        PostgresConfig::new(self.database.url())
    }

    /// A store as another process opens it.
    pub async fn store(&self) -> PostgresStore {
        PostgresStore::connect(self.config()).await.unwrap()
    }

    /// A connection of another program.
    pub async fn raw(&self) -> PgConnection {
        self.database.url().parse::<PgConnectOptions>().unwrap().connect().await.unwrap()
    }
}

/// Runs a statement.
pub async fn run(connection: &mut PgConnection, sql: &str) -> Result<u64, sqlx::Error> {
    sqlx::query(AssertSqlSafe(sql)).execute(connection).await.map(|done| done.rows_affected())
}

/// The text that a query returns.
pub async fn text(connection: &mut PgConnection, sql: &str) -> String {
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await.unwrap()
}

/// Waits until a query returns true.
pub async fn until(connection: &mut PgConnection, what: &str, sql: &str) {
    let deadline = tokio::time::Instant::now() + TIMEOUT;
    while !sqlx::query_scalar::<_, bool>(AssertSqlSafe(sql)).fetch_one(&mut *connection).await.unwrap() {
        assert!(tokio::time::Instant::now() < deadline, "timed out waiting for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The call that an append makes, with one event for a new stream, to run in an open transaction.
pub const UNFINISHED_APPEND: &str = "SELECT deed_append(ARRAY['apex:slow.com'], ARRAY[0::bigint],
    ARRAY['apex:slow.com'], ARRAY[1::bigint], ARRAY['verification.requested'], ARRAY[1], ARRAY['{}'], ARRAY['{}'],
    ARRAY[now()], '{}', '{}', '{}', '{}')";

/// Appends an event at the current version of a stream; none when the result is unknown.
pub async fn write_next(store: &PostgresStore, stream: &StreamId) -> Option<(StreamId, Appended)> {
    let version = match store.read_stream(stream, Version(0), usize::MAX).await {
        Ok(events) => events.last().map_or(0, |event| event.version.0),
        Err(_) => return None,
    };
    let appended = store.append(append(stream, version, vec![requested(1, 1, 0)])).await;
    appended.ok().map(|appended| (stream.clone(), appended))
}

/// Checks that neither the log nor a stream has gaps.
pub fn assert_gapless(log: &[RecordedEvent]) {
    let mut versions: HashMap<&StreamId, u64> = HashMap::new();
    for (position, event) in (1..).zip(log) {
        assert_eq!(event.position, Position(position));
        let version = versions.entry(&event.stream).or_default();
        *version += 1;
        assert_eq!(event.version, Version(*version), "{} at {position}", event.stream);
    }
}

/// Checks that every acknowledged append is at its position.
pub fn assert_kept(log: &[RecordedEvent], acknowledged: &[(StreamId, Appended)]) {
    for (stream, appended) in acknowledged {
        let place = usize::try_from(appended.position.0).unwrap() - 1;
        let event = log.get(place).unwrap_or_else(|| panic!("{appended:?} of {stream} is lost"));
        assert_eq!((&event.stream, event.version), (stream, appended.versions[0]));
    }
}
