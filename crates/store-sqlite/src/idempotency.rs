//! Answers to requests with an idempotency key.
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deed_store::{Begin, Idempotency, Receipt, RequestKey, StoredResponse, Unavailable};

use crate::columns::{Reading, micros, signed};
use crate::open::SqliteStore;
use crate::writer::Durability;

#[async_trait]
impl Idempotency for SqliteStore {
    /// Not synced: when power is lost, the run is lost with it, and a run's effect takes its beginning along to
    /// the disk.
    async fn begin(
        &self,
        request: &RequestKey,
        fingerprint: [u8; 32],
        now: DateTime<Utc>,
        locked_until: DateTime<Utc>,
        forget_before: DateTime<Utc>,
    ) -> Result<Begin, Unavailable> {
        const WHAT: &str = "begin a request";
        let failed = |e| Unavailable::new(WHAT, e);
        let print = fingerprint.as_slice();
        let (now, locked_until, forget_before) = (micros(now), micros(locked_until), micros(forget_before));
        let mut turn = self.database.writer.turn(Durability::Ordered, WHAT).await?;
        let begun = sqlx::query!(
            "INSERT INTO requests (key_id, idempotency_key, fingerprint, begun_at, locked_until)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (key_id, idempotency_key) DO UPDATE SET
                 fingerprint = excluded.fingerprint, begun_at = excluded.begun_at,
                 locked_until = excluded.locked_until, status = NULL, body = NULL
             WHERE (requests.begun_at < ?6 AND (status IS NOT NULL OR requests.locked_until <= ?4))
                OR (requests.fingerprint = ?3 AND status IS NULL AND requests.locked_until <= ?4)",
            request.key_id.0,
            request.idempotency_key,
            print,
            now,
            locked_until,
            forget_before
        )
        .execute(turn.alone()?)
        .await
        .map_err(failed)?;
        if begun.rows_affected() == 1 {
            return Ok(Begin::Started);
        }
        let known = sqlx::query!(
            "SELECT fingerprint, status, body FROM requests WHERE key_id = ? AND idempotency_key = ?",
            request.key_id.0,
            request.idempotency_key
        )
        .fetch_optional(turn.alone()?)
        .await
        .map_err(failed)?;
        // Another process forgot it in between: whoever asks again begins it.
        let Some(known) = known else { return Ok(Begin::Running) };
        Ok(match (known.status, known.body) {
            _ if known.fingerprint != fingerprint => Begin::Mismatch,
            (Some(status), Some(body)) => {
                Begin::Answered(StoredResponse { status: Reading(WHAT).number("status", status)?, body })
            }
            _ => Begin::Running,
        })
    }

    /// Not synced: an answer that had no effect may be found anew when power is lost; one that had is written with it.
    async fn complete(&self, receipt: &Receipt) -> Result<(), Unavailable> {
        const WHAT: &str = "keep an answer";
        let failed = |e| Unavailable::new(WHAT, e);
        let (request, response) = (&receipt.request, &receipt.response);
        let mut turn = self.database.writer.turn(Durability::Ordered, WHAT).await?;
        sqlx::query!(
            "UPDATE requests SET status = ?, body = ?
             WHERE key_id = ? AND idempotency_key = ? AND status IS NULL",
            response.status,
            response.body,
            request.key_id.0,
            request.idempotency_key
        )
        .execute(turn.alone()?)
        .await
        .map(|_| ())
        .map_err(failed)
    }

    async fn abandon(&self, request: &RequestKey) -> Result<(), Unavailable> {
        const WHAT: &str = "abandon a request";
        let failed = |e| Unavailable::new(WHAT, e);
        let mut turn = self.database.writer.turn(Durability::Ordered, WHAT).await?;
        sqlx::query!(
            "DELETE FROM requests WHERE key_id = ? AND idempotency_key = ? AND status IS NULL",
            request.key_id.0,
            request.idempotency_key
        )
        .execute(turn.alone()?)
        .await
        .map(|_| ())
        .map_err(failed)
    }

    async fn purge(&self, before: DateTime<Utc>, limit: usize) -> Result<u64, Unavailable> {
        const WHAT: &str = "forget old requests";
        let failed = |e| Unavailable::new(WHAT, e);
        let (before, limit) = (micros(before), signed(limit));
        let mut turn = self.database.writer.turn(Durability::Ordered, WHAT).await?;
        let done = sqlx::query!(
            "DELETE FROM requests WHERE rowid IN (
                 SELECT rowid FROM requests WHERE begun_at < ? ORDER BY begun_at LIMIT ?)",
            before,
            limit
        )
        .execute(turn.alone()?)
        .await
        .map_err(failed)?;
        Ok(done.rows_affected())
    }
}
