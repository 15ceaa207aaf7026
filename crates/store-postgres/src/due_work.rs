//! Due work: handing out rows by hiding them for a while.
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deed_claims::DueKind;
use deed_store::{DueItem, DueWork, Overdue, Unavailable};

use crate::columns::{Reading, signed};
use crate::open::PostgresStore;

/// A row as it lies in the table.
struct DueColumns {
    stream: String,
    claim_id: String,
    kind: String,
    attempt: i64,
    due_at: DateTime<Utc>,
}

impl DueColumns {
    fn decode(self, reading: Reading) -> Result<DueItem, Unavailable> {
        let kind = [DueKind::Check, DueKind::Expire].into_iter().find(|k| k.as_str() == self.kind);
        Ok(DueItem {
            stream: reading.parsed("stream", &self.stream)?,
            claim_id: reading.parsed("claim_id", &self.claim_id)?,
            kind: kind.ok_or_else(|| reading.unreadable("kind", None))?,
            attempt: reading.number("attempt", self.attempt)?,
            due_at: self.due_at,
        })
    }
}

#[async_trait]
impl DueWork for PostgresStore {
    /// Rows that another is about to hand out are passed over; a row's place in the table spares a second search for it.
    async fn claim_due(
        &self,
        now: DateTime<Utc>,
        limit: usize,
        visible_again: DateTime<Utc>,
    ) -> Result<Vec<DueItem>, Unavailable> {
        const WHAT: &str = "claim due work";
        let mut connection = self.database.general.take(WHAT).await?;
        let claimed = sqlx::query_as!(
            DueColumns,
            "UPDATE due_work SET visible_at = $1
             WHERE (SELECT deed_unsynced()) AND ctid = ANY (ARRAY(
                 SELECT ctid FROM due_work WHERE visible_at <= $2 ORDER BY visible_at, due_at LIMIT $3
                 FOR UPDATE SKIP LOCKED))
             RETURNING stream, claim_id, kind, attempt, due_at",
            visible_again,
            now,
            signed(limit)
        );
        let claimed = connection.until().wait(claimed.fetch_all(&mut *connection)).await;
        let items = connection.done(claimed)?.into_iter().map(|row| row.decode(Reading(WHAT)));
        let mut items = items.collect::<Result<Vec<_>, _>>()?;
        items.sort_by_key(|item| (item.due_at, item.claim_id, item.kind));
        Ok(items)
    }

    /// Rows are locked in the order of their key, as by everybody who changes several.
    async fn give_back(&self, items: &[DueItem]) -> Result<(), Unavailable> {
        if items.is_empty() {
            return Ok(());
        }
        let streams: Vec<_> = items.iter().map(|item| item.stream.as_str()).collect();
        let claims: Vec<_> = items.iter().map(|item| item.claim_id.to_string()).collect();
        let kinds: Vec<_> = items.iter().map(|item| item.kind.as_str()).collect();
        let attempts: Vec<i64> = items.iter().map(|item| item.attempt.into()).collect();
        let instants: Vec<_> = items.iter().map(|item| item.due_at).collect();
        let mut connection = self.database.general.take("give due work back").await?;
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
        let given = connection.until().wait(given.execute(&mut *connection)).await;
        connection.done(given).map(|_| ())
    }

    async fn next_due_at(&self) -> Result<Option<DateTime<Utc>>, Unavailable> {
        let mut connection = self.database.general.take("look for due work").await?;
        let next = sqlx::query_scalar!("SELECT min(visible_at) FROM due_work");
        let next = connection.until().wait(next.fetch_one(&mut *connection)).await;
        connection.done(next)
    }

    async fn overdue(&self, now: DateTime<Utc>) -> Result<Overdue, Unavailable> {
        const WHAT: &str = "count due work";
        let mut connection = self.database.general.take(WHAT).await?;
        let found = sqlx::query!(
            r#"SELECT (SELECT waiting FROM due_work_size) AS "waiting!", count(*) AS "overdue!",
                      min(due_at) AS oldest
               FROM due_work WHERE visible_at <= $1"#,
            now
        );
        let found = connection.until().wait(found.fetch_one(&mut *connection)).await;
        let (found, reading) = (connection.done(found)?, Reading(WHAT));
        Ok(Overdue {
            waiting: reading.number("waiting", found.waiting)?,
            overdue: reading.number("overdue", found.overdue)?,
            oldest: found.oldest,
        })
    }
}
