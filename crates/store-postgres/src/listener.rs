//! Hints that the log has grown: what other processes append is heard of at once. They may be lost; readers poll besides.
use std::{convert::Infallible, time::Duration};

use deed_store::Position;
use sqlx::PgExecutor;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::open::saw;
use crate::session::Session;

/// What `deed_append` notifies.
const CHANNEL: &str = "deed_log";
/// A connection that has been silent for so long is asked whether it is still one.
const SILENCE: Duration = Duration::from_secs(10);
/// Between two tries to connect, at first and at last.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Listens until it is stopped.
pub(crate) struct Listener {
    options: PgConnectOptions,
    session: Session,
    head: watch::Sender<Position>,
    patience: Duration,
}

#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the connection was lost")]
    Lost,
    #[error("there was no answer within the deadline")]
    Late(#[from] tokio::time::error::Elapsed),
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
}

impl Listener {
    pub(crate) fn new(
        options: &PgConnectOptions,
        session: Session,
        head: watch::Sender<Position>,
        patience: Duration,
    ) -> Self {
        let name = options.get_application_name().unwrap_or_default();
        let options = options.clone().application_name(&format!("{name} (listens)"));
        Self { options, session, head, patience }
    }

    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut pause = PAUSE;
        loop {
            let Some(Err(ended)) = stop.run_until_cancelled(self.listen(&mut pause)).await else { return };
            tracing::debug!(cause = %ended, ?pause, "nothing is heard of other processes' appends for a moment");
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn listen(&self, pause: &mut Duration) -> Result<Infallible, Ended> {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(self.patience)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(self.options.clone());
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.eager_reconnect(false);
        timeout(self.patience, self.session.settle(&mut listener)).await??;
        timeout(self.patience, listener.listen(CHANNEL)).await??;
        // Other databases' logs may share the channel: a notification names the table it is about.
        let log = timeout(self.patience, self.look(&mut listener)).await??;
        *pause = PAUSE;
        loop {
            match timeout(SILENCE, listener.try_recv()).await {
                Ok(Ok(Some(heard))) => {
                    if let Some(position) = position_in(heard.payload(), log) {
                        saw(&self.head, position);
                    }
                }
                Ok(Ok(None)) => return Err(Ended::Lost),
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => _ = timeout(self.patience, self.look(&mut listener)).await??,
            }
        }
    }

    /// Where the log ends, for what was notified while nobody listened; and which table it is.
    async fn look(&self, connection: impl PgExecutor<'_>) -> Result<i64, sqlx::Error> {
        let seen = sqlx::query!(
            r#"SELECT coalesce(max(position), 0) AS "end!", 'events'::regclass::oid::bigint AS "log!" FROM events"#
        )
        .fetch_one(connection)
        .await?;
        saw(&self.head, Position(seen.end.try_into().unwrap_or(0)));
        Ok(seen.log)
    }
}

fn position_in(payload: &str, log: i64) -> Option<Position> {
    let (table, position) = payload.split_once(':')?;
    (table.parse() == Ok(log)).then_some(())?;
    position.parse().ok().map(Position)
}
