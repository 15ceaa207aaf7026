//! Answers to requests with an idempotency key.
use std::collections::HashMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use data_encoding::HEXLOWER;
use deed_store::{Begin, Idempotency, Receipt, RequestKey, StoredResponse, Unavailable};
use serde::Serialize;
use sqlx::sqlite::SqliteConnection;

use crate::batch::Op;
use crate::columns::{Reading, micros, rows, signed};
use crate::open::SqliteStore;
use crate::writer::Durability;

const BEGIN: &str = "begin a request";

/// A request to be begun.
pub(crate) struct Beginning {
    pub(crate) request: RequestKey,
    pub(crate) fingerprint: [u8; 32],
    pub(crate) now: i64,
    pub(crate) locked_until: i64,
    pub(crate) forget_before: i64,
}

/// The last run of a request.
struct Run {
    fingerprint: [u8; 32],
    begun_at: i64,
    locked_until: i64,
    response: Option<StoredResponse>,
    /// Begun by this batch.
    new: bool,
}

impl Run {
    /// Whether another run may take the place of this one.
    fn gives_way_to(&self, beginning: &Beginning) -> bool {
        let dead = self.response.is_none() && self.locked_until <= beginning.now;
        let old = self.begun_at < beginning.forget_before;
        (old && (dead || self.response.is_some())) || (dead && self.fingerprint == beginning.fingerprint)
    }
}

/// What is known of the requests that a batch begins.
pub(crate) struct Requests<'a> {
    runs: HashMap<&'a RequestKey, Run>,
}

/// API key, idempotency key, fingerprint, when it was begun, until when it is taken for alive.
#[derive(Serialize)]
struct RunRow<'a>(&'a str, &'a str, String, i64, i64);

impl<'a> Requests<'a> {
    pub(crate) async fn read(
        connection: &mut SqliteConnection,
        begun: &[&'a Beginning],
    ) -> Result<Self, Unavailable> {
        let mut runs = HashMap::with_capacity(begun.len());
        if begun.is_empty() {
            return Ok(Self { runs });
        }
        let keys: Vec<_> = begun.iter().map(|b| (&b.request.key_id.0, &b.request.idempotency_key)).collect();
        let keys = rows(BEGIN, &keys)?;
        let found = sqlx::query!(
            r#"SELECT CAST(asked.key AS INTEGER) AS "place!: i64", fingerprint, begun_at, locked_until, status, body
               FROM json_each(?) AS asked CROSS JOIN requests
               WHERE key_id = asked.value ->> 0 AND idempotency_key = asked.value ->> 1"#,
            keys
        )
        .fetch_all(connection)
        .await
        .map_err(|e| Unavailable::new(BEGIN, e))?;
        let reading = Reading(BEGIN);
        for row in found {
            let place: usize = reading.number("key", row.place)?;
            let asked = begun.get(place).ok_or_else(|| reading.unreadable("key", None))?;
            let response = match (row.status, row.body) {
                (Some(status), Some(body)) => {
                    Some(StoredResponse { status: reading.number("status", status)?, body })
                }
                _ => None,
            };
            let fingerprint = row.fingerprint.try_into();
            let run = Run {
                fingerprint: fingerprint.map_err(|_| reading.unreadable("fingerprint", None))?,
                begun_at: row.begun_at,
                locked_until: row.locked_until,
                response,
                new: false,
            };
            runs.insert(&asked.request, run);
        }
        Ok(Self { runs })
    }

    /// Begins a request, as far as those before it in the batch leave it to be begun.
    pub(crate) fn begin(&mut self, beginning: &'a Beginning) -> Begin {
        match self.runs.get(&beginning.request) {
            Some(run) if run.gives_way_to(beginning) => {}
            Some(run) if run.fingerprint != beginning.fingerprint => return Begin::Mismatch,
            Some(Run { response: Some(response), .. }) => return Begin::Answered(response.clone()),
            Some(_) => return Begin::Running,
            None => {}
        }
        let run = Run {
            fingerprint: beginning.fingerprint,
            begun_at: beginning.now,
            locked_until: beginning.locked_until,
            response: None,
            new: true,
        };
        self.runs.insert(&beginning.request, run);
        Begin::Started
    }

    pub(crate) async fn write(self, connection: &mut SqliteConnection) -> Result<(), Unavailable> {
        let runs = self.runs.iter().filter(|(_, run)| run.new).map(|(request, run)| {
            let print = HEXLOWER.encode(&run.fingerprint);
            RunRow(&request.key_id.0, &request.idempotency_key, print, run.begun_at, run.locked_until)
        });
        let runs: Vec<_> = runs.collect();
        if runs.is_empty() {
            return Ok(());
        }
        let runs = rows(BEGIN, &runs)?;
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
struct AnswerRow<'a>(&'a str, &'a str, u16, &'a str);

/// Answers to be kept, those that have effects beside those that have none.
#[derive(Default)]
pub(crate) struct Answers<'a>(Vec<AnswerRow<'a>>);

impl<'a> Answers<'a> {
    pub(crate) fn keep(&mut self, receipt: &'a Receipt) {
        let (request, response) = (&receipt.request, &receipt.response);
        self.0.push(AnswerRow(&request.key_id.0, &request.idempotency_key, response.status, &response.body));
    }

    pub(crate) async fn write(self, connection: &mut SqliteConnection) -> Result<(), Unavailable> {
        const WHAT: &str = "keep answers";
        if self.0.is_empty() {
            return Ok(());
        }
        let answers = rows(WHAT, &self.0)?;
        sqlx::query!(
            "UPDATE requests SET status = r.value ->> 2, body = r.value ->> 3
             FROM json_each(?) AS r
             WHERE key_id = r.value ->> 0 AND idempotency_key = r.value ->> 1 AND status IS NULL",
            answers
        )
        .execute(connection)
        .await
        .map(|_| ())
        .map_err(|e| Unavailable::new(WHAT, e))
    }
}

/// Ends the runs of those that are not answered: a run that is over since the epoch gives way to the same request.
pub(crate) async fn abandon(
    connection: &mut SqliteConnection,
    requests: &[&RequestKey],
) -> Result<(), Unavailable> {
    const WHAT: &str = "abandon requests";
    if requests.is_empty() {
        return Ok(());
    }
    let keys: Vec<_> = requests.iter().map(|r| (&r.key_id.0, &r.idempotency_key)).collect();
    let keys = rows(WHAT, &keys)?;
    sqlx::query!(
        "UPDATE requests SET locked_until = 0 WHERE status IS NULL
         AND (key_id, idempotency_key) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))",
        keys
    )
    .execute(connection)
    .await
    .map(|_| ())
    .map_err(|e| Unavailable::new(WHAT, e))
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
        let beginning = Beginning {
            request: request.clone(),
            fingerprint,
            now: micros(now),
            locked_until: micros(locked_until),
            forget_before: micros(forget_before),
        };
        self.commit.submit(Op::Begin(beginning)).await?.begun()
    }

    async fn complete(&self, receipt: &Receipt) -> Result<(), Unavailable> {
        self.commit.submit(Op::Complete(receipt.clone())).await.map(|_| ())
    }

    async fn abandon(&self, request: &RequestKey) -> Result<(), Unavailable> {
        self.commit.submit(Op::Abandon(request.clone())).await.map(|_| ())
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
        .execute(turn.alone().await?)
        .await
        .map_err(failed)?;
        Ok(done.rows_affected())
    }
}
