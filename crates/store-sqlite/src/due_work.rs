//! Due work: rows are handed out by hiding them for a while.
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deed_store::{DueItem, DueWork, Overdue, Unavailable};
use serde::Serialize;

use crate::columns::{Decoder, json_rows, micros, to_i64};
use crate::open::SqliteStore;
use crate::writer::Durability;

type DueRecord = deed_store::rows::DueRecord<i64>;

/// Stream, claim, kind, attempt, due time.
#[derive(Serialize)]
struct DueItemJson<'a>(&'a str, String, &'static str, u32, i64);

#[async_trait]
impl DueWork for SqliteStore {
    async fn claim_due(
        &self,
        now: DateTime<Utc>,
        limit: usize,
        visible_again: DateTime<Utc>,
    ) -> Result<Vec<DueItem>, Unavailable> {
        const OPERATION: &str = "claim due work";
        let (now, limit, visible_again) = (micros(now), to_i64(limit), micros(visible_again));
        let mut writer = self.inner.writer.lock(Durability::Ordered, OPERATION).await?;
        let mut tx = writer.begin().await?;
        let claimed = sqlx::query_as!(
            DueRecord,
            r#"UPDATE due_work SET visible_at = ?1
               WHERE (stream, claim_id, kind, attempt) IN (
                   SELECT stream, claim_id, kind, attempt FROM due_work
                   WHERE visible_at <= ?2 ORDER BY visible_at LIMIT ?3)
               RETURNING stream AS "stream!: String", claim_id AS "claim_id!: String", kind AS "kind!: String",
                         attempt AS "attempt!: i64", due_at AS "due_at!: i64""#,
            visible_again,
            now,
            limit
        )
        .fetch_all(&mut *tx)
        .await
        .map_err(|e| Unavailable::new(OPERATION, e))?;
        tx.commit().await.map_err(|e| Unavailable::new(OPERATION, e))?;
        DueRecord::decode_all(claimed, Decoder(OPERATION))
    }

    async fn give_back(&self, items: &[DueItem]) -> Result<(), Unavailable> {
        const OPERATION: &str = "give due work back";
        if items.is_empty() {
            return Ok(());
        }
        let given: Vec<_> = items
            .iter()
            .map(|i| {
                let claim_id = i.claim_id.to_string();
                DueItemJson(i.stream.as_str(), claim_id, i.kind.as_str(), i.attempt, micros(i.due_at))
            })
            .collect();
        let given = json_rows(OPERATION, &given)?;
        let mut writer = self.inner.writer.lock(Durability::Ordered, OPERATION).await?;
        sqlx::query!(
            "UPDATE due_work SET visible_at = due_at
             FROM json_each(?) AS given
             WHERE stream = given.value ->> 0 AND claim_id = given.value ->> 1 AND kind = given.value ->> 2
               AND attempt = given.value ->> 3 AND due_at = given.value ->> 4",
            given
        )
        .execute(writer.autocommit().await?)
        .await
        .map(|_| ())
        .map_err(|e| Unavailable::new(OPERATION, e))
    }

    async fn next_due_at(&self) -> Result<Option<DateTime<Utc>>, Unavailable> {
        const OPERATION: &str = "read the next due time";
        let next = sqlx::query_scalar!(r#"SELECT min(visible_at) AS "next: i64" FROM due_work"#)
            .fetch_one(&self.inner.readers)
            .await
            .map_err(|e| Unavailable::new(OPERATION, e))?;
        next.map(|at| Decoder(OPERATION).instant("visible_at", at)).transpose()
    }

    async fn overdue(&self, now: DateTime<Utc>) -> Result<Overdue, Unavailable> {
        const OPERATION: &str = "count due work";
        let now = micros(now);
        let found = sqlx::query!(
            r#"SELECT (SELECT count(*) FROM due_work) AS "waiting!: i64", count(*) AS "overdue!: i64",
                      min(due_at) AS "oldest: i64"
               FROM due_work WHERE visible_at <= ?"#,
            now
        )
        .fetch_one(&self.inner.readers)
        .await
        .map_err(|e| Unavailable::new(OPERATION, e))?;
        let decoder = Decoder(OPERATION);
        Ok(Overdue {
            waiting: decoder.number("waiting", found.waiting)?,
            overdue: decoder.number("overdue", found.overdue)?,
            oldest: found.oldest.map(|at| decoder.instant("due_at", at)).transpose()?,
        })
    }
}
