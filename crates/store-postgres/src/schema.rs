//! The schema: whether a database has the one this version needs, and bringing it there.
use std::time::Duration;

use sqlx::migrate::{AppliedMigration, Migrate, MigrateError, Migrator};
use sqlx::postgres::PgConnection;
use tokio::time::timeout;

use crate::config::PostgresConfig;
use crate::open::{OpenError, Server};
use crate::session::Session;

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/postgres");

/// Where the migrator notes what it has done.
const NOTES: &str = "_sqlx_migrations";
/// The oldest major version of PostgreSQL.
const OLDEST: i32 = 14;
/// How long migrations may take together.
const LONGEST: Duration = Duration::from_hours(1);
const STANDBY: &str = "the server is a standby, which cannot be written to";

/// What a migration did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// The newest migration that was there; none in an empty database.
    pub from: Option<i64>,
    /// The newest migration that is there now.
    pub to: i64,
}

/// How a database's schema stands to the one that is known here.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    /// Usable, with this newest migration.
    Good(i64),
    Behind(Option<i64>),
    Newer(i64),
    Changed(i64),
}

/// What is in a database.
struct Found {
    is_deeds: bool,
    applied: Vec<AppliedMigration>,
    compatible_from: i64,
}

fn known() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

fn judge(migrations: &[(i64, &[u8])], found: &Found) -> Standing {
    let newest = found.applied.iter().map(|migration| migration.version).max();
    let known = migrations.iter().map(|(version, _)| *version).max().unwrap_or(0);
    let checksum_of = |version| migrations.iter().find(|(v, _)| *v == version).map(|(_, checksum)| *checksum);
    for applied in &found.applied {
        match checksum_of(applied.version) {
            Some(checksum) if *checksum != *applied.checksum => return Standing::Changed(applied.version),
            None if applied.version < known => return Standing::Changed(applied.version),
            _ => {}
        }
    }
    let is_applied = |version| found.applied.iter().any(|migration| migration.version == version);
    match newest {
        Some(newest) if migrations.iter().all(|(version, _)| is_applied(*version)) => {
            if newest > known && found.compatible_from > known {
                Standing::Newer(newest)
            } else {
                Standing::Good(newest)
            }
        }
        newest => Standing::Behind(newest),
    }
}

fn ours() -> Vec<(i64, &'static [u8])> {
    MIGRATIONS.iter().map(|migration| (migration.version, &*migration.checksum)).collect()
}

/// Keeps hands off servers that will not do and off the databases of others.
async fn look(server: &Server, connection: &mut PgConnection) -> Result<Found, OpenError> {
    let failed = |e| OpenError::of(&server.place, e);
    let seen = sqlx::query!(
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
        NOTES
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(failed)?;
    let place = server.place.clone();
    if seen.version < OLDEST {
        return Err(OpenError::TooOld { place, version: seen.version });
    }
    if seen.encoding != "UTF8" {
        return Err(OpenError::Encoding { place, encoding: seen.encoding });
    }
    if seen.standby {
        return Err(server.unavailable(STANDBY));
    }
    if !seen.deed && seen.others > 0 {
        return Err(OpenError::Foreign { place });
    }
    if !seen.deed || !seen.notes {
        return Ok(Found { is_deeds: seen.deed, applied: vec![], compatible_from: 0 });
    }
    let compatible_from = sqlx::query_scalar!(r#"SELECT deed_compatible_from() AS "from!""#);
    let compatible_from = compatible_from.fetch_one(&mut *connection).await.map_err(failed)?;
    let applied = connection.list_applied_migrations(NOTES).await;
    let applied = applied.map_err(|e| of_migration(&server.place, e))?;
    Ok(Found { is_deeds: true, applied, compatible_from })
}

impl Standing {
    fn refused(self, place: &str) -> Result<i64, OpenError> {
        let (place, known) = (place.to_owned(), known());
        match self {
            Self::Good(newest) => Ok(newest),
            Self::Behind(found) => Err(OpenError::Behind { place, found, known }),
            Self::Newer(found) => Err(OpenError::Newer { place, found, known }),
            Self::Changed(version) => Err(OpenError::Changed { place, version }),
        }
    }
}

/// Refuses a database that this version cannot work with.
pub(crate) async fn check(
    server: &Server,
    connection: &mut PgConnection,
    limit: Duration,
) -> Result<(), OpenError> {
    let found = within(server, limit, look(server, connection)).await?;
    judge(&ours(), &found).refused(&server.place).map(|_| ())
}

async fn within<T>(
    server: &Server,
    limit: Duration,
    answer: impl Future<Output = Result<T, OpenError>>,
) -> Result<T, OpenError> {
    timeout(limit, answer).await.unwrap_or_else(|late| Err(server.unavailable(late)))
}

fn of_migration(place: &str, error: MigrateError) -> OpenError {
    let place = place.to_owned();
    match error {
        MigrateError::VersionMissing(found) => OpenError::Newer { place, found, known: known() },
        MigrateError::VersionMismatch(version) => OpenError::Changed { place, version },
        MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => {
            OpenError::of(&place, source)
        }
        other => OpenError::Other { place, source: other.into() },
    }
}

/// Makes the schema or brings it up to date. Any number may do so at once: one does it, the others wait for it.
///
/// # Errors
/// When the database cannot be used or is not Deed's; the error says why.
pub async fn migrate(config: &PostgresConfig) -> Result<Migrated, OpenError> {
    let server = Server::of(config)?;
    let mut connection = server.connect(Session::migrating()).await?;
    let found = within(&server, config.statement_timeout, look(&server, &mut connection)).await?;
    if found.is_deeds {
        match judge(&ours(), &found) {
            Standing::Behind(_) => {}
            standing => {
                let newest = standing.refused(&server.place)?;
                return Ok(Migrated { from: Some(newest), to: newest });
            }
        }
    }
    // `run` is the same, but its future cannot be seen to be Send for every lifetime of the connection.
    let run = async {
        let done = MIGRATIONS.run_direct(None, &mut connection, false).await;
        done.map_err(|e| of_migration(&server.place, e))
    };
    within(&server, LONGEST, run).await?;
    let from = found.applied.iter().map(|migration| migration.version).max();
    Ok(Migrated { from, to: known() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: [(i64, &[u8]); 2] = [(1, b"one"), (2, b"two")];

    fn found(applied: &[(i64, &'static [u8])], compatible_from: i64) -> Found {
        let applied = applied
            .iter()
            .map(|(version, checksum)| AppliedMigration { version: *version, checksum: (*checksum).into() });
        Found { is_deeds: true, applied: applied.collect(), compatible_from }
    }

    #[test]
    fn a_newer_schema_is_good_as_long_as_it_says_so() {
        for (applied, compatible_from, standing) in [
            (&OURS[..], 1, Standing::Good(2)),
            (&[(1, &b"one"[..]), (2, b"two"), (3, b"three")], 1, Standing::Good(3)),
            (&[(1, b"one"), (2, b"two"), (3, b"three")], 2, Standing::Good(3)),
            (&[(1, b"one"), (2, b"two"), (3, b"three")], 3, Standing::Newer(3)),
            (&[(1, b"one")], 1, Standing::Behind(Some(1))),
            (&[], 1, Standing::Behind(None)),
            (&[(1, b"one"), (2, b"edited")], 1, Standing::Changed(2)),
            (&[(1, b"edited")], 1, Standing::Changed(1)),
            (&[(0, b"zero"), (1, b"one"), (2, b"two")], 1, Standing::Changed(0)),
            (&[(2, b"two"), (3, b"three")], 1, Standing::Behind(Some(3))),
        ] {
            assert_eq!(judge(&OURS, &found(applied, compatible_from)), standing);
        }
    }
}
