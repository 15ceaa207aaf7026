//! Settings of each connection: time limits, keep-alive, planner.
use std::time::Duration;

use sqlx::PgExecutor;

use crate::config::PostgresConfig;

/// How long a transaction may be idle: a process that hangs with a lock blocks others no longer than this.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(5);
/// `tcp_user_timeout`: how long sent data may stay unacknowledged.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(15);

/// Settings of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionSettings {
    statement: Duration,
    lock: Duration,
    idle_in_transaction: Duration,
    /// `enable_seqscan`. Plans are cached, and a plan from the time when a table was small would scan the large table.
    /// Without another plan the server scans all the same.
    seqscan: bool,
    /// Disables hash and merge joins, for statements on few rows of large tables.
    index_lookups: bool,
}

impl SessionSettings {
    pub(crate) fn of(config: &PostgresConfig) -> Self {
        let statement = config.statement_timeout.max(Duration::from_millis(1));
        Self {
            statement,
            lock: statement / 2,
            idle_in_transaction: IDLE_IN_TRANSACTION,
            seqscan: false,
            index_lookups: false,
        }
    }

    /// For migrations: no limit for statements, and a limit for locks.
    pub(crate) fn migrating() -> Self {
        let minute = Duration::from_mins(1);
        Self {
            statement: Duration::ZERO,
            lock: minute,
            idle_in_transaction: Duration::ZERO,
            seqscan: true,
            index_lookups: false,
        }
    }

    pub(crate) fn with_index_lookups(self) -> Self {
        Self { index_lookups: true, ..self }
    }

    /// Applies the settings. Commits are synced to the local disk even if the settings of the server say otherwise; whether
    /// they wait for standbys stays the choice of the server.
    pub(crate) async fn apply(self, connection: impl PgExecutor<'_>) -> Result<(), sqlx::Error> {
        let on = |enabled| if enabled { "on" } else { "off" };
        let settings = sqlx::query_scalar!(
            "SELECT set_config(name, value, false)
             FROM (VALUES ('statement_timeout', $1), ('lock_timeout', $2),
                       ('idle_in_transaction_session_timeout', $3), ('tcp_user_timeout', $4),
                       ('tcp_keepalives_idle', '10'), ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '3'),
                       ('client_connection_check_interval',
                           CASE WHEN version() ~* 'linux|darwin|bsd' THEN '2000' ELSE '0' END),
                       ('default_transaction_isolation', 'read committed'),
                       ('synchronous_commit', CASE current_setting('synchronous_commit')
                           WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END),
                       ('timezone', 'UTC'), ('jit', 'off'),
                       ('enable_seqscan', $5), ('enable_hashjoin', $6), ('enable_mergejoin', $6)
                  ) AS settings (name, value)",
            millis(self.statement),
            millis(self.lock),
            millis(self.idle_in_transaction),
            millis(TCP_USER_TIMEOUT),
            on(self.seqscan),
            on(!self.index_lookups)
        );
        settings.fetch_all(connection).await.map(|_| ())
    }
}

/// Raises the statement time-out of the current transaction.
pub(crate) async fn extend_statement_timeout(
    connection: impl PgExecutor<'_>,
    time: Duration,
) -> Result<(), sqlx::Error> {
    let setting = sqlx::query_scalar!("SELECT set_config('statement_timeout', $1, true)", millis(time));
    setting.fetch_one(connection).await.map(|_| ())
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

#[cfg(test)]
mod tests {
    use deed_testkit::Postgres;
    use sqlx::{ConnectOptions, PgConnection};

    use super::*;

    async fn setting(connection: &mut PgConnection, name: &str) -> String {
        sqlx::query_scalar("SELECT current_setting($1)").bind(name).fetch_one(connection).await.unwrap()
    }

    #[tokio::test]
    async fn applies_session_settings() {
        let server = tokio::task::spawn_blocking(Postgres::shared).await.unwrap();
        let database = server.database().await;
        let name = database.url().rsplit_once('/').unwrap().1;
        database.sql(&format!("ALTER DATABASE {name} SET synchronous_commit = off")).await;
        let mut config = PostgresConfig::new(database.url());
        config.statement_timeout = Duration::from_secs(4);
        let mut connection = config.options().unwrap().connect().await.unwrap();
        SessionSettings::of(&config).with_index_lookups().apply(&mut connection).await.unwrap();
        for (name, value) in [
            ("statement_timeout", "4s"),
            ("lock_timeout", "2s"),
            ("idle_in_transaction_session_timeout", "5s"),
            ("tcp_user_timeout", "15000"),
            ("client_connection_check_interval", "2s"),
            ("transaction_isolation", "read committed"),
            ("synchronous_commit", "on"),
            ("enable_seqscan", "off"),
            ("enable_hashjoin", "off"),
        ] {
            assert_eq!(setting(&mut connection, name).await, value, "{name}");
        }
        SessionSettings::migrating().apply(&mut connection).await.unwrap();
        assert_eq!(setting(&mut connection, "statement_timeout").await, "0");
        assert_eq!(setting(&mut connection, "enable_seqscan").await, "on");
    }
}
