//! Connections: borrowed for one call with a deadline, and kept only when the call ended as it should.
//!
//! What is dropped in the middle of something, or did not answer in time, is closed, never used again and never waited
//! for. The driver's own pool would wait for such a connection on its way back, for ever when nobody answers, and count
//! it meanwhile.
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

use crate::session::Session;

/// A connection that was used within this time is taken for alive.
const FRESH: Duration = Duration::from_secs(1);
/// How long one that was not may take to say that it is alive, and to part.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);
/// How long after a refused connection no other is tried.
const HOLD_OFF: Duration = Duration::from_millis(100);
/// What a call is given beyond the time after which the server gives up by itself.
const GRACE: Duration = Duration::from_secs(1);

/// How many connections, and how long a call may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) connections: usize,
    pub(crate) acquire: Duration,
    pub(crate) statement: Duration,
}

/// Why a call did not end as it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("there was no answer within the deadline")]
    Late,
    #[error("every connection was in use")]
    Busy,
    #[error("the store is closed")]
    Closed,
    #[error("{0} holds something unreadable")]
    Unreadable(&'static str),
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
}

impl Failure {
    fn code(&self) -> Option<String> {
        let Self::Sql(error) = self else { return None };
        Some(error.as_database_error()?.code()?.into_owned())
    }

    /// Nothing of the transaction is left and another try may go better: it fell to a deadlock or to another's commit.
    pub(crate) fn is_rolled_back(&self) -> bool {
        self.code().is_some_and(|code| code.starts_with("40") && code != "40003")
    }

    /// The same of one key.
    pub(crate) fn is_duplicate_of(&self, constraint: &str) -> bool {
        let Self::Sql(error) = self else { return false };
        error
            .as_database_error()
            .is_some_and(|e| e.is_unique_violation() && e.constraint() == Some(constraint))
    }

    /// A row that must be the only one of its key is there already.
    pub(crate) fn is_duplicate(&self) -> bool {
        let Self::Sql(error) = self else { return false };
        error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation)
    }

    /// The statement failed, the connection did not.
    fn spares_the_connection(&self) -> bool {
        self.code().is_some_and(|code| ["22", "23", "40"].iter().any(|class| code.starts_with(class)))
    }

    /// Other connections to the same server are no better: it is gone, going, or has become a standby.
    fn spoils_the_others(&self) -> bool {
        match self {
            Self::Late | Self::Sql(sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_)) => {
                true
            }
            Self::Sql(_) => {
                self.code().is_some_and(|c| c.starts_with("57P") || c.starts_with("08") || c == "25006")
            }
            Self::Busy | Self::Closed | Self::Unreadable(_) => false,
        }
    }
}

/// An end of waiting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    pub(crate) async fn wait<T>(
        self,
        answer: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, Failure> {
        match timeout_at(self.0, answer).await {
            Ok(answer) => answer.map_err(Failure::Sql),
            Err(_) => Err(Failure::Late),
        }
    }
}

/// Connections that are made when they are needed.
pub(crate) struct Pool {
    options: PgConnectOptions,
    session: Session,
    limits: Limits,
    permits: Semaphore,
    idle: Mutex<Vec<Idle>>,
    /// When the server last would not have us.
    refused: Mutex<Option<Instant>>,
    /// Where connections live, whoever asks for them: that may be a runtime which ends before the pool does.
    runtime: Handle,
}

struct Idle {
    connection: PgConnection,
    since: Instant,
}

/// A connection for one call. Without [`done`](Self::done) it is closed.
pub(crate) struct Borrowed<'p> {
    connection: PgConnection,
    pool: &'p Pool,
    what: &'static str,
    deadline: Instant,
    _permit: SemaphorePermit<'p>,
}

impl Pool {
    pub(crate) fn new(options: PgConnectOptions, session: Session, limits: Limits) -> Self {
        let permits = Semaphore::new(limits.connections.max(1));
        let (idle, refused) = (Mutex::default(), Mutex::default());
        Self { options, session, limits, permits, idle, refused, runtime: Handle::current() }
    }

    /// Waits for a connection; `what` names the call in errors.
    pub(crate) async fn take(&self, what: &'static str) -> Result<Borrowed<'_>, Unavailable> {
        self.borrow(what).await.map_err(|failure| Unavailable::new(what, failure))
    }

    /// The same, for those who look at the failure.
    pub(crate) async fn borrow(&self, what: &'static str) -> Result<Borrowed<'_>, Failure> {
        let until = Instant::now() + self.limits.acquire;
        let permit = match timeout_at(until, self.permits.acquire()).await {
            Ok(permit) => permit.map_err(|_| Failure::Closed)?,
            Err(_) => return Err(Failure::Busy),
        };
        let connection = match self.alive().await {
            Some(connection) => connection,
            None => self.connect(until).await?,
        };
        let deadline = Instant::now() + self.limits.statement + GRACE;
        Ok(Borrowed { connection, pool: self, what, deadline, _permit: permit })
    }

    /// The connection used last, if it is still one.
    async fn alive(&self) -> Option<PgConnection> {
        let Idle { mut connection, since } = self.idle().pop()?;
        if since.elapsed() < FRESH {
            return Some(connection);
        }
        if let Ok(Ok(())) = timeout(SIGN_OF_LIFE, connection.ping()).await {
            return Some(connection);
        }
        // The others have been idle longer.
        self.forget();
        None
    }

    /// A new connection. While a server comes up again, everybody wants one at once: it
    /// is not asked all the time.
    async fn connect(&self, until: Instant) -> Result<PgConnection, Failure> {
        let refused = || self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let again = refused().map(|at| at + HOLD_OFF);
        if let Some(again) = again {
            sleep_until(again.min(until)).await;
        }
        let (options, session) = (self.options.clone(), self.session);
        let connecting = AbortOnDropHandle::new(self.runtime.spawn(async move {
            let mut connection = options.connect().await?;
            session.settle(&mut connection).await?;
            Ok(connection)
        }));
        let connected = match timeout_at(until, connecting).await {
            Ok(Ok(connected)) => connected.map_err(Failure::Sql),
            // A runtime that ends takes its tasks with it.
            Ok(Err(_)) => Err(Failure::Closed),
            Err(_) => Err(Failure::Late),
        };
        *refused() = connected.is_err().then(Instant::now);
        connected
    }

    /// What it has lent, and what is left.
    pub(crate) fn connections(&self) -> Connections {
        let max = self.limits.connections.max(1);
        let idle = self.idle().len();
        Connections { used: max.saturating_sub(self.permits.available_permits()), idle, max }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self) {
        self.idle().clear();
    }

    /// Lends no more and parts from the connections that are idle; those in use close with their calls.
    pub(crate) async fn close(&self) {
        self.permits.close();
        let idle = std::mem::take(&mut *self.idle());
        let farewells = idle.into_iter().map(|idle| idle.connection.close());
        // The server notices by itself when one does not get through.
        let _ = timeout(SIGN_OF_LIFE, futures::future::join_all(farewells)).await;
    }
}

impl Borrowed<'_> {
    /// When the call has to end.
    pub(crate) fn until(&self) -> Deadline {
        Deadline(self.deadline)
    }

    /// Gives a call that is about very many rows more time; the server has to be told besides.
    pub(crate) fn prolong(&mut self, time: Duration) -> Deadline {
        self.deadline = Instant::now() + time + GRACE;
        self.until()
    }

    /// Ends the call.
    pub(crate) fn done<T>(self, result: Result<T, Failure>) -> Result<T, Unavailable> {
        let (what, pool) = (self.what, self.pool);
        match &result {
            Ok(_) => self.give_back(),
            Err(failure) if failure.spoils_the_others() => pool.forget(),
            Err(_) => {}
        }
        result.map_err(|e| Unavailable::new(what, e))
    }

    /// Ends a call that was one statement without a transaction around it, and leaves it to the caller what a failure
    /// means.
    pub(crate) fn done_alone<T>(self, result: Result<T, Failure>) -> Result<T, Failure> {
        let pool = self.pool;
        match &result {
            Err(failure) if !failure.spares_the_connection() => {
                if failure.spoils_the_others() {
                    pool.forget();
                }
            }
            _ => self.give_back(),
        }
        result
    }

    fn give_back(self) {
        let Self { connection, pool, .. } = self;
        if !pool.permits.is_closed() {
            pool.idle().push(Idle { connection, since: Instant::now() });
        }
    }
}

impl Deref for Borrowed<'_> {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Borrowed<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}
