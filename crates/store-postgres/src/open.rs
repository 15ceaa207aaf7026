//! Connecting: what may be wrong with a server or its database, and the handle that everything else hangs on.
use std::{fmt, sync::Arc, time::Duration};

use deed_store::{AppendBackend, AppendMetrics, Appends, Connections, Gatherer, Position, Unavailable};
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::sync::watch;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use crate::append::{AppendAnswer, Prepared};
use crate::columns::Reading;
use crate::config::{self, PostgresConfig};
use crate::listener::Listener;
use crate::pool::{Limits, Pool};
use crate::requests::{RequestAnswer, RequestOp, RequestWriter};
use crate::schema;
use crate::session::Session;
use crate::streams::{Asked, Found, StreamReader};

/// How long closing waits for what listens.
const FAREWELL: Duration = Duration::from_secs(2);

/// Why a database was not opened or not migrated. Places are host, port and database.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address cannot be understood.
    #[error("the address of the database is wrong: {0}")]
    Url(String),
    /// The server does not answer, does not answer yet, or is a standby: trying again may help.
    #[error("the database {place} does not answer")]
    Unavailable {
        /// Where.
        place: String,
        /// What happened.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server knows neither the user, the password nor the database, or does not let the user do this.
    #[error("the database {place} refuses this user")]
    Refused {
        /// Where.
        place: String,
        /// What the server said.
        #[source]
        source: sqlx::Error,
    },
    /// The server is too old.
    #[error("the server of {place} is PostgreSQL {version}: version 14 or newer is needed")]
    TooOld {
        /// Where.
        place: String,
        /// Its major version.
        version: i32,
    },
    /// The database does not keep text as UTF-8.
    #[error("the database {place} has the encoding {encoding}: create it with ENCODING 'UTF8'")]
    Encoding {
        /// Where.
        place: String,
        /// Its encoding.
        encoding: String,
    },
    /// The database belongs to another program.
    #[error("the database {place} holds tables of another program")]
    Foreign {
        /// Where.
        place: String,
    },
    /// The schema is missing or older than this program.
    #[error("the database {place} has schema {found}, this version needs {known}: run `deed migrate`", found = found.unwrap_or(0))]
    Behind {
        /// Where.
        place: String,
        /// The newest migration in the database.
        found: Option<i64>,
        /// The newest migration known.
        known: i64,
    },
    /// The schema is newer and does not work with this program.
    #[error(
        "the database {place} has schema {found}, this version knows {known}: use a newer version of deed"
    )]
    Newer {
        /// Where.
        place: String,
        /// The newest migration in the database.
        found: i64,
        /// The newest migration known.
        known: i64,
    },
    /// The schema was made by a migration that has been edited since.
    #[error("migration {version} of {place} is not the one this version has")]
    Changed {
        /// Where.
        place: String,
        /// The migration.
        version: i64,
    },
    /// Anything else.
    #[error("the database {place} cannot be opened")]
    Other {
        /// Where.
        place: String,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

#[derive(Debug, thiserror::Error)]
#[error("there was no answer within {0:?}")]
struct NoAnswer(Duration);

impl OpenError {
    pub(crate) fn of(place: &str, source: sqlx::Error) -> Self {
        let place = place.to_owned();
        let code = source.as_database_error().and_then(sqlx::error::DatabaseError::code);
        let code = code.unwrap_or_default();
        // Admission, existence, permission.
        let refused = code.starts_with("28") || code == "3D000" || code == "42501";
        // Broken connections, full, ending or starting, a standby, a lock that somebody keeps.
        let unavailable = ["08", "53", "57P", "25006", "55P03", "57014"].iter().any(|c| code.starts_with(c));
        match source {
            _ if refused => Self::Refused { place, source },
            sqlx::Error::Io(_) => Self::Unavailable { place, source: source.into() },
            _ if unavailable => Self::Unavailable { place, source: source.into() },
            _ => Self::Other { place, source: source.into() },
        }
    }
}

/// A server's address and what every connection to it is told.
pub(crate) struct Server {
    pub(crate) options: PgConnectOptions,
    pub(crate) place: String,
    patience: Duration,
}

impl Server {
    pub(crate) fn of(config: &PostgresConfig) -> Result<Self, OpenError> {
        let options = config.options()?;
        let place = config::place(&options);
        Ok(Self { options, place, patience: config.acquire_timeout })
    }

    pub(crate) async fn connect(&self, session: Session) -> Result<PgConnection, OpenError> {
        let connect = async {
            let mut connection = self.options.connect().await?;
            session.settle(&mut connection).await?;
            Ok(connection)
        };
        self.within(self.patience, connect).await
    }

    pub(crate) async fn within<T>(
        &self,
        limit: Duration,
        answer: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, OpenError> {
        match tokio::time::timeout(limit, answer).await {
            Ok(answer) => answer.map_err(|e| OpenError::of(&self.place, e)),
            Err(_) => Err(self.unavailable(NoAnswer(limit))),
        }
    }

    pub(crate) fn unavailable(
        &self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> OpenError {
        OpenError::Unavailable { place: self.place.clone(), source: source.into() }
    }
}

/// What every clone of a handle shares.
pub(crate) struct Database {
    /// For what is appended, one batch at a time.
    pub(crate) log: Pool,
    /// For requests that are begun or answered, one batch at a time: neither waits for the other.
    pub(crate) requests: Pool,
    /// For everything else.
    pub(crate) general: Pool,
    pub(crate) head: watch::Sender<Position>,
    pub(crate) told: Appends,
    /// What listens ends with the last handle.
    stop: CancellationToken,
    _stop: DropGuard,
    tasks: TaskTracker,
}

impl Database {
    /// Tells those who wait for the log to grow.
    pub(crate) fn saw(&self, position: Position) {
        saw(&self.head, position);
    }
}

/// Tells those who wait for the log to grow.
pub(crate) fn saw(head: &watch::Sender<Position>, position: Position) {
    head.send_if_modified(|head| {
        let grown = position > *head;
        *head = position.max(*head);
        grown
    });
}

/// The store in one PostgreSQL database. Clones share their connections.
#[derive(Clone)]
pub struct PostgresStore {
    pub(crate) database: Arc<Database>,
    pub(crate) appends: Gatherer<Prepared, AppendAnswer>,
    pub(crate) requests: Gatherer<RequestOp, RequestAnswer>,
    pub(crate) streams: Gatherer<Asked, Found>,
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").finish_non_exhaustive()
    }
}

impl PostgresStore {
    /// Connects to a database whose schema is as this version needs it. Needs a Tokio runtime.
    ///
    /// # Errors
    /// When the database cannot be used; the error says why. [`OpenError::Unavailable`] may pass by itself.
    pub async fn connect(config: PostgresConfig) -> Result<Self, OpenError> {
        let server = Server::of(&config)?;
        let session = Session::of(&config);
        let mut connection = server.connect(session).await?;
        schema::check(&server, &mut connection, config.statement_timeout).await?;
        let end = sqlx::query_scalar!(r#"SELECT coalesce(max(position), 0) AS "end!" FROM events"#);
        let end = server.within(config.statement_timeout, end.fetch_one(&mut connection)).await?;
        let end = Reading("connect to the store").number("position", end).map(Position);
        let end = end.map_err(|e| OpenError::Other { place: server.place.clone(), source: e.into() })?;

        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let head = watch::Sender::new(end);
        let listener = Listener::new(&server.options, session, head.clone(), config.acquire_timeout);
        tasks.spawn(listener.run(stop.clone()));
        tasks.close();
        let pool = |session, connections| {
            let (acquire, statement) = (config.acquire_timeout, config.statement_timeout);
            Pool::new(server.options.clone(), session, Limits { connections, acquire, statement })
        };
        // One listens, two write.
        let general = usize::try_from(config.max_connections).unwrap_or(usize::MAX).saturating_sub(3);
        let database = Arc::new(Database {
            log: pool(session.one_by_one(), 1),
            requests: pool(session.one_by_one(), 1),
            general: pool(session, general),
            head,
            told: Appends::default(),
            _stop: stop.clone().drop_guard(),
            stop,
            tasks,
        });
        let limits = config.group_commit;
        let appends = Gatherer::start("append", database.clone(), limits);
        let requests = Gatherer::start("keep a request", Arc::new(RequestWriter(database.clone())), limits);
        let streams = Gatherer::start("read a stream", Arc::new(StreamReader(database.clone())), limits);
        Ok(Self { database, appends, requests, streams })
    }

    /// What the gatherer writes through, for those who measure or test one transaction alone.
    pub fn append_backend(&self) -> Arc<dyn AppendBackend> {
        self.database.clone()
    }

    /// Has appends counted from now on.
    pub fn measure(&self, metrics: AppendMetrics) {
        self.database.told.measure(metrics);
    }

    /// How many connections are in use that calls share: a question that keeps no store open. Those that listen or
    /// write batches are not among them; nobody else waits for those.
    pub fn connections(&self) -> impl Fn() -> Connections + Send + Sync + 'static {
        let database = Arc::downgrade(&self.database);
        move || database.upgrade().map(|database| database.general.connections()).unwrap_or_default()
    }

    /// Writes what has been handed in, then parts from the server. Whoever uses the handle afterwards is told that the
    /// store is unavailable.
    pub async fn close(&self) {
        tokio::join!(self.appends.close(), self.requests.close(), self.streams.close());
        self.database.stop.cancel();
        let Database { log, requests, general, tasks, .. } = &*self.database;
        tokio::join!(log.close(), requests.close(), general.close(), async {
            // Ends by itself, at the latest with the process.
            let _ = tokio::time::timeout(FAREWELL, tasks.wait()).await;
        });
    }
}

/// The store cannot tell what an answer of the server's means.
#[derive(Debug, thiserror::Error)]
#[error("the server answered something that was not asked")]
pub(crate) struct Misanswered;

impl Misanswered {
    pub(crate) fn to(what: &'static str) -> Unavailable {
        Unavailable::new(what, Self)
    }
}
