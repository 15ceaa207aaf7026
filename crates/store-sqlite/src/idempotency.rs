//! Responses to requests with an idempotency key.
use std::collections::HashMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use data_encoding::HEXLOWER;
use deed_store::{Begin, Idempotency, Receipt, RequestKey, StoredResponse, Unavailable};
use serde::Serialize;
use sqlx::sqlite::SqliteConnection;

use crate::batch::Op;
use crate::columns::{Decoder, json_rows, micros, to_i64};
use crate::open::SqliteStore;
use crate::writer::Durability;

const BEGIN: &str = "begin a request";

/// A call that begins a request.
pub(crate) struct BeginRequest {
    pub(crate) request: RequestKey,
    pub(crate) fingerprint: [u8; 32],
    pub(crate) now: i64,
    pub(crate) locked_until: i64,
    pub(crate) forget_before: i64,
}

/// The last run of a request.
struct RequestRun {
    fingerprint: [u8; 32],
    begun_at: i64,
    locked_until: i64,
    response: Option<StoredResponse>,
    /// Whether this batch began it.
    new: bool,
}

impl RequestRun {
    /// Whether a new run may replace this one.
    fn is_replaceable_by(&self, begin: &BeginRequest) -> bool {
        let dead = self.response.is_none() && self.locked_until <= begin.now;
        let old = self.begun_at < begin.forget_before;
        (old && (dead || self.response.is_some())) || (dead && self.fingerprint == begin.fingerprint)
    }
}

/// The runs of the requests that a batch begins.
pub(crate) struct RequestRuns<'a> {
    runs: HashMap<&'a RequestKey, RequestRun>,
}

/// API key, idempotency key, fingerprint, time of begin, end of the lock.
#[derive(Serialize)]
struct RunJson<'a>(&'a str, &'a str, String, i64, i64);

impl<'a> RequestRuns<'a> {
    pub(crate) async fn read(
        connection: &mut SqliteConnection,
        begins: &[&'a BeginRequest],
    ) -> Result<Self, Unavailable> {
        let mut runs = HashMap::with_capacity(begins.len());
        if begins.is_empty() {
            return Ok(Self { runs });
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
                begun_at: row.begun_at,
                locked_until: row.locked_until,
                response,
                new: false,
            };
            runs.insert(&begin.request, run);
        }
        Ok(Self { runs })
    }

    /// Begins a request, after the begins before it in the batch.
    pub(crate) fn begin(&mut self, begin: &'a BeginRequest) -> Begin {
        match self.runs.get(&begin.request) {
            Some(run) if run.is_replaceable_by(begin) => {}
            Some(run) if run.fingerprint != begin.fingerprint => return Begin::Mismatch,
            Some(RequestRun { response: Some(response), .. }) => return Begin::Answered(response.clone()),
            Some(_) => return Begin::Running,
            None => {}
        }
        let run = RequestRun {
            fingerprint: begin.fingerprint,
            begun_at: begin.now,
            locked_until: begin.locked_until,
            response: None,
            new: true,
        };
        self.runs.insert(&begin.request, run);
        Begin::Started
    }

    pub(crate) async fn write(self, connection: &mut SqliteConnection) -> Result<(), Unavailable> {
        let runs = self.runs.iter().filter(|(_, run)| run.new).map(|(request, run)| {
            let print = HEXLOWER.encode(&run.fingerprint);
            RunJson(&request.key_id.0, &request.idempotency_key, print, run.begun_at, run.locked_until)
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

/// Receipts to store: those of appends, and those without an effect.
#[derive(Default)]
pub(crate) struct Receipts<'a>(Vec<ReceiptJson<'a>>);

impl<'a> Receipts<'a> {
    pub(crate) fn push(&mut self, receipt: &'a Receipt) {
        let (request, response) = (&receipt.request, &receipt.response);
        self.0.push(ReceiptJson(
            &request.key_id.0,
            &request.idempotency_key,
            response.status,
            &response.body,
        ));
    }

    pub(crate) async fn write(self, connection: &mut SqliteConnection) -> Result<(), Unavailable> {
        const OPERATION: &str = "store responses";
        if self.0.is_empty() {
            return Ok(());
        }
        let receipts = json_rows(OPERATION, &self.0)?;
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
        let begin = BeginRequest {
            request: request.clone(),
            fingerprint,
            now: micros(now),
            locked_until: micros(locked_until),
            forget_before: micros(forget_before),
        };
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
