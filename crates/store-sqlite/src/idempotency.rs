//! Responses to requests with an idempotency key.
use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use data_encoding::HEXLOWER;
use deed_store::{
    Begin, BeginRequest, Idempotency, Receipt, Receipts, RequestKey, RequestRun, StoredResponse, Unavailable,
};
use serde::Serialize;
use sqlx::sqlite::SqliteConnection;

use crate::batch::Op;
use crate::columns::{Decoder, json_rows, micros, to_i64};
use crate::open::SqliteStore;
use crate::writer::Durability;

const BEGIN: &str = "begin a request";

/// The runs of the requests that a batch begins.
pub(crate) struct RequestRuns<'a> {
    runs: HashMap<&'a RequestKey, RequestRun>,
    /// The requests of which this batch began the run.
    started: HashSet<&'a RequestKey>,
}

/// API key, idempotency key, fingerprint, time of begin, end of the lock.
#[derive(Serialize)]
struct RunJson<'a>(&'a str, &'a str, String, i64, i64);

impl<'a> RequestRuns<'a> {
    pub(crate) async fn read(
        connection: &mut SqliteConnection,
        begins: &[&'a BeginRequest],
    ) -> Result<Self, Unavailable> {
        let (mut runs, started) = (HashMap::with_capacity(begins.len()), HashSet::new());
        if begins.is_empty() {
            return Ok(Self { runs, started });
        }
        let keys: Vec<_> = begins.iter().map(|b| (&b.request.key_id.0, &b.request.idempotency_key)).collect();
        let keys = json_rows(BEGIN, &keys)?;
        let found = sqlx::query!(
            r#"SELECT CAST(asked.key AS INTEGER) AS "place!: i64", fingerprint, begun_at, locked_until, status, body
               FROM json_each(?) AS asked CROSS JOIN requests
               WHERE key_id = asked.value ->> 0 AND idempotency_key = asked.value ->> 1"#,
            keys
        )
        .fetch_all(connection)
        .await
        .map_err(|e| Unavailable::new(BEGIN, e))?;
        let decoder = Decoder(BEGIN);
        for row in found {
            let place: usize = decoder.number("key", row.place)?;
            let begin = begins.get(place).ok_or_else(|| decoder.unreadable("key", None))?;
            let response = match (row.status, row.body) {
                (Some(status), Some(body)) => {
                    Some(StoredResponse { status: decoder.number("status", status)?, body })
                }
                _ => None,
            };
            let fingerprint = row.fingerprint.try_into();
            let run = RequestRun {
                fingerprint: fingerprint.map_err(|_| decoder.unreadable("fingerprint", None))?,
                begun_at: decoder.instant("begun_at", row.begun_at)?,
                locked_until: decoder.instant("locked_until", row.locked_until)?,
                response,
            };
            runs.insert(&begin.request, run);
        }
        Ok(Self { runs, started })
    }

    /// Begins a request, after the begins before it in the batch.
    pub(crate) fn begin(&mut self, begin: &'a BeginRequest) -> Begin {
        if let Some(reply) = self.runs.get(&begin.request).and_then(|run| run.reply_to(begin)) {
            return reply;
        }
        self.runs.insert(&begin.request, RequestRun::of(begin));
        self.started.insert(&begin.request);
        Begin::Started
    }

    pub(crate) async fn write(self, connection: &mut SqliteConnection) -> Result<(), Unavailable> {
        let runs = self.started.iter().filter_map(|request| {
            let run = self.runs.get(*request)?;
            let (print, begun_at) = (HEXLOWER.encode(&run.fingerprint), micros(run.begun_at));
            let (key_id, key) = (&request.key_id.0, &request.idempotency_key);
            Some(RunJson(key_id, key, print, begun_at, micros(run.locked_until)))
        });
        let runs: Vec<_> = runs.collect();
        if runs.is_empty() {
            return Ok(());
        }
        let runs = json_rows(BEGIN, &runs)?;
        sqlx::query!(
            "INSERT INTO requests (key_id, idempotency_key, fingerprint, begun_at, locked_until)
             SELECT value ->> 0, value ->> 1, unhex(value ->> 2), value ->> 3, value ->> 4 FROM json_each(?)
             WHERE true
             ON CONFLICT (key_id, idempotency_key) DO UPDATE SET
                 fingerprint = excluded.fingerprint, begun_at = excluded.begun_at,
                 locked_until = excluded.locked_until, status = NULL, body = NULL",
            runs
        )
        .execute(connection)
        .await
        .map(|_| ())
        .map_err(|e| Unavailable::new(BEGIN, e))
    }
}

/// API key, idempotency key, status, body.
#[derive(Serialize)]
struct ReceiptJson<'a>(&'a str, &'a str, u16, &'a str);

/// Stores the responses of requests that were begun and have no response: of appends, and of requests without an effect.
pub(crate) async fn write_receipts(
    connection: &mut SqliteConnection,
    receipts: &Receipts<'_>,
) -> Result<(), Unavailable> {
    const OPERATION: &str = "store responses";
    if receipts.is_empty() {
        return Ok(());
    }
    let receipts = receipts.iter().map(|Receipt { request, response }| {
        ReceiptJson(&request.key_id.0, &request.idempotency_key, response.status, &response.body)
    });
    let receipts = json_rows(OPERATION, &receipts.collect::<Vec<_>>())?;
    sqlx::query!(
        "UPDATE requests SET status = r.value ->> 2, body = r.value ->> 3
             FROM json_each(?) AS r
             WHERE key_id = r.value ->> 0 AND idempotency_key = r.value ->> 1 AND status IS NULL",
        receipts
    )
    .execute(connection)
    .await
    .map(|_| ())
    .map_err(|e| Unavailable::new(OPERATION, e))
}

/// Ends the runs of requests without a response: their lock ends at the epoch, so the same request can begin again.
pub(crate) async fn abandon(
    connection: &mut SqliteConnection,
    requests: &[&RequestKey],
) -> Result<(), Unavailable> {
    const OPERATION: &str = "abandon requests";
    if requests.is_empty() {
        return Ok(());
    }
    let keys: Vec<_> = requests.iter().map(|r| (&r.key_id.0, &r.idempotency_key)).collect();
    let keys = json_rows(OPERATION, &keys)?;
    sqlx::query!(
        "UPDATE requests SET locked_until = 0 WHERE status IS NULL
         AND (key_id, idempotency_key) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))",
        keys
    )
    .execute(connection)
    .await
    .map(|_| ())
    .map_err(|e| Unavailable::new(OPERATION, e))
}

#[async_trait]
impl Idempotency for SqliteStore {
    async fn begin(
        &self,
        request: &RequestKey,
        fingerprint: [u8; 32],
        now: DateTime<Utc>,
        locked_until: DateTime<Utc>,
        forget_before: DateTime<Utc>,
    ) -> Result<Begin, Unavailable> {
        let begin = BeginRequest { request: request.clone(), fingerprint, now, locked_until, forget_before };
        self.write_batcher.submit(Op::Begin(begin)).await?.begun()
    }

    async fn complete(&self, receipt: &Receipt) -> Result<(), Unavailable> {
        self.write_batcher.submit(Op::Complete(receipt.clone())).await.map(|_| ())
    }

    async fn abandon(&self, request: &RequestKey) -> Result<(), Unavailable> {
        self.write_batcher.submit(Op::Abandon(request.clone())).await.map(|_| ())
    }

    async fn purge(&self, before: DateTime<Utc>, limit: usize) -> Result<u64, Unavailable> {
        const OPERATION: &str = "delete old requests";
        let failed = |e| Unavailable::new(OPERATION, e);
        let (before, limit) = (micros(before), to_i64(limit));
        let mut writer = self.inner.writer.lock(Durability::Ordered, OPERATION).await?;
        let done = sqlx::query!(
            "DELETE FROM requests WHERE rowid IN (
                 SELECT rowid FROM requests WHERE begun_at < ? ORDER BY begun_at LIMIT ?)",
            before,
            limit
        )
        .execute(writer.autocommit().await?)
        .await
        .map_err(failed)?;
        Ok(done.rows_affected())
    }
}
