//! The connection pool: a connection is lent to one call with a deadline, and reused only when the call ended properly.
//!
//! A connection that is dropped during a call, or did not answer in time, is closed and never waited for. The driver's
//! pool would wait for the end of such a call, without a limit when the server hangs, and count the connection meanwhile.
use std::{
    ops::{Deref, DerefMut},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use deed_store::{Connections, Unavailable};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tokio_util::task::AbortOnDropHandle;

use crate::session::SessionSettings;

/// A connection that was used within this time is not checked.
const RECENTLY_USED: Duration = Duration::from_secs(1);
/// How long the check of another connection may take, and how long `close` waits.
const PING_TIMEOUT: Duration = Duration::from_secs(1);
/// The pause after a failed attempt to connect.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);
/// How much longer the client waits than the statement time-out of the server.
const GRACE: Duration = Duration::from_secs(1);

/// The size of a pool, and the time limits of a call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PoolLimits {
    pub(crate) connections: usize,
    pub(crate) acquire: Duration,
    pub(crate) statement: Duration,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("there was no answer within the deadline")]
    Timeout,
    #[error("every connection was in use")]
    PoolExhausted,
    #[error("the store is closed")]
    Closed,
    #[error("table {0} cannot be decoded")]
    Unreadable(&'static str),
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
}

impl CallError {
    fn code(&self) -> Option<String> {
        let Self::Sql(error) = self else { return None };
        Some(error.as_database_error()?.code()?.into_owned())
    }

    /// The server rolled the transaction back because of a deadlock or a concurrent commit, so a retry may help.
    pub(crate) fn is_rolled_back(&self) -> bool {
        self.code().is_some_and(|code| code.starts_with("40") && code != "40003")
    }

    /// A violation of this unique constraint.
    pub(crate) fn is_duplicate_of(&self, constraint: &str) -> bool {
        let Self::Sql(error) = self else { return false };
        error
            .as_database_error()
            .is_some_and(|e| e.is_unique_violation() && e.constraint() == Some(constraint))
    }

    /// A violation of any unique constraint.
    pub(crate) fn is_duplicate(&self) -> bool {
        let Self::Sql(error) = self else { return false };
        error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation)
    }

    /// The statement failed, but the connection is still usable.
    fn keeps_connection(&self) -> bool {
        self.code().is_some_and(|code| ["22", "23", "40"].iter().any(|class| code.starts_with(class)))
    }

    /// All connections to the server are unusable: it is down, shutting down, or has become a standby.
    fn breaks_all_connections(&self) -> bool {
        match self {
            Self::Timeout
            | Self::Sql(sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_)) => true,
            Self::Sql(_) => {
                self.code().is_some_and(|c| c.starts_with("57P") || c.starts_with("08") || c == "25006")
            }
            Self::PoolExhausted | Self::Closed | Self::Unreadable(_) => false,
        }
    }
}

/// The end of a call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    pub(crate) async fn run<T>(
        self,
        call: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, CallError> {
        match timeout_at(self.0, call).await {
            Ok(answer) => answer.map_err(CallError::Sql),
            Err(_) => Err(CallError::Timeout),
        }
    }
}

/// A pool that opens connections on demand.
pub(crate) struct Pool {
    options: PgConnectOptions,
    session: SessionSettings,
    limits: PoolLimits,
    permits: Semaphore,
    idle: Mutex<Vec<IdleConnection>>,
    /// When the last attempt to connect failed.
    last_failure: Mutex<Option<Instant>>,
    /// The runtime of the pool, for connections: a caller's runtime may end before the pool does.
    runtime: Handle,
}

struct IdleConnection {
    connection: PgConnection,
    since: Instant,
}

/// A connection for one call. It is closed unless the call ends with [`finish`](Self::finish).
pub(crate) struct PooledConnection<'p> {
    connection: PgConnection,
    pool: &'p Pool,
    operation: &'static str,
    deadline: Instant,
    _permit: SemaphorePermit<'p>,
}

impl Pool {
    pub(crate) fn new(options: PgConnectOptions, session: SessionSettings, limits: PoolLimits) -> Self {
        let permits = Semaphore::new(limits.connections.max(1));
        let (idle, last_failure) = (Mutex::default(), Mutex::default());
        Self { options, session, limits, permits, idle, last_failure, runtime: Handle::current() }
    }

    /// Waits for a connection; `operation` names the call in errors.
    pub(crate) async fn acquire(&self, operation: &'static str) -> Result<PooledConnection<'_>, Unavailable> {
        self.acquire_for(operation).await.map_err(|error| Unavailable::new(operation, error))
    }

    /// The same, for callers that inspect the error.
    pub(crate) async fn acquire_for(
        &self,
        operation: &'static str,
    ) -> Result<PooledConnection<'_>, CallError> {
        let until = Instant::now() + self.limits.acquire;
        let permit = match timeout_at(until, self.permits.acquire()).await {
            Ok(permit) => permit.map_err(|_| CallError::Closed)?,
            Err(_) => return Err(CallError::PoolExhausted),
        };
        let connection = match self.reuse_idle().await {
            Some(connection) => connection,
            None => self.connect(until).await?,
        };
        let deadline = Instant::now() + self.limits.statement + GRACE;
        Ok(PooledConnection { connection, pool: self, operation, deadline, _permit: permit })
    }

    /// The connection that was used last, if it still works.
    async fn reuse_idle(&self) -> Option<PgConnection> {
        let IdleConnection { mut connection, since } = self.idle().pop()?;
        if since.elapsed() < RECENTLY_USED {
            return Some(connection);
        }
        if let Ok(Ok(())) = timeout(PING_TIMEOUT, connection.ping()).await {
            return Some(connection);
        }
        // The others have been idle for longer.
        self.clear_idle();
        None
    }

    /// Opens a connection. After a failure it pauses: when a server restarts, all calls want a connection at once.
    async fn connect(&self, until: Instant) -> Result<PgConnection, CallError> {
        let last_failure = || self.last_failure.lock().unwrap_or_else(PoisonError::into_inner);
        let again = last_failure().map(|at| at + RECONNECT_PAUSE);
        if let Some(again) = again {
            sleep_until(again.min(until)).await;
        }
        let (options, session) = (self.options.clone(), self.session);
        let connecting = AbortOnDropHandle::new(self.runtime.spawn(async move {
            let mut connection = options.connect().await?;
            session.apply(&mut connection).await?;
            Ok(connection)
        }));
        let connected = match timeout_at(until, connecting).await {
            Ok(Ok(connected)) => connected.map_err(CallError::Sql),
            // A runtime that ends aborts its tasks.
            Ok(Err(_)) => Err(CallError::Closed),
            Err(_) => Err(CallError::Timeout),
        };
        *last_failure() = connected.is_err().then(Instant::now);
        connected
    }

    /// The connections in use, and the idle ones.
    pub(crate) fn connections(&self) -> Connections {
        let max = self.limits.connections.max(1);
        let idle = self.idle().len();
        Connections { used: max.saturating_sub(self.permits.available_permits()), idle, max }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<IdleConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clear_idle(&self) {
        self.idle().clear();
    }

    /// Lends no more connections and closes the idle ones; those in use close with their calls.
    pub(crate) async fn close(&self) {
        self.permits.close();
        let idle = std::mem::take(&mut *self.idle());
        let closing = idle.into_iter().map(|idle| idle.connection.close());
        // The server detects a connection that could not be closed in time.
        let _ = timeout(PING_TIMEOUT, futures::future::join_all(closing)).await;
    }
}

impl PooledConnection<'_> {
    /// When the call has to end.
    pub(crate) fn deadline(&self) -> Deadline {
        Deadline(self.deadline)
    }

    /// Extends the deadline of a call with very many rows; the statement time-out of the server is separate.
    pub(crate) fn extend_deadline(&mut self, time: Duration) -> Deadline {
        self.deadline = Instant::now() + time + GRACE;
        self.deadline()
    }

    /// Ends the call; keeps the connection when it succeeded.
    pub(crate) fn finish<T>(self, result: Result<T, CallError>) -> Result<T, Unavailable> {
        let (operation, pool) = (self.operation, self.pool);
        match &result {
            Ok(_) => self.return_to_pool(),
            Err(error) if error.breaks_all_connections() => pool.clear_idle(),
            Err(_) => {}
        }
        result.map_err(|e| Unavailable::new(operation, e))
    }

    /// Ends a call of one statement without a transaction around it; keeps the connection after most errors, too. The
    /// caller interprets the error.
    pub(crate) fn finish_statement<T>(self, result: Result<T, CallError>) -> Result<T, CallError> {
        let pool = self.pool;
        match &result {
            Err(error) if !error.keeps_connection() => {
                if error.breaks_all_connections() {
                    pool.clear_idle();
                }
            }
            _ => self.return_to_pool(),
        }
        result
    }

    fn return_to_pool(self) {
        let Self { connection, pool, .. } = self;
        if !pool.permits.is_closed() {
            pool.idle().push(IdleConnection { connection, since: Instant::now() });
        }
    }
}

impl Deref for PooledConnection<'_> {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for PooledConnection<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}
