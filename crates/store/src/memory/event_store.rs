//! The log.
use async_trait::async_trait;
use deed_claims::StreamId;
use tokio::sync::watch;

use super::store::{AppendResult, MemoryStore, Shared};
use crate::rows::{Decoder, EventRecord, to_i64};
use crate::{
    Append, AppendError, AppendPlan, Appended, BatchBackend, EncodedAppend, EventStore, PlannedEvent,
    Position, RecordedEvent, Snapshot, Unavailable, Version,
};

const OPERATION: &str = "append to the log";

/// The event as it is read again.
fn recorded(event: &PlannedEvent<'_>, position: u64) -> Result<RecordedEvent, Unavailable> {
    let record = EventRecord {
        position: to_i64(position),
        stream: event.stream.to_owned(),
        version: to_i64(event.version.0),
        kind: event.kind.to_owned(),
        schema: event.schema.into(),
        payload: event.payload.to_owned(),
        metadata: event.metadata.to_owned(),
        recorded_at: event.at,
    };
    record.decode(Decoder(OPERATION))
}

impl Shared {
    pub(super) fn append(&self, batch: &[EncodedAppend]) -> Result<Vec<AppendResult>, Unavailable> {
        let mut tables = self.tables();
        let end = tables.log.last_position();
        let streams = batch.iter().flat_map(EncodedAppend::streams);
        let mut plan = AppendPlan::on(streams.map(|stream| (stream, tables.log.version(stream))).collect());
        let results = batch.iter().map(|append| plan.add(append).map(|placement| placement.after(end)));
        let results = results.collect();
        let events = plan.events.iter().zip(end.0 + 1..).map(|(event, position)| recorded(event, position));
        for event in events.collect::<Result<Vec<_>, _>>()? {
            tables.log.push(event);
        }
        for receipt in plan.receipts.iter() {
            tables.requests.complete(receipt);
        }
        Ok(results)
    }
}

#[async_trait]
impl BatchBackend for Shared {
    type Op = EncodedAppend;
    type OpResult = AppendResult;

    async fn execute_batch(&self, batch: Vec<EncodedAppend>) -> Result<Vec<AppendResult>, Unavailable> {
        self.metrics.record_batch(batch.len());
        let results = self.append(&batch)?;
        self.head.send_replace(self.tables().log.last_position());
        Ok(results)
    }
}

#[async_trait]
impl EventStore for MemoryStore {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.append_batcher.submit(EncodedAppend::new(OPERATION, append)?).await?
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        after: Version,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, Unavailable> {
        Ok(self.shared.tables().log.read_stream(stream, after, limit))
    }

    async fn snapshot(&self, stream: &StreamId) -> Result<Option<Snapshot>, Unavailable> {
        Snapshot::read(self, stream).await
    }

    async fn read_log(&self, after: Position, limit: usize) -> Result<Vec<RecordedEvent>, Unavailable> {
        Ok(self.shared.tables().log.after(after).iter().take(limit).cloned().collect())
    }

    async fn last_position(&self) -> Result<Position, Unavailable> {
        Ok(self.shared.tables().log.last_position())
    }

    fn head(&self) -> watch::Receiver<Position> {
        self.shared.head.subscribe()
    }
}
