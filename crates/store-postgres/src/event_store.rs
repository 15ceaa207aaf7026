//! The log: appends and reads.
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deed_claims::{ClaimId, StreamId};
use deed_store::{
    Append, AppendError, Appended, EncodedAppend, EventStore, Position, RecordedEvent, Snapshot, StreamRead,
    Unavailable, Version,
};
use tokio::sync::watch;

use crate::append::OPERATION;
use crate::claim_history;
use crate::columns::{Decoder, to_i64};
use crate::copy_reader;
use crate::open::PostgresStore;

/// A row of the table of events.
pub(crate) type EventRecord = deed_store::rows::EventRecord<DateTime<Utc>>;

/// From this limit on, a read of the log uses COPY. For fewer events a prepared statement is faster.
const BULK_READ: usize = 1_000;

impl PostgresStore {
    /// Wakes readers, as another process may have appended these events.
    fn advance_head_to(&self, events: &[RecordedEvent]) {
        if let Some(last) = events.last() {
            self.inner.advance_head(last.position);
        }
    }
}

#[async_trait]
impl EventStore for PostgresStore {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.append_batcher.submit(EncodedAppend::new(OPERATION, append)?).await?
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        after: Version,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, Unavailable> {
        let read = StreamRead { stream: stream.clone(), after, limit };
        self.stream_batcher.submit(read).await?
    }

    async fn snapshot(&self, stream: &StreamId) -> Result<Option<Snapshot>, Unavailable> {
        Snapshot::read(self, stream).await
    }

    async fn read_claim(
        &self,
        _: &StreamId,
        claim_id: ClaimId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, Unavailable> {
        claim_history::read(&self.inner, claim_id, after, limit).await
    }

    async fn claim_position(&self, _: &StreamId, claim_id: ClaimId) -> Result<Option<Position>, Unavailable> {
        claim_history::position(&self.inner, claim_id).await
    }

    async fn read_log(&self, after: Position, limit: usize) -> Result<Vec<RecordedEvent>, Unavailable> {
        const OPERATION: &str = "read the log";
        let mut connection = self.inner.general.acquire(OPERATION).await?;
        if limit >= BULK_READ {
            let deadline = connection.deadline();
            let read = copy_reader::read_log(&mut connection, Decoder(OPERATION), after, limit);
            let events = deadline.run(read).await;
            return connection.finish(events).inspect(|events| self.advance_head_to(events));
        }
        let found = sqlx::query_as!(
            EventRecord,
            r#"SELECT position, stream, version, kind, schema, payload::text AS "payload!",
                      metadata::text AS "metadata!", recorded_at
               FROM events WHERE position > $1 ORDER BY position LIMIT $2"#,
            to_i64(after.0),
            to_i64(limit)
        );
        let found = connection.deadline().run(found.fetch_all(&mut *connection)).await;
        let found = connection.finish(found)?.into_iter().map(|row| row.decode(Decoder(OPERATION)));
        found.collect::<Result<Vec<_>, _>>().inspect(|events| self.advance_head_to(events))
    }

    async fn last_position(&self) -> Result<Position, Unavailable> {
        const OPERATION: &str = "read the end of the log";
        let mut connection = self.inner.general.acquire(OPERATION).await?;
        let last = sqlx::query_scalar!(r#"SELECT coalesce(max(position), 0) AS "last!" FROM events"#);
        let last = connection.deadline().run(last.fetch_one(&mut *connection)).await;
        let last = Position(Decoder(OPERATION).number("position", connection.finish(last)?)?);
        self.inner.advance_head(last);
        Ok(last)
    }

    fn head(&self) -> watch::Receiver<Position> {
        self.inner.head.subscribe()
    }
}
