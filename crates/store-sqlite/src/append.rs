//! Writes to the log: a batch of appends with a few statements.
use std::{collections::HashMap, sync::Arc};

use deed_store::{Append, AppendError, Appended, Position, StreamWrite, Unavailable, Version};
use serde::Serialize;
use sqlx::sqlite::SqliteConnection;

use crate::columns::{Decoder, json_rows, micros, to_i64};
use crate::idempotency::Receipts;

const OPERATION: &str = "append to the log";

/// An append with encoded events: the caller encodes them, not the task that writes for all callers.
pub(crate) struct EncodedAppend {
    append: Append,
    /// Of all events of all writes.
    payloads: Vec<String>,
    metadata: Arc<str>,
}

impl EncodedAppend {
    pub(crate) fn new(append: Append) -> Result<Self, Unavailable> {
        let unwritable = |e| Unavailable::new(OPERATION, e);
        let payloads = append.writes.iter().flat_map(|w| &w.events).map(deed_claims::Event::payload);
        let payloads = payloads.collect::<Result<_, _>>().map_err(unwritable)?;
        let metadata = serde_json::to_string(&append.metadata).map_err(unwritable)?.into();
        Ok(Self { append, payloads, metadata })
    }
}

/// The end of the log and the versions of the streams of a batch; read in every transaction, since other processes
/// write too.
#[derive(Default)]
pub(crate) struct StreamVersions {
    pub(crate) last: u64,
    versions: HashMap<String, u64>,
}

/// Position, stream, version, kind, schema, payload, metadata, time.
#[derive(Serialize)]
struct EventJson<'a>(u64, &'a str, u64, &'static str, u16, &'a str, &'a str, i64);

/// The events that a batch inserts.
#[derive(Default)]
pub(crate) struct NewEvents<'a> {
    events: Vec<EventJson<'a>>,
}

impl StreamVersions {
    /// Without appends nothing is read, not even the end of the log.
    pub(crate) async fn read(
        connection: &mut SqliteConnection,
        batch: &[&EncodedAppend],
    ) -> Result<Self, Unavailable> {
        if batch.is_empty() {
            return Ok(Self::default());
        }
        let streams: Vec<_> =
            batch.iter().flat_map(|a| &a.append.writes).map(|w| w.stream.as_str()).collect();
        let streams = json_rows(OPERATION, &streams)?;
        let found = sqlx::query!(
            r#"SELECT NULL AS "stream: String", coalesce(max(position), 0) AS "head!: i64" FROM events
               UNION ALL
               SELECT stream, version FROM json_each(?) AS s CROSS JOIN events
               WHERE stream = s.value AND version = (SELECT max(version) FROM events WHERE stream = s.value)"#,
            streams
        )
        .fetch_all(connection)
        .await
        .map_err(|e| Unavailable::new(OPERATION, e))?;
        let mut versions = Self { last: 0, versions: HashMap::with_capacity(found.len()) };
        for row in found {
            let head = Decoder(OPERATION).number("version", row.head)?;
            match row.stream {
                Some(stream) => _ = versions.versions.insert(stream, head),
                None => versions.last = head,
            }
        }
        Ok(versions)
    }

    fn version(&self, write: &StreamWrite) -> u64 {
        self.versions.get(write.stream.as_str()).copied().unwrap_or(0)
    }

    /// Assigns positions and versions to the events of an append, unless it conflicts.
    pub(crate) fn place<'a>(
        &mut self,
        encoded: &'a EncodedAppend,
        new_events: &mut NewEvents<'a>,
        receipts: &mut Receipts<'a>,
    ) -> Result<Appended, AppendError> {
        let append = &encoded.append;
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
        let mut payloads = encoded.payloads.iter();
        let mut versions = Vec::with_capacity(append.writes.len());
        for write in &append.writes {
            let mut version = self.version(write);
            for (event, payload) in write.events.iter().zip(&mut payloads) {
                (self.last, version) = (self.last + 1, version + 1);
                new_events.events.push(EventJson(
                    self.last,
                    write.stream.as_str(),
                    version,
                    event.kind(),
                    event.schema(),
                    payload,
                    &encoded.metadata,
                    micros(append.at),
                ));
            }
            self.versions.insert(write.stream.as_str().to_owned(), version);
            versions.push(Version(version));
        }
        if let Some(receipt) = &append.receipt {
            receipts.push(receipt);
        }
        Ok(Appended { position: Position(self.last), versions })
    }
}

impl NewEvents<'_> {
    pub(crate) async fn insert(self, connection: &mut SqliteConnection) -> Result<(), Unavailable> {
        if self.events.is_empty() {
            return Ok(());
        }
        let (events, count) = (json_rows(OPERATION, &self.events)?, to_i64(self.events.len()));
        let done = sqlx::query!(
            "INSERT INTO events (position, stream, version, kind, schema, payload, metadata, recorded_at)
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
                    value ->> 7
             FROM json_each(?)",
            events
        )
        .execute(connection)
        .await
        .map_err(|e| Unavailable::new(OPERATION, e))?;
        debug_assert_eq!(to_i64(done.rows_affected()), count);
        Ok(())
    }
}
