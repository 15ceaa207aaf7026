//! The configuration of the store: address, connections, time limits. The password in the address is never shown.
use std::{fmt, str::FromStr, time::Duration};

use deed_store::BatchLimits;
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

use crate::open::OpenError;

/// The parameters of an address. Any other text after the question mark may be part of a password.
const PARAMETERS: [&str; 16] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "options",
];
const SSL_MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// The configuration of the store.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresConfig {
    /// `postgres://user:password@host:5432/database`. Never logged.
    pub url: String,
    /// All connections; at least four are needed.
    pub max_connections: u32,
    /// How long a call waits for a connection.
    pub acquire_timeout: Duration,
    /// How long a statement may take.
    pub statement_timeout: Duration,
    /// The name of this process in the server's statistics.
    pub application_name: String,
    /// Bounds of the batchers.
    pub batch_limits: BatchLimits,
}

impl PostgresConfig {
    /// Eight connections, five seconds to get one, ten for a statement.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            max_connections: 8,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(10),
            application_name: "deed".to_owned(),
            batch_limits: BatchLimits::default(),
        }
    }

    /// The address in the form of the driver.
    pub(crate) fn options(&self) -> Result<PgConnectOptions, OpenError> {
        let wrong = |why: &str| OpenError::Url(why.to_owned());
        let (scheme, rest) = self.url.split_once("://").unwrap_or(("", ""));
        if !matches!(scheme, "postgres" | "postgresql") || rest.is_empty() {
            return Err(wrong("it does not begin with postgres://"));
        }
        let query = rest.split_once('?').map_or("", |(_, query)| query);
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            if !PARAMETERS.contains(&key) && !key.starts_with("options[") {
                return Err(wrong(
                    "it has a parameter that is not known (a `?` in a password is written %3F)",
                ));
            }
            if key.starts_with("ssl") && key.ends_with("mode") && !SSL_MODES.contains(&value) {
                return Err(wrong(
                    "its sslmode is none of disable, allow, prefer, require, verify-ca, verify-full",
                ));
            }
        }
        // The errors of the driver may quote the address.
        let options = PgConnectOptions::from_str(&self.url).map_err(|_| {
            wrong("it is not of the form postgres://user:password@host:5432/database, with special characters of the \
                   password percent-encoded")
        })?;
        Ok(options.application_name(&self.application_name).disable_statement_logging())
    }
}

impl fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresConfig")
            .field("max_connections", &self.max_connections)
            .field("acquire_timeout", &self.acquire_timeout)
            .field("statement_timeout", &self.statement_timeout)
            .field("application_name", &self.application_name)
            .field("batch_limits", &self.batch_limits)
            .finish_non_exhaustive()
    }
}

/// Host, port and database, which may be shown.
pub(crate) fn location(options: &PgConnectOptions) -> String {
    let host = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => options.get_host().to_owned(),
    };
    format!("{host}:{}/{}", options.get_port(), options.get_database().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[test]
    fn never_shows_the_password() {
        for url in [
            "postgres://deed:hunter2@db:notaport/deed",
            "postgres://deed:hunter2",
            "mysql://deed:hunter2@db/deed",
            "deed:hunter2@db/deed",
            "postgres://deed:hun?ter2=hunter2@db/deed",
            "postgres://deed:hunter2@db/deed?sslmode=hunter2",
            "postgres://deed:hunter2@db/deed?port=hunter2",
            "postgres://deed:hunter2#@db/deed",
            "postgres://",
        ] {
            let config = PostgresConfig::new(url);
            let error = match config.options() {
                Err(error) => format!("{error} {error:?} {:?}", error.source()),
                Ok(options) => location(&options),
            };
            assert!(!error.contains("hunter2"), "{error}");
            assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
        }
    }

    #[test]
    fn address_gives_host_port_and_database() {
        for (url, expected) in [
            ("postgres://deed:p%3Fw@db/deed", "db:5432/deed"),
            ("postgresql://deed@db.example:6543/x?sslmode=require", "db.example:6543/x"),
        ] {
            assert_eq!(location(&PostgresConfig::new(url).options().unwrap()), expected);
        }
    }
}
