//! Answers to requests with an idempotency key.
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deed_store::{Begin, Idempotency, Receipt, RequestKey, StoredResponse, Unavailable};

use crate::append::Answers;
use crate::columns::signed;
use crate::open::PostgresStore;
use crate::pool::{Failure, Pool};
use crate::requests::{Beginning, RequestOp, Run};

const BEGIN: &str = "begin requests";
const KEEP: &str = "keep answers";
const ABANDON: &str = "abandon requests";

/// What a statement answers; a failure comes with what was tried.
type Answer<T> = Result<T, (&'static str, Failure)>;

/// API key and idempotency key.
pub(crate) type Key<'a> = (&'a str, &'a str);

/// Keys of requests, column by column.
pub(crate) struct Columns<'a> {
    key_ids: Vec<&'a str>,
    idempotency_keys: Vec<&'a str>,
}

impl<'a> Columns<'a> {
    pub(crate) fn of(keys: impl Iterator<Item = Key<'a>>) -> Self {
        let (key_ids, idempotency_keys) = keys.unzip();
        Self { key_ids, idempotency_keys }
    }
}

/// The statement and its call, with the connection back where it belongs.
macro_rules! alone {
    ($pool:expr, $what:expr, $query:expr, $how:ident) => {{
        let mut connection = $pool.borrow($what).await.map_err(|failure| ($what, failure))?;
        let answer = connection.until().wait($query.$how(&mut *connection)).await;
        connection.done_alone(answer).map_err(|failure| ($what, failure))
    }};
}

/// Begins requests that are not there; those that were begun.
pub(crate) async fn start(pool: &Pool, runs: &[(Key<'_>, Run)]) -> Answer<Vec<(String, String)>> {
    let keys = Columns::of(runs.iter().map(|(key, _)| *key));
    let fingerprints: Vec<_> = runs.iter().map(|(_, run)| run.fingerprint.as_slice()).collect();
    let begun: Vec<_> = runs.iter().map(|(_, run)| run.begun_at).collect();
    let locked: Vec<_> = runs.iter().map(|(_, run)| run.locked_until).collect();
    let started = sqlx::query!(
        "INSERT INTO requests (key_id, idempotency_key, fingerprint, begun_at, locked_until)
         SELECT key_id, idempotency_key, fingerprint, begun_at, locked_until
         FROM unnest($1::text[], $2::text[], $3::bytea[], $4::timestamptz[], $5::timestamptz[])
             AS r (key_id, idempotency_key, fingerprint, begun_at, locked_until)
         WHERE (SELECT deed_unsynced())
         ON CONFLICT (key_id, idempotency_key) DO NOTHING
         RETURNING key_id, idempotency_key",
        &keys.key_ids as &[&str],
        &keys.idempotency_keys as &[&str],
        &fingerprints as &[&[u8]],
        &begun,
        &locked
    );
    let started = alone!(pool, BEGIN, started, fetch_all)?;
    Ok(started.into_iter().map(|row| (row.key_id, row.idempotency_key)).collect())
}

/// What is known of requests, each with its place among the keys.
pub(crate) async fn runs(pool: &Pool, keys: &Columns<'_>) -> Answer<Vec<(usize, Run)>> {
    let found = sqlx::query!(
        r#"SELECT place AS "place!", r.fingerprint, r.begun_at, r.locked_until, r.status, r.body
           FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS asked (key_id, idempotency_key, place)
           JOIN requests AS r USING (key_id, idempotency_key)"#,
        &keys.key_ids as &[&str],
        &keys.idempotency_keys as &[&str]
    );
    let found = alone!(pool, BEGIN, found, fetch_all)?;
    let runs = found.into_iter().map(|row| {
        decode((row.place, row.fingerprint, row.begun_at, row.locked_until, row.status.zip(row.body)))
    });
    runs.collect::<Option<_>>().ok_or((BEGIN, Failure::Unreadable("requests")))
}

/// Place, fingerprint, when it was begun, until when it is taken for alive, the answer.
type RunRow = (i64, Vec<u8>, DateTime<Utc>, DateTime<Utc>, Option<(i32, String)>);

fn decode((place, fingerprint, begun_at, locked_until, answer): RunRow) -> Option<(usize, Run)> {
    let response = match answer {
        Some((status, body)) => Some(StoredResponse { status: status.try_into().ok()?, body }),
        None => None,
    };
    let place = usize::try_from(place).ok()?.checked_sub(1)?;
    Some((place, Run { fingerprint: fingerprint.try_into().ok()?, begun_at, locked_until, response }))
}

/// Puts new runs in the place of those that are still as they were seen; which.
pub(crate) async fn replace(pool: &Pool, pairs: &[(Key<'_>, Run, Run)]) -> Answer<Vec<(String, String)>> {
    let keys = Columns::of(pairs.iter().map(|(key, ..)| *key));
    let seen: Vec<_> = pairs.iter().map(|(_, old, _)| old.begun_at).collect();
    let seen_locked: Vec<_> = pairs.iter().map(|(_, old, _)| old.locked_until).collect();
    let answered: Vec<_> = pairs.iter().map(|(_, old, _)| old.response.is_some()).collect();
    let fingerprints: Vec<_> = pairs.iter().map(|(.., new)| new.fingerprint.as_slice()).collect();
    let begun: Vec<_> = pairs.iter().map(|(.., new)| new.begun_at).collect();
    let locked: Vec<_> = pairs.iter().map(|(.., new)| new.locked_until).collect();
    let replaced = sqlx::query!(
        "UPDATE requests AS r
         SET fingerprint = n.fingerprint, begun_at = n.begun_at, locked_until = n.locked_until, status = NULL, body = NULL
         FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::boolean[], $5::bytea[], $6::timestamptz[],
                     $7::timestamptz[], $8::timestamptz[])
             AS n (key_id, idempotency_key, seen, answered, fingerprint, begun_at, locked_until, seen_locked)
         WHERE (SELECT deed_unsynced()) AND r.key_id = n.key_id AND r.idempotency_key = n.idempotency_key
           AND r.begun_at = n.seen AND r.locked_until = n.seen_locked AND (r.status IS NOT NULL) = n.answered
         RETURNING r.key_id, r.idempotency_key",
        &keys.key_ids as &[&str],
        &keys.idempotency_keys as &[&str],
        &seen,
        &answered,
        &fingerprints as &[&[u8]],
        &begun,
        &locked,
        &seen_locked
    );
    let replaced = alone!(pool, BEGIN, replaced, fetch_all)?;
    Ok(replaced.into_iter().map(|row| (row.key_id, row.idempotency_key)).collect())
}

/// Keeps answers of requests that are begun and not answered.
pub(crate) async fn keep(pool: &Pool, answers: &Answers<'_>) -> Answer<()> {
    let kept = sqlx::query!(
        "UPDATE requests AS r SET status = a.status, body = a.body
         FROM unnest($1::text[], $2::text[], $3::integer[], $4::text[]) AS a (key_id, idempotency_key, status, body)
         WHERE (SELECT deed_unsynced()) AND r.key_id = a.key_id AND r.idempotency_key = a.idempotency_key
           AND r.status IS NULL",
        &answers.key_ids as &[&str],
        &answers.idempotency_keys as &[&str],
        &answers.statuses,
        &answers.bodies as &[&str]
    );
    alone!(pool, KEEP, kept, execute).map(|_| ())
}

/// Ends the runs of those that are not answered: a run that is over since the epoch gives way to the same request.
pub(crate) async fn abandon(pool: &Pool, keys: &Columns<'_>) -> Answer<()> {
    let abandoned = sqlx::query!(
        "UPDATE requests AS r SET locked_until = 'epoch'
         FROM unnest($1::text[], $2::text[]) AS a (key_id, idempotency_key)
         WHERE (SELECT deed_unsynced()) AND r.key_id = a.key_id AND r.idempotency_key = a.idempotency_key
           AND r.status IS NULL",
        &keys.key_ids as &[&str],
        &keys.idempotency_keys as &[&str]
    );
    alone!(pool, ABANDON, abandoned, execute).map(|_| ())
}

#[async_trait]
impl Idempotency for PostgresStore {
    async fn begin(
        &self,
        request: &RequestKey,
        fingerprint: [u8; 32],
        now: DateTime<Utc>,
        locked_until: DateTime<Utc>,
        forget_before: DateTime<Utc>,
    ) -> Result<Begin, Unavailable> {
        let beginning = Beginning { request: request.clone(), fingerprint, now, locked_until, forget_before };
        self.requests.submit(RequestOp::Begin(beginning)).await?.begun()
    }

    async fn complete(&self, receipt: &Receipt) -> Result<(), Unavailable> {
        self.requests.submit(RequestOp::Complete(receipt.clone())).await.map(|_| ())
    }

    async fn abandon(&self, request: &RequestKey) -> Result<(), Unavailable> {
        self.requests.submit(RequestOp::Abandon(request.clone())).await.map(|_| ())
    }

    /// Rows that somebody is changing are left for the next time.
    async fn purge(&self, before: DateTime<Utc>, limit: usize) -> Result<u64, Unavailable> {
        let mut connection = self.database.general.take("forget old requests").await?;
        let purged = sqlx::query!(
            "DELETE FROM requests WHERE (SELECT deed_unsynced()) AND ctid = ANY (ARRAY(
                 SELECT ctid FROM requests WHERE begun_at < $1 ORDER BY begun_at LIMIT $2 FOR UPDATE SKIP LOCKED))",
            before,
            signed(limit)
        );
        let purged = connection.until().wait(purged.execute(&mut *connection)).await;
        Ok(connection.done(purged)?.rows_affected())
    }
}
