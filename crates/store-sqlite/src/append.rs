//! Writing to the log: any number of appends with a handful of statements.
use std::{collections::HashMap, sync::Arc};

use deed_store::{Append, AppendError, Appended, Position, StreamWrite, Unavailable, Version};
use serde::Serialize;
use sqlx::sqlite::SqliteConnection;

use crate::columns::{Reading, micros, rows, signed};
use crate::idempotency::Answers;

const WHAT: &str = "append to the log";

/// An append whose events are text already: encoding is done by who appends, not by who writes for all.
pub(crate) struct Prepared {
    append: Append,
    /// Of all events of all writes.
    payloads: Vec<String>,
    metadata: Arc<str>,
}

impl Prepared {
    pub(crate) fn new(append: Append) -> Result<Self, Unavailable> {
        let unwritable = |e| Unavailable::new(WHAT, e);
        let payloads = append.writes.iter().flat_map(|w| &w.events).map(deed_claims::Event::payload);
        let payloads = payloads.collect::<Result<_, _>>().map_err(unwritable)?;
        let metadata = serde_json::to_string(&append.metadata).map_err(unwritable)?.into();
        Ok(Self { append, payloads, metadata })
    }
}

/// Where the log and the streams of a batch stand; read anew in every transaction, since other processes write too.
#[derive(Default)]
pub(crate) struct Heads {
    pub(crate) last: u64,
    versions: HashMap<String, u64>,
}

/// Positions, streams, versions, kinds, schemas, payloads, metadata, instants.
#[derive(Serialize)]
struct EventRow<'a>(u64, &'a str, u64, &'static str, u16, &'a str, &'a str, i64);

#[derive(Default)]
pub(crate) struct Written<'a> {
    events: Vec<EventRow<'a>>,
}

impl Heads {
    /// Of no streams it knows nothing, the end of the log neither.
    pub(crate) async fn read(
        connection: &mut SqliteConnection,
        batch: &[&Prepared],
    ) -> Result<Self, Unavailable> {
        if batch.is_empty() {
            return Ok(Self::default());
        }
        let streams: Vec<_> =
            batch.iter().flat_map(|a| &a.append.writes).map(|w| w.stream.as_str()).collect();
        let streams = rows(WHAT, &streams)?;
        let found = sqlx::query!(
            r#"SELECT NULL AS "stream: String", coalesce(max(position), 0) AS "head!: i64" FROM events
               UNION ALL
               SELECT stream, version FROM json_each(?) AS s CROSS JOIN events
               WHERE stream = s.value AND version = (SELECT max(version) FROM events WHERE stream = s.value)"#,
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
    pub(crate) fn place<'a>(
        &mut self,
        prepared: &'a Prepared,
        to: &mut Written<'a>,
        kept: &mut Answers<'a>,
    ) -> Result<Appended, AppendError> {
        let append = &prepared.append;
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
        let mut payloads = prepared.payloads.iter();
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
                    &prepared.metadata,
                    micros(append.at),
                ));
            }
            self.versions.insert(write.stream.as_str().to_owned(), version);
            versions.push(Version(version));
        }
        if let Some(receipt) = &append.receipt {
            kept.keep(receipt);
        }
        Ok(Appended { position: Position(self.last), versions })
    }
}

impl Written<'_> {
    pub(crate) async fn insert(self, connection: &mut SqliteConnection) -> Result<(), Unavailable> {
        if self.events.is_empty() {
            return Ok(());
        }
        let (events, count) = (rows(WHAT, &self.events)?, signed(self.events.len()));
        let done = sqlx::query!(
            "INSERT INTO events (position, stream, version, kind, schema, payload, metadata, recorded_at)
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
                    value ->> 7
             FROM json_each(?)",
            events
        )
        .execute(connection)
        .await
        .map_err(|e| Unavailable::new(WHAT, e))?;
        debug_assert_eq!(signed(done.rows_affected()), count);
        Ok(())
    }
}
