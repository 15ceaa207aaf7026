//! Connecting to the database: its errors, and the handle [`PostgresStore`].
use std::{fmt, sync::Arc, time::Duration};

use deed_store::rows::StreamEvents;
use deed_store::{
    AppendMetrics, Batcher, Connections, EncodedAppend, Instrumented, MetricsSlot, Position, StreamRead,
    Unavailable,
};
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::sync::watch;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use crate::append::AppendResult;
use crate::columns::Decoder;
use crate::config::{self, PostgresConfig};
use crate::listener::Listener;
use crate::pool::{Pool, PoolLimits};
use crate::requests::{RequestOp, RequestReply, RequestWriter};
use crate::schema;
use crate::session::SessionSettings;
use crate::stream_reader::StreamReader;

/// How long `close` waits for the listener.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a database was not opened or not migrated. `location` is host, port and database.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address is not valid.
    #[error("the address of the database is wrong: {0}")]
    Url(String),
    /// The server does not answer, does not answer yet, or is a standby; a retry may help.
    #[error("the database {location} does not answer")]
    Unavailable {
        /// The database.
        location: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server rejects the user, the password or the database, or the user lacks a right.
    #[error("the database {location} refuses this user")]
    Refused {
        /// The database.
        location: String,
        /// The error of the server.
        #[source]
        source: sqlx::Error,
    },
    /// The server is too old.
    #[error("the server of {location} is PostgreSQL {version}: version 14 or newer is needed")]
    TooOld {
        /// The database.
        location: String,
        /// Its major version.
        version: i32,
    },
    /// The encoding of the database is not UTF-8.
    #[error("the database {location} has the encoding {encoding}: create it with ENCODING 'UTF8'")]
    Encoding {
        /// The database.
        location: String,
        /// Its encoding.
        encoding: String,
    },
    /// The database belongs to another program.
    #[error("the database {location} holds tables of another program")]
    Foreign {
        /// The database.
        location: String,
    },
    /// The schema is missing or older than this program.
    #[error("the database {location} has schema {found}, this version needs {known}: run `deed migrate`", found = found.unwrap_or(0))]
    Behind {
        /// The database.
        location: String,
        /// The newest migration in the database.
        found: Option<i64>,
        /// The newest migration known.
        known: i64,
    },
    /// The schema is newer and does not work with this program.
    #[error(
        "the database {location} has schema {found}, this version knows {known}: use a newer version of deed"
    )]
    Newer {
        /// The database.
        location: String,
        /// The newest migration in the database.
        found: i64,
        /// The newest migration known.
        known: i64,
    },
    /// A migration was edited after it was applied.
    #[error("migration {version} of {location} is not the one this version has")]
    Changed {
        /// The database.
        location: String,
        /// The version of the migration.
        version: i64,
    },
    /// Anything else.
    #[error("the database {location} cannot be opened")]
    Other {
        /// The database.
        location: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

#[derive(Debug, thiserror::Error)]
#[error("there was no answer within {0:?}")]
struct TimedOut(Duration);

impl OpenError {
    pub(crate) fn of(location: &str, source: sqlx::Error) -> Self {
        let location = location.to_owned();
        let code = source.as_database_error().and_then(sqlx::error::DatabaseError::code);
        let code = code.unwrap_or_default();
        // Authentication, unknown database, missing privilege.
        let refused = code.starts_with("28") || code == "3D000" || code == "42501";
        // Broken connection, out of resources, shutdown or start, standby, lock timeout.
        let unavailable = ["08", "53", "57P", "25006", "55P03", "57014"].iter().any(|c| code.starts_with(c));
        match source {
            _ if refused => Self::Refused { location, source },
            sqlx::Error::Io(_) => Self::Unavailable { location, source: source.into() },
            _ if unavailable => Self::Unavailable { location, source: source.into() },
            _ => Self::Other { location, source: source.into() },
        }
    }
}

/// Opens connections to a server, with time limits.
pub(crate) struct ServerConnector {
    pub(crate) options: PgConnectOptions,
    pub(crate) location: String,
    timeout: Duration,
}

impl ServerConnector {
    pub(crate) fn of(config: &PostgresConfig) -> Result<Self, OpenError> {
        let options = config.options()?;
        let location = config::location(&options);
        Ok(Self { options, location, timeout: config.acquire_timeout })
    }

    pub(crate) async fn connect(&self, session: SessionSettings) -> Result<PgConnection, OpenError> {
        let connect = async {
            let mut connection = self.options.connect().await?;
            session.apply(&mut connection).await?;
            Ok(connection)
        };
        self.within(self.timeout, connect).await
    }

    pub(crate) async fn within<T>(
        &self,
        limit: Duration,
        answer: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, OpenError> {
        match tokio::time::timeout(limit, answer).await {
            Ok(answer) => answer.map_err(|e| OpenError::of(&self.location, e)),
            Err(_) => Err(self.unavailable(TimedOut(limit))),
        }
    }

    pub(crate) fn unavailable(
        &self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> OpenError {
        OpenError::Unavailable { location: self.location.clone(), source: source.into() }
    }
}

/// What the clones of a handle share.
pub(crate) struct StoreInner {
    /// For appends, one batch at a time.
    pub(crate) log: Pool,
    /// For idempotent requests, one batch at a time, so that appends and requests do not wait for each other.
    pub(crate) requests: Pool,
    /// For all other calls.
    pub(crate) general: Pool,
    pub(crate) head: watch::Sender<Position>,
    pub(crate) metrics: MetricsSlot,
    /// Stops the listener when the last handle is dropped.
    stop: CancellationToken,
    _stop: DropGuard,
    tasks: TaskTracker,
}

impl StoreInner {
    /// Wakes readers that wait for the log to grow.
    pub(crate) fn advance_head(&self, position: Position) {
        advance_head(&self.head, position);
    }
}

/// Wakes readers that wait for the log to grow.
pub(crate) fn advance_head(head: &watch::Sender<Position>, position: Position) {
    head.send_if_modified(|head| {
        let grown = position > *head;
        *head = position.max(*head);
        grown
    });
}

/// The store in one PostgreSQL database. Clones share their connections.
#[derive(Clone)]
pub struct PostgresStore {
    pub(crate) inner: Arc<StoreInner>,
    pub(crate) append_batcher: Batcher<EncodedAppend, AppendResult>,
    pub(crate) request_batcher: Batcher<RequestOp, RequestReply>,
    pub(crate) stream_batcher: Batcher<StreamRead, StreamEvents>,
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").finish_non_exhaustive()
    }
}

impl PostgresStore {
    /// Connects to a database with the schema that this version needs. Needs a Tokio runtime.
    ///
    /// # Errors
    /// When the database cannot be used; the error says why. After [`OpenError::Unavailable`] a retry may help.
    pub async fn connect(config: PostgresConfig) -> Result<Self, OpenError> {
        let server = ServerConnector::of(&config)?;
        let session = SessionSettings::of(&config);
        let mut connection = server.connect(session).await?;
        schema::check(&server, &mut connection, config.statement_timeout).await?;
        let end = sqlx::query_scalar!(r#"SELECT coalesce(max(position), 0) AS "end!" FROM events"#);
        let end = server.within(config.statement_timeout, end.fetch_one(&mut connection)).await?;
        let end = Decoder("connect to the store").number("position", end).map(Position);
        let end =
            end.map_err(|e| OpenError::Other { location: server.location.clone(), source: e.into() })?;

        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let head = watch::Sender::new(end);
        let listener = Listener::new(&server.options, session, head.clone(), config.acquire_timeout);
        tasks.spawn(listener.run(stop.clone()));
        tasks.close();
        let pool = |session, connections| {
            let (acquire, statement) = (config.acquire_timeout, config.statement_timeout);
            Pool::new(server.options.clone(), session, PoolLimits { connections, acquire, statement })
        };
        // One connection listens, two write batches.
        let general = usize::try_from(config.max_connections).unwrap_or(usize::MAX).saturating_sub(3);
        let inner = Arc::new(StoreInner {
            log: pool(session.with_index_lookups(), 1),
            requests: pool(session.with_index_lookups(), 1),
            general: pool(session, general),
            head,
            metrics: MetricsSlot::default(),
            _stop: stop.clone().drop_guard(),
            stop,
            tasks,
        });
        let limits = config.batch_limits;
        let append_batcher = Batcher::start("append", inner.clone(), limits);
        let request_batcher =
            Batcher::start("write a request", Arc::new(RequestWriter(inner.clone())), limits);
        let stream_batcher = Batcher::start("read a stream", Arc::new(StreamReader(inner.clone())), limits);
        Ok(Self { inner, append_batcher, request_batcher, stream_batcher })
    }

    /// The store with metrics and spans.
    pub fn instrumented(&self) -> Instrumented<Self> {
        Instrumented::new(self.clone(), "postgresql", self.inner.metrics.clone())
    }

    /// Counts the appends to instrumented handles from now on.
    pub fn measure(&self, metrics: AppendMetrics) {
        self.inner.metrics.set(metrics);
    }

    /// Reports the connections that calls share; does not keep the store open. The connections that listen or write
    /// batches do not count, since no call waits for them.
    pub fn connections(&self) -> impl Fn() -> Connections + Send + Sync + 'static {
        let inner = Arc::downgrade(&self.inner);
        move || inner.upgrade().map(|inner| inner.general.connections()).unwrap_or_default()
    }

    /// Executes queued writes, then disconnects. Later calls fail as unavailable.
    pub async fn close(&self) {
        tokio::join!(self.append_batcher.close(), self.request_batcher.close(), self.stream_batcher.close());
        self.inner.stop.cancel();
        let StoreInner { log, requests, general, tasks, .. } = &*self.inner;
        tokio::join!(log.close(), requests.close(), general.close(), async {
            // The listener ends later, at the latest with the process.
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, tasks.wait()).await;
        });
    }
}

/// The server returned a reply that does not belong to the call.
#[derive(Debug, thiserror::Error)]
#[error("the server returned an unexpected reply")]
pub(crate) struct UnexpectedReply;

impl UnexpectedReply {
    pub(crate) fn to(operation: &'static str) -> Unavailable {
        Unavailable::new(operation, Self)
    }
}
