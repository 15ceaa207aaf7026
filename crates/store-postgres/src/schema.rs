//! The schema of a database: checks and migrations.
use std::time::Duration;

use sqlx::migrate::{AppliedMigration, Migrate, MigrateError, Migrator};
use sqlx::postgres::PgConnection;
use tokio::time::timeout;

use crate::config::PostgresConfig;
use crate::open::{OpenError, ServerConnector};
use crate::session::SessionSettings;

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/postgres");

/// The table of the migrator.
const MIGRATIONS_TABLE: &str = "_sqlx_migrations";
/// The oldest supported major version of PostgreSQL.
const OLDEST_SERVER: i32 = 14;
/// The time limit of all migrations together.
const MIGRATION_TIMEOUT: Duration = Duration::from_hours(1);
const STANDBY: &str = "the server is a standby, which cannot be written to";

/// The result of a migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// The newest migration before; none in an empty database.
    pub from: Option<i64>,
    /// The newest migration now.
    pub to: i64,
}

/// The schema of a database, compared with the one that this version knows.
#[derive(Debug, PartialEq, Eq)]
enum SchemaState {
    /// Usable, with this newest migration.
    Compatible(i64),
    Behind(Option<i64>),
    Newer(i64),
    Changed(i64),
}

/// What was found in a database.
struct DatabaseInfo {
    is_deed: bool,
    applied: Vec<AppliedMigration>,
    compatible_from: i64,
}

fn known() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

fn compare(migrations: &[(i64, &[u8])], found: &DatabaseInfo) -> SchemaState {
    let newest = found.applied.iter().map(|migration| migration.version).max();
    let known = migrations.iter().map(|(version, _)| *version).max().unwrap_or(0);
    let checksum_of = |version| migrations.iter().find(|(v, _)| *v == version).map(|(_, checksum)| *checksum);
    for applied in &found.applied {
        match checksum_of(applied.version) {
            Some(checksum) if *checksum != *applied.checksum => return SchemaState::Changed(applied.version),
            None if applied.version < known => return SchemaState::Changed(applied.version),
            _ => {}
        }
    }
    let is_applied = |version| found.applied.iter().any(|migration| migration.version == version);
    match newest {
        Some(newest) if migrations.iter().all(|(version, _)| is_applied(*version)) => {
            if newest > known && found.compatible_from > known {
                SchemaState::Newer(newest)
            } else {
                SchemaState::Compatible(newest)
            }
        }
        newest => SchemaState::Behind(newest),
    }
}

fn ours() -> Vec<(i64, &'static [u8])> {
    MIGRATIONS.iter().map(|migration| (migration.version, &*migration.checksum)).collect()
}

/// Reads the state of a database; refuses unsupported servers and databases of other programs.
async fn inspect(server: &ServerConnector, connection: &mut PgConnection) -> Result<DatabaseInfo, OpenError> {
    let failed = |e| OpenError::of(&server.location, e);
    let found = sqlx::query!(
        r#"SELECT current_setting('server_version_num')::integer / 10000 AS "version!",
                  current_setting('server_encoding') AS "encoding!",
                  pg_is_in_recovery() AS "standby!",
                  to_regclass($1) IS NOT NULL AS "notes!",
                  (SELECT count(*) FROM pg_class
                   WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'f', 'v', 'm', 'S')
                     AND relname <> $1 AND NOT EXISTS (
                         SELECT FROM pg_depend
                         WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype = 'e')) AS "others!",
                  to_regprocedure('deed_compatible_from()') IS NOT NULL AS "deed!""#,
        MIGRATIONS_TABLE
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(failed)?;
    let location = server.location.clone();
    if found.version < OLDEST_SERVER {
        return Err(OpenError::TooOld { location, version: found.version });
    }
    if found.encoding != "UTF8" {
        return Err(OpenError::Encoding { location, encoding: found.encoding });
    }
    if found.standby {
        return Err(server.unavailable(STANDBY));
    }
    if !found.deed && found.others > 0 {
        return Err(OpenError::Foreign { location });
    }
    if !found.deed || !found.notes {
        return Ok(DatabaseInfo { is_deed: found.deed, applied: vec![], compatible_from: 0 });
    }
    let compatible_from = sqlx::query_scalar!(r#"SELECT deed_compatible_from() AS "from!""#);
    let compatible_from = compatible_from.fetch_one(&mut *connection).await.map_err(failed)?;
    let applied = connection.list_applied_migrations(MIGRATIONS_TABLE).await;
    let applied = applied.map_err(|e| of_migration(&server.location, e))?;
    Ok(DatabaseInfo { is_deed: true, applied, compatible_from })
}

impl SchemaState {
    fn into_result(self, location: &str) -> Result<i64, OpenError> {
        let (location, known) = (location.to_owned(), known());
        match self {
            Self::Compatible(newest) => Ok(newest),
            Self::Behind(found) => Err(OpenError::Behind { location, found, known }),
            Self::Newer(found) => Err(OpenError::Newer { location, found, known }),
            Self::Changed(version) => Err(OpenError::Changed { location, version }),
        }
    }
}

/// Fails for a database that this version cannot work with.
pub(crate) async fn check(
    server: &ServerConnector,
    connection: &mut PgConnection,
    limit: Duration,
) -> Result<(), OpenError> {
    let found = within(server, limit, inspect(server, connection)).await?;
    compare(&ours(), &found).into_result(&server.location).map(|_| ())
}

async fn within<T>(
    server: &ServerConnector,
    limit: Duration,
    answer: impl Future<Output = Result<T, OpenError>>,
) -> Result<T, OpenError> {
    timeout(limit, answer).await.unwrap_or_else(|late| Err(server.unavailable(late)))
}

fn of_migration(location: &str, error: MigrateError) -> OpenError {
    let location = location.to_owned();
    match error {
        MigrateError::VersionMissing(found) => OpenError::Newer { location, found, known: known() },
        MigrateError::VersionMismatch(version) => OpenError::Changed { location, version },
        MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => {
            OpenError::of(&location, source)
        }
        other => OpenError::Other { location, source: other.into() },
    }
}

/// Creates the schema or migrates it. Any number of processes may call it: one migrates, the others wait.
///
/// # Errors
/// When the database cannot be used or is not Deed's; the error says why.
pub async fn migrate(config: &PostgresConfig) -> Result<Migrated, OpenError> {
    let server = ServerConnector::of(config)?;
    let mut connection = server.connect(SessionSettings::migrating()).await?;
    let found = within(&server, config.statement_timeout, inspect(&server, &mut connection)).await?;
    if found.is_deed {
        match compare(&ours(), &found) {
            SchemaState::Behind(_) => {}
            standing => {
                let newest = standing.into_result(&server.location)?;
                return Ok(Migrated { from: Some(newest), to: newest });
            }
        }
    }
    // `run` does the same, but the compiler cannot prove that its future is Send.
    let run = async {
        let done = MIGRATIONS.run_direct(None, &mut connection, false).await;
        done.map_err(|e| of_migration(&server.location, e))
    };
    within(&server, MIGRATION_TIMEOUT, run).await?;
    let from = found.applied.iter().map(|migration| migration.version).max();
    Ok(Migrated { from, to: known() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: [(i64, &[u8]); 2] = [(1, b"one"), (2, b"two")];

    fn found(applied: &[(i64, &'static [u8])], compatible_from: i64) -> DatabaseInfo {
        let applied = applied
            .iter()
            .map(|(version, checksum)| AppliedMigration { version: *version, checksum: (*checksum).into() });
        DatabaseInfo { is_deed: true, applied: applied.collect(), compatible_from }
    }

    #[test]
    fn accepts_newer_schema_that_is_compatible() {
        for (applied, compatible_from, standing) in [
            (&OURS[..], 1, SchemaState::Compatible(2)),
            (&[(1, &b"one"[..]), (2, b"two"), (3, b"three")], 1, SchemaState::Compatible(3)),
            (&[(1, b"one"), (2, b"two"), (3, b"three")], 2, SchemaState::Compatible(3)),
            (&[(1, b"one"), (2, b"two"), (3, b"three")], 3, SchemaState::Newer(3)),
            (&[(1, b"one")], 1, SchemaState::Behind(Some(1))),
            (&[], 1, SchemaState::Behind(None)),
            (&[(1, b"one"), (2, b"edited")], 1, SchemaState::Changed(2)),
            (&[(1, b"edited")], 1, SchemaState::Changed(1)),
            (&[(0, b"zero"), (1, b"one"), (2, b"two")], 1, SchemaState::Changed(0)),
            (&[(2, b"two"), (3, b"three")], 1, SchemaState::Behind(Some(3))),
        ] {
            assert_eq!(compare(&OURS, &found(applied, compatible_from)), standing);
        }
    }
}
