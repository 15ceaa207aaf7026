//! Responses to requests with an idempotency key: the statements.
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deed_store::{
    Begin, BeginRequest, Idempotency, Receipt, RequestKey, RequestRun, StoredResponse, Unavailable,
};

use crate::append::ReceiptColumns;
use crate::columns::to_i64;
use crate::open::PostgresStore;
use crate::pool::{CallError, Pool};
use crate::requests::RequestOp;

const BEGIN: &str = "begin requests";
const COMPLETE: &str = "store responses";
const ABANDON: &str = "abandon requests";

/// The result of a statement; an error comes with its operation.
type StatementResult<T> = Result<T, (&'static str, CallError)>;

/// API key and idempotency key.
pub(crate) type RequestKeyRef<'a> = (&'a str, &'a str);

/// Keys of requests, in columns.
pub(crate) struct KeyColumns<'a> {
    key_ids: Vec<&'a str>,
    idempotency_keys: Vec<&'a str>,
}

impl<'a> KeyColumns<'a> {
    pub(crate) fn of(keys: impl Iterator<Item = RequestKeyRef<'a>>) -> Self {
        let (key_ids, idempotency_keys) = keys.unzip();
        Self { key_ids, idempotency_keys }
    }
}

/// Runs one statement on a connection of the pool and returns the connection.
macro_rules! run_statement {
    ($pool:expr, $operation:expr, $query:expr, $fetch:ident) => {{
        let mut connection = $pool.acquire_for($operation).await.map_err(|error| ($operation, error))?;
        let answer = connection.deadline().run($query.$fetch(&mut *connection)).await;
        connection.finish_statement(answer).map_err(|error| ($operation, error))
    }};
}

/// Inserts the runs of new requests; returns the keys that were inserted.
pub(crate) async fn start(
    pool: &Pool,
    runs: &[(RequestKeyRef<'_>, RequestRun)],
) -> StatementResult<Vec<(String, String)>> {
    let keys = KeyColumns::of(runs.iter().map(|(key, _)| *key));
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
    let started = run_statement!(pool, BEGIN, started, fetch_all)?;
    Ok(started.into_iter().map(|row| (row.key_id, row.idempotency_key)).collect())
}

/// The stored runs of requests, each with its index among the keys.
pub(crate) async fn runs(pool: &Pool, keys: &KeyColumns<'_>) -> StatementResult<Vec<(usize, RequestRun)>> {
    let found = sqlx::query!(
        r#"SELECT place AS "place!", r.fingerprint, r.begun_at, r.locked_until, r.status, r.body
           FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS asked (key_id, idempotency_key, place)
           JOIN requests AS r USING (key_id, idempotency_key)"#,
        &keys.key_ids as &[&str],
        &keys.idempotency_keys as &[&str]
    );
    let found = run_statement!(pool, BEGIN, found, fetch_all)?;
    let runs = found.into_iter().map(|row| {
        decode((row.place, row.fingerprint, row.begun_at, row.locked_until, row.status.zip(row.body)))
    });
    runs.collect::<Option<_>>().ok_or((BEGIN, CallError::Unreadable("requests")))
}

/// Index, fingerprint, time of begin, end of the lock, response.
type RunRecord = (i64, Vec<u8>, DateTime<Utc>, DateTime<Utc>, Option<(i32, String)>);

fn decode((place, fingerprint, begun_at, locked_until, answer): RunRecord) -> Option<(usize, RequestRun)> {
    let response = match answer {
        Some((status, body)) => Some(StoredResponse { status: status.try_into().ok()?, body }),
        None => None,
    };
    let place = usize::try_from(place).ok()?.checked_sub(1)?;
    Some((place, RequestRun { fingerprint: fingerprint.try_into().ok()?, begun_at, locked_until, response }))
}

/// Replaces runs that are unchanged since they were read; returns the keys that were replaced.
pub(crate) async fn replace(
    pool: &Pool,
    pairs: &[(RequestKeyRef<'_>, RequestRun, RequestRun)],
) -> StatementResult<Vec<(String, String)>> {
    let keys = KeyColumns::of(pairs.iter().map(|(key, ..)| *key));
    let read_begun: Vec<_> = pairs.iter().map(|(_, old, _)| old.begun_at).collect();
    let read_locked: Vec<_> = pairs.iter().map(|(_, old, _)| old.locked_until).collect();
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
        &read_begun,
        &answered,
        &fingerprints as &[&[u8]],
        &begun,
        &locked,
        &read_locked
    );
    let replaced = run_statement!(pool, BEGIN, replaced, fetch_all)?;
    Ok(replaced.into_iter().map(|row| (row.key_id, row.idempotency_key)).collect())
}

/// Stores the responses of requests that were begun and have no response.
pub(crate) async fn complete(pool: &Pool, receipts: &ReceiptColumns<'_>) -> StatementResult<()> {
    let completed = sqlx::query!(
        "UPDATE requests AS r SET status = a.status, body = a.body
         FROM unnest($1::text[], $2::text[], $3::integer[], $4::text[]) AS a (key_id, idempotency_key, status, body)
         WHERE (SELECT deed_unsynced()) AND r.key_id = a.key_id AND r.idempotency_key = a.idempotency_key
           AND r.status IS NULL",
        &receipts.key_ids as &[&str],
        &receipts.idempotency_keys as &[&str],
        &receipts.statuses,
        &receipts.bodies as &[&str]
    );
    run_statement!(pool, COMPLETE, completed, execute).map(|_| ())
}

/// Ends the runs of requests without a response: their lock ends at the epoch, so the same request can begin again.
pub(crate) async fn abandon(pool: &Pool, keys: &KeyColumns<'_>) -> StatementResult<()> {
    let abandoned = sqlx::query!(
        "UPDATE requests AS r SET locked_until = 'epoch'
         FROM unnest($1::text[], $2::text[]) AS a (key_id, idempotency_key)
         WHERE (SELECT deed_unsynced()) AND r.key_id = a.key_id AND r.idempotency_key = a.idempotency_key
           AND r.status IS NULL",
        &keys.key_ids as &[&str],
        &keys.idempotency_keys as &[&str]
    );
    run_statement!(pool, ABANDON, abandoned, execute).map(|_| ())
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
        let begin = BeginRequest { request: request.clone(), fingerprint, now, locked_until, forget_before };
        self.request_batcher.submit(RequestOp::Begin(begin)).await?.begun()
    }

    async fn complete(&self, receipt: &Receipt) -> Result<(), Unavailable> {
        self.request_batcher.submit(RequestOp::Complete(receipt.clone())).await.map(|_| ())
    }

    async fn abandon(&self, request: &RequestKey) -> Result<(), Unavailable> {
        self.request_batcher.submit(RequestOp::Abandon(request.clone())).await.map(|_| ())
    }

    /// Skips rows that another call is changing.
    async fn purge(&self, before: DateTime<Utc>, limit: usize) -> Result<u64, Unavailable> {
        let mut connection = self.inner.general.acquire("delete old requests").await?;
        let purged = sqlx::query!(
            "DELETE FROM requests WHERE (SELECT deed_unsynced()) AND ctid = ANY (ARRAY(
                 SELECT ctid FROM requests WHERE begun_at < $1 ORDER BY begun_at LIMIT $2 FOR UPDATE SKIP LOCKED))",
            before,
            to_i64(limit)
        );
        let purged = connection.deadline().run(purged.execute(&mut *connection)).await;
        Ok(connection.finish(purged)?.rows_affected())
    }
}
