//! A database of its own for each test, and the same as other programs see it.
use std::{collections::HashMap, sync::Arc, time::Duration};

use deed_claims::StreamId;
use deed_store::conformance::samples::{append, requested};
use deed_store::{Appended, EventStore, Position, RecordedEvent, Version};
use deed_store_postgres::{PostgresConfig, PostgresStore, migrate};
use deed_testkit::{Database, Postgres};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions};

/// Anything a test waits for happens within this time, or never.
pub const PATIENCE: Duration = Duration::from_secs(30);

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

    /// With our schema.
    pub async fn migrated(self) -> Self {
        migrate(&self.config()).await.unwrap();
        self
    }

    pub fn config(&self) -> PostgresConfig {
        PostgresConfig::new(self.database.url())
    }

    /// As another process has it.
    pub async fn store(&self) -> PostgresStore {
        PostgresStore::connect(self.config()).await.unwrap()
    }

    /// As any other program sees it.
    pub async fn raw(&self) -> PgConnection {
        self.database.url().parse::<PgConnectOptions>().unwrap().connect().await.unwrap()
    }
}

/// Runs a statement.
pub async fn run(connection: &mut PgConnection, sql: &str) -> Result<u64, sqlx::Error> {
    sqlx::query(AssertSqlSafe(sql)).execute(connection).await.map(|done| done.rows_affected())
}

/// What a query that gives one text gives.
pub async fn text(connection: &mut PgConnection, sql: &str) -> String {
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await.unwrap()
}

/// Waits until a query gives true.
pub async fn until(connection: &mut PgConnection, what: &str, sql: &str) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !sqlx::query_scalar::<_, bool>(AssertSqlSafe(sql)).fetch_one(&mut *connection).await.unwrap() {
        assert!(tokio::time::Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Calls what our own appends call, without an end of the transaction: one event in a stream that is not there.
pub const UNFINISHED_APPEND: &str = "SELECT deed_append(ARRAY['apex:slow.com'], ARRAY[0::bigint],
    ARRAY['apex:slow.com'], ARRAY[1::bigint], ARRAY['verification.requested'], ARRAY[1], ARRAY['{}'], ARRAY['{}'],
    ARRAY[now()], '{}', '{}', '{}', '{}')";

/// Writes the next event of a stream wherever it is, and tells what was acknowledged; none when nobody knows.
pub async fn write_next(store: &PostgresStore, stream: &StreamId) -> Option<(StreamId, Appended)> {
    let version = match store.read_stream(stream, Version(0)).await {
        Ok(events) => events.last().map_or(0, |event| event.version.0),
        Err(_) => return None,
    };
    let appended = store.append(append(stream, version, vec![requested(1, 1, 0)])).await;
    appended.ok().map(|appended| (stream.clone(), appended))
}

/// No hole and nothing out of order, neither in the log nor in a stream.
pub fn assert_whole(log: &[RecordedEvent]) {
    let mut versions: HashMap<&StreamId, u64> = HashMap::new();
    for (position, event) in (1..).zip(log) {
        assert_eq!(event.position, Position(position));
        let version = versions.entry(&event.stream).or_default();
        *version += 1;
        assert_eq!(event.version, Version(*version), "{} at {position}", event.stream);
    }
}

/// Everything that was acknowledged is where it was said to be.
pub fn assert_kept(log: &[RecordedEvent], acknowledged: &[(StreamId, Appended)]) {
    for (stream, appended) in acknowledged {
        let place = usize::try_from(appended.position.0).unwrap() - 1;
        let event = log.get(place).unwrap_or_else(|| panic!("{appended:?} of {stream} is lost"));
        assert_eq!((&event.stream, event.version), (stream, appended.versions[0]));
    }
}
