//! Writing to the log: any number of appends in one transaction and a handful of statements.
use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use deed_store::{Append, AppendBackend, AppendError, Appended, Position, StreamWrite, Unavailable, Version};
use serde::Serialize;
use sqlx::sqlite::SqliteConnection;

use crate::columns::{Reading, micros, rows, signed};
use crate::open::Database;
use crate::writer::Durability;

const WHAT: &str = "append to the log";

#[async_trait]
impl AppendBackend for Database {
    async fn append_batch(
        &self,
        batch: Vec<Append>,
    ) -> Result<Vec<Result<Appended, AppendError>>, Unavailable> {
        let mut turn = self.writer.turn(Durability::Synced, WHAT).await?;
        let mut tx = turn.begin().await?;
        let mut log = Heads::read(&mut tx, &batch).await?;
        let mut written = Written::default();
        let results = batch.iter().map(|append| log.place(append, &mut written)).collect();
        written.insert(&mut tx).await?;
        tx.commit().await.map_err(|e| Unavailable::new(WHAT, e))?;
        self.saw(Position(log.last));
        Ok(results)
    }
}

/// Where the log and the streams of a batch stand; read anew in every transaction, since other processes write too.
struct Heads {
    last: u64,
    versions: HashMap<String, u64>,
}

/// Positions, streams, versions, kinds, schemas, payloads, metadata, instants.
#[derive(Serialize)]
struct EventRow<'a>(u64, &'a str, u64, &'static str, u16, String, Arc<str>, i64);

/// API key, idempotency key, status, body.
#[derive(Serialize)]
struct ReceiptRow<'a>(&'a str, &'a str, u16, &'a str);

#[derive(Default)]
struct Written<'a> {
    events: Vec<EventRow<'a>>,
    receipts: Vec<ReceiptRow<'a>>,
}

impl Heads {
    async fn read(connection: &mut SqliteConnection, batch: &[Append]) -> Result<Self, Unavailable> {
        let streams: Vec<_> = batch.iter().flat_map(|a| &a.writes).map(|w| w.stream.as_str()).collect();
        let streams = rows(WHAT, &streams)?;
        let found = sqlx::query!(
            r#"SELECT NULL AS "stream: String", coalesce(max(position), 0) AS "head!: i64" FROM events
               UNION ALL
               SELECT s.value, (SELECT coalesce(max(version), 0) FROM events WHERE stream = s.value)
               FROM json_each(?) AS s"#,
            streams
        )
        .fetch_all(connection)
        .await
        .map_err(|e| Unavailable::new(WHAT, e))?;
        let mut heads = Self { last: 0, versions: HashMap::with_capacity(found.len()) };
        for row in found {
            let head = Reading(WHAT).number("version", row.head)?;
            match row.stream {
                Some(stream) => _ = heads.versions.insert(stream, head),
                None => heads.last = head,
            }
        }
        Ok(heads)
    }

    fn version(&self, write: &StreamWrite) -> u64 {
        self.versions.get(write.stream.as_str()).copied().unwrap_or(0)
    }

    /// Gives an append its place, or finds that it conflicts; then nothing of it is written.
    fn place<'a>(&mut self, append: &'a Append, to: &mut Written<'a>) -> Result<Appended, AppendError> {
        for write in &append.writes {
            let actual = self.version(write);
            if actual != write.expected.0 {
                return Err(AppendError::Conflict {
                    stream: write.stream.clone(),
                    expected: write.expected,
                    actual: Version(actual),
                });
            }
        }
        let unwritable = |e| Unavailable::new(WHAT, e);
        let metadata: Arc<str> = serde_json::to_string(&append.metadata).map_err(unwritable)?.into();
        let payloads = append.writes.iter().flat_map(|w| &w.events).map(deed_claims::Event::payload);
        let mut payloads = payloads.collect::<Result<Vec<_>, _>>().map_err(unwritable)?.into_iter();
        let mut versions = Vec::with_capacity(append.writes.len());
        for write in &append.writes {
            let mut version = self.version(write);
            for (event, payload) in write.events.iter().zip(&mut payloads) {
                (self.last, version) = (self.last + 1, version + 1);
                to.events.push(EventRow(
                    self.last,
                    write.stream.as_str(),
                    version,
                    event.kind(),
                    event.schema(),
                    payload,
                    metadata.clone(),
                    micros(append.at),
                ));
            }
            self.versions.insert(write.stream.as_str().to_owned(), version);
            versions.push(Version(version));
        }
        if let Some(receipt) = &append.receipt {
            let (request, response) = (&receipt.request, &receipt.response);
            to.receipts.push(ReceiptRow(
                &request.key_id.0,
                &request.idempotency_key,
                response.status,
                &response.body,
            ));
        }
        Ok(Appended { position: Position(self.last), versions })
    }
}

impl Written<'_> {
    async fn insert(self, connection: &mut SqliteConnection) -> Result<(), Unavailable> {
        let failed = |e| Unavailable::new(WHAT, e);
        if !self.events.is_empty() {
            let (events, count) = (rows(WHAT, &self.events)?, signed(self.events.len()));
            let done = sqlx::query!(
                "INSERT INTO events (position, stream, version, kind, schema, payload, metadata, recorded_at)
                 SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
                        value ->> 7
                 FROM json_each(?)",
                events
            )
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
            debug_assert_eq!(signed(done.rows_affected()), count);
        }
        if !self.receipts.is_empty() {
            let receipts = rows(WHAT, &self.receipts)?;
            sqlx::query!(
                "UPDATE requests SET status = r.value ->> 2, body = r.value ->> 3
                 FROM json_each(?) AS r
                 WHERE key_id = r.value ->> 0 AND idempotency_key = r.value ->> 1 AND status IS NULL",
                receipts
            )
            .execute(connection)
            .await
            .map_err(failed)?;
        }
        Ok(())
    }
}
