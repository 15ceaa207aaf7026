//! The log: appends and reads.
use async_trait::async_trait;
use deed_claims::{ClaimId, StreamId};
use deed_store::{
    Append, AppendError, Appended, EncodedAppend, EventStore, Position, RecordedEvent, Snapshot, StreamRead,
    Unavailable, Version,
};
use tokio::sync::watch;

use crate::append::OPERATION;
use crate::batch::Op;
use crate::claim_history;
use crate::columns::{Decoder, to_i64};
use crate::open::SqliteStore;

/// A row of the table of events, with its time in microseconds.
pub(crate) type EventRecord = deed_store::rows::EventRecord<i64>;

#[async_trait]
impl EventStore for SqliteStore {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let encoded = Box::new(EncodedAppend::new(OPERATION, append)?);
        self.write_batcher.submit(Op::Append(encoded)).await?.appended()
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
        let (after, limit) = (to_i64(after.0), to_i64(limit));
        let events = sqlx::query_as!(
            EventRecord,
            "SELECT position, stream, version, kind, schema, payload, metadata, recorded_at FROM events
             WHERE position > ? ORDER BY position LIMIT ?",
            after,
            limit
        )
        .fetch_all(&self.inner.readers)
        .await
        .map_err(|e| Unavailable::new(OPERATION, e))?
        .into_iter()
        .map(|row| row.decode(Decoder(OPERATION)))
        .collect::<Result<Vec<_>, _>>()?;
        // Another process may have appended them.
        if let Some(last) = events.last() {
            self.inner.advance_head(last.position);
        }
        Ok(events)
    }

    async fn last_position(&self) -> Result<Position, Unavailable> {
        const OPERATION: &str = "read the end of the log";
        let last = sqlx::query_scalar!(r#"SELECT coalesce(max(position), 0) AS "last!: i64" FROM events"#)
            .fetch_one(&self.inner.readers)
            .await
            .map_err(|e| Unavailable::new(OPERATION, e))?;
        let last = Position(Decoder(OPERATION).number("position", last)?);
        self.inner.advance_head(last);
        Ok(last)
    }

    fn head(&self) -> watch::Receiver<Position> {
        self.inner.head.subscribe()
    }
}
