//! Due work: rows are handed out by hiding them for a while.
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deed_store::{DueItem, DueWork, Overdue, Unavailable};

use crate::columns::{Decoder, to_i64};
use crate::open::PostgresStore;

type DueRecord = deed_store::rows::DueRecord<DateTime<Utc>>;

#[async_trait]
impl DueWork for PostgresStore {
    /// Skips rows that another call is handing out; the `ctid` of a row saves a second lookup.
    async fn claim_due(
        &self,
        now: DateTime<Utc>,
        limit: usize,
        visible_again: DateTime<Utc>,
    ) -> Result<Vec<DueItem>, Unavailable> {
        const OPERATION: &str = "claim due work";
        let mut connection = self.inner.general.acquire(OPERATION).await?;
        let claimed = sqlx::query_as!(
            DueRecord,
            "UPDATE due_work SET visible_at = $1
             WHERE (SELECT deed_unsynced()) AND ctid = ANY (ARRAY(
                 SELECT ctid FROM due_work WHERE visible_at <= $2 ORDER BY visible_at, due_at LIMIT $3
                 FOR UPDATE SKIP LOCKED))
             RETURNING stream, claim_id, kind, attempt, due_at",
            visible_again,
            now,
            to_i64(limit)
        );
        let claimed = connection.deadline().run(claimed.fetch_all(&mut *connection)).await;
        DueRecord::decode_all(connection.finish(claimed)?, Decoder(OPERATION))
    }

    /// Locks rows in the order of the key, as every statement that changes several rows.
    async fn give_back(&self, items: &[DueItem]) -> Result<(), Unavailable> {
        if items.is_empty() {
            return Ok(());
        }
        let streams: Vec<_> = items.iter().map(|item| item.stream.as_str()).collect();
        let claims: Vec<_> = items.iter().map(|item| item.claim_id.to_string()).collect();
        let kinds: Vec<_> = items.iter().map(|item| item.kind.as_str()).collect();
        let attempts: Vec<i64> = items.iter().map(|item| item.attempt.into()).collect();
        let instants: Vec<_> = items.iter().map(|item| item.due_at).collect();
        let mut connection = self.inner.general.acquire("give due work back").await?;
        let given = sqlx::query!(
            "WITH given AS (
                 SELECT d.stream, d.claim_id, d.kind, d.attempt
                 FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[])
                     AS g (stream, claim_id, kind, attempt, due_at)
                 JOIN due_work AS d USING (stream, claim_id, kind, attempt)
                 WHERE d.due_at = g.due_at
                 ORDER BY d.stream, d.claim_id, d.kind, d.attempt
                 FOR UPDATE OF d)
             UPDATE due_work AS d SET visible_at = d.due_at FROM given
             WHERE (SELECT deed_unsynced()) AND d.stream = given.stream AND d.claim_id = given.claim_id
               AND d.kind = given.kind AND d.attempt = given.attempt",
            &streams as &[&str],
            &claims,
            &kinds as &[&str],
            &attempts,
            &instants
        );
        let given = connection.deadline().run(given.execute(&mut *connection)).await;
        connection.finish(given).map(|_| ())
    }

    async fn next_due_at(&self) -> Result<Option<DateTime<Utc>>, Unavailable> {
        let mut connection = self.inner.general.acquire("read the next due time").await?;
        let next = sqlx::query_scalar!("SELECT min(visible_at) FROM due_work");
        let next = connection.deadline().run(next.fetch_one(&mut *connection)).await;
        connection.finish(next)
    }

    async fn overdue(&self, now: DateTime<Utc>) -> Result<Overdue, Unavailable> {
        const OPERATION: &str = "count due work";
        let mut connection = self.inner.general.acquire(OPERATION).await?;
        let found = sqlx::query!(
            r#"SELECT (SELECT waiting FROM due_work_size) AS "waiting!", count(*) AS "overdue!",
                      min(due_at) AS oldest
               FROM due_work WHERE visible_at <= $1"#,
            now
        );
        let found = connection.deadline().run(found.fetch_one(&mut *connection)).await;
        let (found, decoder) = (connection.finish(found)?, Decoder(OPERATION));
        Ok(Overdue {
            waiting: decoder.number("waiting", found.waiting)?,
            overdue: decoder.number("overdue", found.overdue)?,
            oldest: found.oldest,
        })
    }
}
