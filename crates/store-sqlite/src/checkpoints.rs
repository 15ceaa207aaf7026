//! Leases and checkpoints: compare-and-set under the epoch of a lease.
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deed_store::{Behind, Checkpoints, Lease, LeaseError, Position, Unavailable};
use sqlx::sqlite::SqliteConnection;

use crate::columns::{Reading, micros, signed};
use crate::open::SqliteStore;
use crate::writer::Durability;

fn expiry(now: DateTime<Utc>, ttl: Duration) -> i64 {
    micros(now).saturating_add(signed(ttl.as_micros()))
}

/// Moves the checkpoint of a lease's subscription, in a transaction or as one.
pub(crate) async fn advance(
    connection: &mut SqliteConnection,
    what: &'static str,
    lease: &Lease,
    from: Position,
    to: Position,
) -> Result<(), LeaseError> {
    let (epoch, from, to) = (signed(lease.epoch), signed(from.0), signed(to.0));
    let done = sqlx::query!(
        "INSERT INTO checkpoints (name, position)
         SELECT name, ?1 FROM leases
         WHERE name = ?2 AND owner = ?3 AND epoch = ?4
           AND coalesce((SELECT position FROM checkpoints WHERE name = ?2), 0) = ?5
         ON CONFLICT (name) DO UPDATE SET position = excluded.position",
        to,
        lease.name,
        lease.owner,
        epoch,
        from
    )
    .execute(connection)
    .await
    .map_err(|e| Unavailable::new(what, e))?;
    if done.rows_affected() == 1 { Ok(()) } else { Err(LeaseError::Lost) }
}

/// Sets the checkpoint of a lease's subscription to 0, in a transaction or as one.
pub(crate) async fn rewind(
    connection: &mut SqliteConnection,
    what: &'static str,
    lease: &Lease,
) -> Result<(), LeaseError> {
    let epoch = signed(lease.epoch);
    let done = sqlx::query!(
        "INSERT INTO checkpoints (name, position)
         SELECT name, 0 FROM leases WHERE name = ? AND owner = ? AND epoch = ?
         ON CONFLICT (name) DO UPDATE SET position = excluded.position",
        lease.name,
        lease.owner,
        epoch
    )
    .execute(connection)
    .await
    .map_err(|e| Unavailable::new(what, e))?;
    if done.rows_affected() == 1 { Ok(()) } else { Err(LeaseError::Lost) }
}

#[async_trait]
impl Checkpoints for SqliteStore {
    async fn acquire(
        &self,
        name: &str,
        owner: &str,
        now: DateTime<Utc>,
        ttl: Duration,
    ) -> Result<Option<Lease>, Unavailable> {
        const WHAT: &str = "acquire a lease";
        let (expires_at, now) = (expiry(now, ttl), micros(now));
        let mut turn = self.database.writer.turn(Durability::Ordered, WHAT).await?;
        let mut tx = turn.begin().await?;
        let epoch = sqlx::query_scalar!(
            r#"INSERT INTO leases (name, owner, epoch, expires_at) VALUES (?1, ?2, 1, ?3)
               ON CONFLICT (name) DO UPDATE SET
                   epoch = epoch + (owner IS NOT excluded.owner OR leases.expires_at <= ?4),
                   owner = excluded.owner,
                   expires_at = excluded.expires_at
               WHERE owner IS excluded.owner OR leases.expires_at <= ?4
               RETURNING epoch AS "epoch!: i64""#,
            name,
            owner,
            expires_at,
            now
        )
        .fetch_optional(&mut *tx)
        .await
        .map_err(|e| Unavailable::new(WHAT, e))?;
        tx.commit().await.map_err(|e| Unavailable::new(WHAT, e))?;
        let Some(epoch) = epoch else { return Ok(None) };
        let epoch = Reading(WHAT).number("epoch", epoch)?;
        Ok(Some(Lease { name: name.to_owned(), owner: owner.to_owned(), epoch }))
    }

    async fn renew(&self, lease: &Lease, now: DateTime<Utc>, ttl: Duration) -> Result<(), LeaseError> {
        const WHAT: &str = "renew a lease";
        let (expires_at, epoch) = (expiry(now, ttl), signed(lease.epoch));
        let mut turn = self.database.writer.turn(Durability::Ordered, WHAT).await?;
        let done = sqlx::query!(
            "UPDATE leases SET expires_at = ? WHERE name = ? AND owner = ? AND epoch = ?",
            expires_at,
            lease.name,
            lease.owner,
            epoch
        )
        .execute(turn.alone().await?)
        .await
        .map_err(|e| Unavailable::new(WHAT, e))?;
        if done.rows_affected() == 1 { Ok(()) } else { Err(LeaseError::Lost) }
    }

    async fn release(&self, lease: &Lease) -> Result<(), Unavailable> {
        const WHAT: &str = "release a lease";
        let epoch = signed(lease.epoch);
        let mut turn = self.database.writer.turn(Durability::Ordered, WHAT).await?;
        sqlx::query!(
            "UPDATE leases SET owner = NULL, expires_at = 0 WHERE name = ? AND owner = ? AND epoch = ?",
            lease.name,
            lease.owner,
            epoch
        )
        .execute(turn.alone().await?)
        .await
        .map_err(|e| Unavailable::new(WHAT, e))?;
        Ok(())
    }

    async fn checkpoint(&self, name: &str) -> Result<Position, Unavailable> {
        const WHAT: &str = "read a checkpoint";
        let position = sqlx::query_scalar!("SELECT position FROM checkpoints WHERE name = ?", name)
            .fetch_optional(&self.database.readers)
            .await
            .map_err(|e| Unavailable::new(WHAT, e))?;
        Ok(Position(Reading(WHAT).number("position", position.unwrap_or(0))?))
    }

    async fn behind(&self, name: &str) -> Result<Behind, Unavailable> {
        const WHAT: &str = "measure a lag";
        let found = sqlx::query!(
            r#"SELECT (SELECT max(position) FROM events) - at AS "events?: i64",
                      (SELECT recorded_at FROM events WHERE position > at ORDER BY position LIMIT 1) AS "since?: i64"
               FROM (SELECT coalesce((SELECT position FROM checkpoints WHERE name = ?), 0) AS at)"#,
            name
        )
        .fetch_one(&self.database.readers)
        .await
        .map_err(|e| Unavailable::new(WHAT, e))?;
        let reading = Reading(WHAT);
        // A checkpoint ahead of the log is an error of its own, told by the subscription.
        let count = reading.number("position", found.events.unwrap_or(0).max(0))?;
        let since = found.since.map(|at| reading.instant("recorded_at", at)).transpose()?;
        Ok(Behind { count, since })
    }

    async fn advance(&self, lease: &Lease, from: Position, to: Position) -> Result<(), LeaseError> {
        const WHAT: &str = "advance a checkpoint";
        let mut turn = self.database.writer.turn(Durability::Ordered, WHAT).await?;
        advance(turn.alone().await?, WHAT, lease, from, to).await
    }
}
