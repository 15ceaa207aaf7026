//! Leases and checkpoints: compare-and-set under the epoch of a lease.
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use deed_store::{Checkpoints, Lag, Lease, LeaseError, Position, Unavailable};
use sqlx::postgres::PgConnection;

use crate::columns::{Decoder, to_i64};
use crate::open::PostgresStore;

fn expiry(now: DateTime<Utc>, ttl: Duration) -> DateTime<Utc> {
    let ttl = TimeDelta::from_std(ttl).unwrap_or(TimeDelta::days(36_500));
    now.checked_add_signed(ttl).unwrap_or(now)
}

/// The result of a write under a lease that changed a row or none.
pub(crate) fn lost_unless(moved: bool) -> Result<(), LeaseError> {
    if moved { Ok(()) } else { Err(LeaseError::Lost) }
}

/// Moves the checkpoint of a lease's subscription, in a transaction or as a statement of its own; returns whether it did.
/// The lease stays with its owner until that transaction ends.
pub(crate) async fn advance(
    connection: &mut PgConnection,
    lease: &Lease,
    from: Position,
    to: Position,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "WITH held AS (SELECT name FROM leases WHERE name = $2 AND owner = $3 AND epoch = $4 FOR SHARE)
         INSERT INTO checkpoints (name, position)
         SELECT name, $1 FROM held
         WHERE (SELECT deed_unsynced()) AND ($5 = 0::bigint OR EXISTS (SELECT FROM checkpoints WHERE name = $2))
         ON CONFLICT (name) DO UPDATE SET position = excluded.position WHERE checkpoints.position = $5",
        to_i64(to.0),
        lease.name,
        lease.owner,
        to_i64(lease.epoch),
        to_i64(from.0)
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Sets the checkpoint of a lease's subscription to 0, in a transaction or as a statement of its own; returns whether it
/// did.
pub(crate) async fn rewind(connection: &mut PgConnection, lease: &Lease) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "WITH held AS (SELECT name FROM leases WHERE name = $1 AND owner = $2 AND epoch = $3 FOR SHARE)
         INSERT INTO checkpoints (name, position) SELECT name, 0 FROM held
         ON CONFLICT (name) DO UPDATE SET position = excluded.position",
        lease.name,
        lease.owner,
        to_i64(lease.epoch)
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

#[async_trait]
impl Checkpoints for PostgresStore {
    /// Synced to disk: an epoch that a crash undid could be given to another owner.
    async fn acquire(
        &self,
        name: &str,
        owner: &str,
        now: DateTime<Utc>,
        ttl: Duration,
    ) -> Result<Option<Lease>, Unavailable> {
        const OPERATION: &str = "acquire a lease";
        let mut connection = self.inner.general.acquire(OPERATION).await?;
        let epoch = sqlx::query_scalar!(
            "INSERT INTO leases (name, owner, epoch, expires_at) VALUES ($1, $2, 1, $3)
             ON CONFLICT (name) DO UPDATE SET
                 epoch = leases.epoch
                     + (leases.owner IS DISTINCT FROM excluded.owner OR leases.expires_at <= $4)::integer,
                 owner = excluded.owner,
                 expires_at = excluded.expires_at
             WHERE leases.owner IS NOT DISTINCT FROM excluded.owner OR leases.expires_at <= $4
             RETURNING epoch",
            name,
            owner,
            expiry(now, ttl),
            now
        );
        let epoch = connection.deadline().run(epoch.fetch_optional(&mut *connection)).await;
        let Some(epoch) = connection.finish(epoch)? else { return Ok(None) };
        let epoch = Decoder(OPERATION).number("epoch", epoch)?;
        Ok(Some(Lease { name: name.to_owned(), owner: owner.to_owned(), epoch }))
    }

    async fn renew(&self, lease: &Lease, now: DateTime<Utc>, ttl: Duration) -> Result<(), LeaseError> {
        let mut connection = self.inner.general.acquire("renew a lease").await?;
        let renewed = sqlx::query!(
            "UPDATE leases SET expires_at = $1
             WHERE (SELECT deed_unsynced()) AND name = $2 AND owner = $3 AND epoch = $4",
            expiry(now, ttl),
            lease.name,
            lease.owner,
            to_i64(lease.epoch)
        );
        let renewed = connection.deadline().run(renewed.execute(&mut *connection)).await;
        lost_unless(connection.finish(renewed)?.rows_affected() == 1)
    }

    async fn release(&self, lease: &Lease) -> Result<(), Unavailable> {
        let mut connection = self.inner.general.acquire("release a lease").await?;
        let released = sqlx::query!(
            "UPDATE leases SET owner = NULL, expires_at = to_timestamp(0)
             WHERE (SELECT deed_unsynced()) AND name = $1 AND owner = $2 AND epoch = $3",
            lease.name,
            lease.owner,
            to_i64(lease.epoch)
        );
        let released = connection.deadline().run(released.execute(&mut *connection)).await;
        connection.finish(released).map(|_| ())
    }

    async fn checkpoint(&self, name: &str) -> Result<Position, Unavailable> {
        const OPERATION: &str = "read a checkpoint";
        let mut connection = self.inner.general.acquire(OPERATION).await?;
        let position = sqlx::query_scalar!("SELECT position FROM checkpoints WHERE name = $1", name);
        let position = connection.deadline().run(position.fetch_optional(&mut *connection)).await;
        Ok(Position(Decoder(OPERATION).number("position", connection.finish(position)?.unwrap_or(0))?))
    }

    async fn lag(&self, name: &str) -> Result<Lag, Unavailable> {
        const OPERATION: &str = "measure a lag";
        let mut connection = self.inner.general.acquire(OPERATION).await?;
        let found = sqlx::query!(
            r#"SELECT (SELECT max(position) FROM events) - reached.position AS events,
                      (SELECT recorded_at FROM events WHERE events.position > reached.position
                       ORDER BY events.position LIMIT 1) AS since
               FROM (SELECT coalesce((SELECT position FROM checkpoints WHERE name = $1), 0) AS position) AS reached"#,
            name
        );
        let found = connection.deadline().run(found.fetch_one(&mut *connection)).await;
        let found = connection.finish(found)?;
        // The subscription reports a checkpoint ahead of the log.
        let count = Decoder(OPERATION).number("position", found.events.unwrap_or(0).max(0))?;
        Ok(Lag { count, since: found.since })
    }

    async fn advance(&self, lease: &Lease, from: Position, to: Position) -> Result<(), LeaseError> {
        let mut connection = self.inner.general.acquire("advance a checkpoint").await?;
        let moved = connection.deadline().run(advance(&mut connection, lease, from, to)).await;
        lost_unless(connection.finish(moved)?)
    }
}
