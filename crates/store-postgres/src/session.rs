//! What every connection is told once: how long it may take, and how the server notices that nobody is there any more.
use std::time::Duration;

use sqlx::PgExecutor;

use crate::config::PostgresConfig;

/// How long a transaction may be idle, and how long a lock is waited for: a process that hangs with a lock in its hand
/// keeps others waiting no longer.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(5);
/// How long the server sends to somebody who does not acknowledge.
const UNACKNOWLEDGED: Duration = Duration::from_secs(15);

/// Settings of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Session {
    statement: Duration,
    lock: Duration,
    idle_in_transaction: Duration,
    /// Whether tables may be walked from end to end. Plans are kept, and one that was made while a table was small would
    /// walk it when it is large; where there is no other way it is walked all the same.
    walks: bool,
    /// Whether rows are looked up one by one rather than tables joined: for statements that are about few rows of large
    /// tables.
    one_by_one: bool,
}

impl Session {
    pub(crate) fn of(config: &PostgresConfig) -> Self {
        let statement = config.statement_timeout.max(Duration::from_millis(1));
        Self {
            statement,
            lock: statement / 2,
            idle_in_transaction: IDLE_IN_TRANSACTION,
            walks: false,
            one_by_one: false,
        }
    }

    /// For migrations: they take as long as they take, and do not wait for a lock for ever.
    pub(crate) fn migrating() -> Self {
        let minute = Duration::from_mins(1);
        Self {
            statement: Duration::ZERO,
            lock: minute,
            idle_in_transaction: Duration::ZERO,
            walks: true,
            one_by_one: false,
        }
    }

    pub(crate) fn one_by_one(self) -> Self {
        Self { one_by_one: true, ..self }
    }

    /// A transaction that waits for the disk does so though the server's own settings may say otherwise; how many
    /// standbys it waits for besides is the server's business.
    pub(crate) async fn settle(self, connection: impl PgExecutor<'_>) -> Result<(), sqlx::Error> {
        let on = |wanted| if wanted { "on" } else { "off" };
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
            millis(UNACKNOWLEDGED),
            on(self.walks),
            on(!self.one_by_one)
        );
        settings.fetch_all(connection).await.map(|_| ())
    }
}

/// Lets the statements of the transaction at hand take longer.
pub(crate) async fn prolong(connection: impl PgExecutor<'_>, time: Duration) -> Result<(), sqlx::Error> {
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
    async fn a_connection_is_told_how_long_everything_may_take() {
        let server = tokio::task::spawn_blocking(Postgres::shared).await.unwrap();
        let database = server.database().await;
        let name = database.url().rsplit_once('/').unwrap().1;
        database.sql(&format!("ALTER DATABASE {name} SET synchronous_commit = off")).await;
        let mut config = PostgresConfig::new(database.url());
        config.statement_timeout = Duration::from_secs(4);
        let mut connection = config.options().unwrap().connect().await.unwrap();
        Session::of(&config).one_by_one().settle(&mut connection).await.unwrap();
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
        Session::migrating().settle(&mut connection).await.unwrap();
        assert_eq!(setting(&mut connection, "statement_timeout").await, "0");
        assert_eq!(setting(&mut connection, "enable_seqscan").await, "on");
    }
}
