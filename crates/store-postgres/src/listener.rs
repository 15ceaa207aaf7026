//! Hints that another process has appended to the log (LISTEN). Hints may be lost, so readers poll as well.
use std::{convert::Infallible, time::Duration};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use deed_store::Position;
use sqlx::PgExecutor;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::open::advance_head;
use crate::session::SessionSettings;

/// The channel that `deed_append` notifies.
const CHANNEL: &str = "deed_log";
/// A connection without notifications for this long is checked by a query.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);
/// The pauses between attempts to connect: at first 50 to 100 milliseconds, at last 2.5 to 5 seconds.
const PAUSES: ExponentialBuilder = ExponentialBuilder::new()
    .with_jitter()
    .with_min_delay(Duration::from_millis(50))
    .with_max_delay(Duration::from_millis(2_500))
    .without_max_times();

/// Listens for notifications until it is stopped.
pub(crate) struct Listener {
    options: PgConnectOptions,
    session: SessionSettings,
    head: watch::Sender<Position>,
    timeout: Duration,
}

#[derive(Debug, thiserror::Error)]
enum ListenError {
    #[error("the connection was lost")]
    Lost,
    #[error("there was no answer within the deadline")]
    Timeout(#[from] tokio::time::error::Elapsed),
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
}

impl Listener {
    pub(crate) fn new(
        options: &PgConnectOptions,
        session: SessionSettings,
        head: watch::Sender<Position>,
        timeout: Duration,
    ) -> Self {
        let name = options.get_application_name().unwrap_or_default();
        let options = options.clone().application_name(&format!("{name} (listens)"));
        Self { options, session, head, timeout }
    }

    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut pauses = PAUSES.build();
        loop {
            let Some(Err(error)) = stop.run_until_cancelled(self.listen(&mut pauses)).await else { return };
            let pause = pauses.next().unwrap_or_default();
            tracing::debug!(cause = %error, ?pause, "nothing is heard of other processes' appends for a moment");
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    async fn listen(&self, pauses: &mut ExponentialBackoff) -> Result<Infallible, ListenError> {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(self.timeout)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(self.options.clone());
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.eager_reconnect(false);
        timeout(self.timeout, self.session.apply(&mut listener)).await??;
        timeout(self.timeout, listener.listen(CHANNEL)).await??;
        // Several schemas may share the channel, so a notification names its table.
        let log_table = timeout(self.timeout, self.read_head(&mut listener)).await??;
        *pauses = PAUSES.build();
        loop {
            match timeout(CHECK_INTERVAL, listener.try_recv()).await {
                Ok(Ok(Some(notification))) => {
                    if let Some(position) = position_in(notification.payload(), log_table) {
                        advance_head(&self.head, position);
                    }
                }
                Ok(Ok(None)) => return Err(ListenError::Lost),
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => _ = timeout(self.timeout, self.read_head(&mut listener)).await??,
            }
        }
    }

    /// Reads the end of the log, for notifications that were missed; returns the oid of the table.
    async fn read_head(&self, connection: impl PgExecutor<'_>) -> Result<i64, sqlx::Error> {
        let found = sqlx::query!(
            r#"SELECT coalesce(max(position), 0) AS "end!", 'events'::regclass::oid::bigint AS "log!" FROM events"#
        )
        .fetch_one(connection)
        .await?;
        advance_head(&self.head, Position(found.end.try_into().unwrap_or(0)));
        Ok(found.log)
    }
}

fn position_in(payload: &str, log_table: i64) -> Option<Position> {
    let (table, position) = payload.split_once(':')?;
    (table.parse() == Ok(log_table)).then_some(())?;
    position.parse().ok().map(Position)
}
