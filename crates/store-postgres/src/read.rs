//! Reading the log.
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deed_claims::{Event, StreamId};
use deed_store::{
    Append, AppendError, Appended, EventStore, Position, RecordedEvent, Unavailable, Version, spans,
};
use tokio::sync::watch;

use crate::append::Prepared;
use crate::bulk;
use crate::columns::{Reading, signed};
use crate::open::PostgresStore;
use crate::streams::Asked;

/// What traces call the database.
pub(crate) const SYSTEM: &str = "postgresql";

/// Whoever asks for so many events at once has more to read than a few new ones, and is answered in bulk. For few, a
/// statement that is planned already is quicker.
const MANY: usize = 1_000;

/// An event as it lies in the table.
pub(crate) struct EventRow {
    pub(crate) position: i64,
    pub(crate) stream: String,
    pub(crate) version: i64,
    pub(crate) kind: String,
    pub(crate) schema: i32,
    pub(crate) payload: String,
    pub(crate) metadata: String,
    pub(crate) recorded_at: DateTime<Utc>,
}

impl EventRow {
    pub(crate) fn decode(self, reading: Reading) -> Result<RecordedEvent, Unavailable> {
        let schema = reading.number("schema", self.schema.into())?;
        Ok(RecordedEvent {
            position: Position(reading.number("position", self.position)?),
            stream: reading.parsed("stream", &self.stream)?,
            version: Version(reading.number("version", self.version)?),
            recorded_at: self.recorded_at,
            metadata: reading.json("metadata", &self.metadata)?,
            event: Event::from_parts(&self.kind, schema, &self.payload)
                .map_err(|e| reading.unreadable("payload", Some(e.into())))?,
            payload: self.payload,
        })
    }
}

impl PostgresStore {
    /// Another process may have written them.
    fn heard_of(&self, events: &[RecordedEvent]) {
        if let Some(last) = events.last() {
            self.database.saw(last.position);
        }
    }
}

#[async_trait]
impl EventStore for PostgresStore {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let appending = self.database.told.begin(&append);
        let written = async { self.appends.submit(Prepared::new(append)?).await? };
        appending.end(spans::appending(SYSTEM, written).await)
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        after: Version,
    ) -> Result<Vec<RecordedEvent>, Unavailable> {
        let asked = Asked { stream: stream.clone(), after };
        spans::reading(SYSTEM, async { self.streams.submit(asked).await? }).await
    }

    async fn read_log(&self, after: Position, limit: usize) -> Result<Vec<RecordedEvent>, Unavailable> {
        const WHAT: &str = "read the log";
        let mut connection = self.database.general.take(WHAT).await?;
        if limit >= MANY {
            let until = connection.until();
            let events = until.wait(bulk::read(&mut connection, Reading(WHAT), after, limit)).await;
            return connection.done(events).inspect(|events| self.heard_of(events));
        }
        let found = sqlx::query_as!(
            EventRow,
            r#"SELECT position, stream, version, kind, schema, payload::text AS "payload!",
                      metadata::text AS "metadata!", recorded_at
               FROM events WHERE position > $1 ORDER BY position LIMIT $2"#,
            signed(after.0),
            signed(limit)
        );
        let found = connection.until().wait(found.fetch_all(&mut *connection)).await;
        let found = connection.done(found)?.into_iter().map(|row| row.decode(Reading(WHAT)));
        found.collect::<Result<Vec<_>, _>>().inspect(|events| self.heard_of(events))
    }

    async fn last_position(&self) -> Result<Position, Unavailable> {
        const WHAT: &str = "read the end of the log";
        let mut connection = self.database.general.take(WHAT).await?;
        let last = sqlx::query_scalar!(r#"SELECT coalesce(max(position), 0) AS "last!" FROM events"#);
        let last = connection.until().wait(last.fetch_one(&mut *connection)).await;
        let last = Position(Reading(WHAT).number("position", connection.done(last)?)?);
        self.database.saw(last);
        Ok(last)
    }

    fn head(&self) -> watch::Receiver<Position> {
        self.database.head.subscribe()
    }
}
