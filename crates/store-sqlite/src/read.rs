//! Reading the log.
use async_trait::async_trait;
use deed_claims::{Event, StreamId};
use deed_store::{
    Append, AppendError, Appended, EventStore, Position, RecordedEvent, Unavailable, Version, spans,
};
use tokio::sync::watch;

use crate::append::Prepared;
use crate::batch::Op;
use crate::columns::{Reading, signed};
use crate::open::SqliteStore;
use crate::streams::Asked;

/// What traces call the database.
pub(crate) const SYSTEM: &str = "sqlite";

/// An event as it lies in the table.
pub(crate) struct EventRow {
    pub(crate) position: i64,
    pub(crate) stream: String,
    pub(crate) version: i64,
    pub(crate) kind: String,
    pub(crate) schema: i64,
    pub(crate) payload: String,
    pub(crate) metadata: String,
    pub(crate) recorded_at: i64,
}

impl EventRow {
    pub(crate) fn decode(self, reading: Reading) -> Result<RecordedEvent, Unavailable> {
        let schema = reading.number("schema", self.schema)?;
        Ok(RecordedEvent {
            position: Position(reading.number("position", self.position)?),
            stream: reading.parsed("stream", &self.stream)?,
            version: Version(reading.number("version", self.version)?),
            recorded_at: reading.instant("recorded_at", self.recorded_at)?,
            metadata: reading.json("metadata", &self.metadata)?,
            event: Event::from_parts(&self.kind, schema, &self.payload)
                .map_err(|e| reading.unreadable("payload", Some(e.into())))?,
            payload: self.payload,
        })
    }
}

#[async_trait]
impl EventStore for SqliteStore {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let appending = self.database.told.begin(&append);
        let written = async {
            let prepared = Box::new(Prepared::new(append)?);
            self.commit.submit(Op::Append(prepared)).await?.appended()
        };
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
        let (after, limit) = (signed(after.0), signed(limit));
        let events = sqlx::query_as!(
            EventRow,
            "SELECT position, stream, version, kind, schema, payload, metadata, recorded_at FROM events
             WHERE position > ? ORDER BY position LIMIT ?",
            after,
            limit
        )
        .fetch_all(&self.database.readers)
        .await
        .map_err(|e| Unavailable::new(WHAT, e))?
        .into_iter()
        .map(|row| row.decode(Reading(WHAT)))
        .collect::<Result<Vec<_>, _>>()?;
        // Another process may have written them.
        if let Some(last) = events.last() {
            self.database.saw(last.position);
        }
        Ok(events)
    }

    async fn last_position(&self) -> Result<Position, Unavailable> {
        const WHAT: &str = "read the end of the log";
        let last = sqlx::query_scalar!(r#"SELECT coalesce(max(position), 0) AS "last!: i64" FROM events"#)
            .fetch_one(&self.database.readers)
            .await
            .map_err(|e| Unavailable::new(WHAT, e))?;
        let last = Position(Reading(WHAT).number("position", last)?);
        self.database.saw(last);
        Ok(last)
    }

    fn head(&self) -> watch::Receiver<Position> {
        self.database.head.subscribe()
    }
}
