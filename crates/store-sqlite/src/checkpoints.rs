//! Leases and checkpoints: compare-and-set under the epoch of a lease.
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deed_store::{Checkpoints, Lag, Lease, LeaseError, Position, Unavailable};
use sqlx::sqlite::SqliteConnection;

use crate::columns::{Decoder, micros, to_i64};
use crate::open::SqliteStore;
use crate::writer::Durability;

fn expiry(now: DateTime<Utc>, ttl: Duration) -> i64 {
    micros(now).saturating_add(to_i64(ttl.as_micros()))
}

/// Moves the checkpoint of a lease's subscription, in a transaction or as a statement of its own.
pub(crate) async fn advance(
    connection: &mut SqliteConnection,
    operation: &'static str,
    lease: &Lease,
    from: Position,
    to: Position,
) -> Result<(), LeaseError> {
    let (epoch, from, to) = (to_i64(lease.epoch), to_i64(from.0), to_i64(to.0));
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
    .map_err(|e| Unavailable::new(operation, e))?;
    if done.rows_affected() == 1 { Ok(()) } else { Err(LeaseError::Lost) }
}

/// Sets the checkpoint of a lease's subscription to 0, in a transaction or as a statement of its own.
pub(crate) async fn rewind(
    connection: &mut SqliteConnection,
    operation: &'static str,
    lease: &Lease,
) -> Result<(), LeaseError> {
    let epoch = to_i64(lease.epoch);
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
    .map_err(|e| Unavailable::new(operation, e))?;
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
        const OPERATION: &str = "acquire a lease";
        let (expires_at, now) = (expiry(now, ttl), micros(now));
        let mut writer = self.inner.writer.lock(Durability::Ordered, OPERATION).await?;
        let mut tx = writer.begin().await?;
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
        .map_err(|e| Unavailable::new(OPERATION, e))?;
        tx.commit().await.map_err(|e| Unavailable::new(OPERATION, e))?;
        let Some(epoch) = epoch else { return Ok(None) };
        let epoch = Decoder(OPERATION).number("epoch", epoch)?;
        Ok(Some(Lease { name: name.to_owned(), owner: owner.to_owned(), epoch }))
    }

    async fn renew(&self, lease: &Lease, now: DateTime<Utc>, ttl: Duration) -> Result<(), LeaseError> {
        const OPERATION: &str = "renew a lease";
        let (expires_at, epoch) = (expiry(now, ttl), to_i64(lease.epoch));
        let mut writer = self.inner.writer.lock(Durability::Ordered, OPERATION).await?;
        let done = sqlx::query!(
            "UPDATE leases SET expires_at = ? WHERE name = ? AND owner = ? AND epoch = ?",
            expires_at,
            lease.name,
            lease.owner,
            epoch
        )
        .execute(writer.autocommit().await?)
        .await
        .map_err(|e| Unavailable::new(OPERATION, e))?;
        if done.rows_affected() == 1 { Ok(()) } else { Err(LeaseError::Lost) }
    }

    async fn release(&self, lease: &Lease) -> Result<(), Unavailable> {
        const OPERATION: &str = "release a lease";
        let epoch = to_i64(lease.epoch);
        let mut writer = self.inner.writer.lock(Durability::Ordered, OPERATION).await?;
        sqlx::query!(
            "UPDATE leases SET owner = NULL, expires_at = 0 WHERE name = ? AND owner = ? AND epoch = ?",
            lease.name,
            lease.owner,
            epoch
        )
        .execute(writer.autocommit().await?)
        .await
        .map_err(|e| Unavailable::new(OPERATION, e))?;
        Ok(())
    }

    async fn checkpoint(&self, name: &str) -> Result<Position, Unavailable> {
        const OPERATION: &str = "read a checkpoint";
        let position = sqlx::query_scalar!("SELECT position FROM checkpoints WHERE name = ?", name)
            .fetch_optional(&self.inner.readers)
            .await
            .map_err(|e| Unavailable::new(OPERATION, e))?;
        Ok(Position(Decoder(OPERATION).number("position", position.unwrap_or(0))?))
    }

    async fn lag(&self, name: &str) -> Result<Lag, Unavailable> {
        const OPERATION: &str = "measure a lag";
        let found = sqlx::query!(
            r#"SELECT (SELECT max(position) FROM events) - at AS "events?: i64",
                      (SELECT recorded_at FROM events WHERE position > at ORDER BY position LIMIT 1) AS "since?: i64"
               FROM (SELECT coalesce((SELECT position FROM checkpoints WHERE name = ?), 0) AS at)"#,
            name
        )
        .fetch_one(&self.inner.readers)
        .await
        .map_err(|e| Unavailable::new(OPERATION, e))?;
        let decoder = Decoder(OPERATION);
        // The subscription reports a checkpoint ahead of the log.
        let count = decoder.number("position", found.events.unwrap_or(0).max(0))?;
        let since = found.since.map(|at| decoder.instant("recorded_at", at)).transpose()?;
        Ok(Lag { count, since })
    }

    async fn advance(&self, lease: &Lease, from: Position, to: Position) -> Result<(), LeaseError> {
        const OPERATION: &str = "advance a checkpoint";
        let mut writer = self.inner.writer.lock(Durability::Ordered, OPERATION).await?;
        advance(writer.autocommit().await?, OPERATION, lease, from, to).await
    }
}
