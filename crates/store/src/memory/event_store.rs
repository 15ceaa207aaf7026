//! The log.
use std::collections::BTreeMap;

use async_trait::async_trait;
use deed_claims::StreamId;
use tokio::sync::watch;

use super::{AppendResult, MemoryStore, Shared};
use crate::rows::{Decoder, EventRecord, to_i64};
use crate::{
    Append, AppendError, AppendPlan, Appended, BatchBackend, EncodedAppend, EventStore, PlannedEvent,
    Position, RecordedEvent, Snapshot, Unavailable, Version,
};

const OPERATION: &str = "append to the log";

#[derive(Debug, Default)]
pub(super) struct LogTable {
    events: Vec<RecordedEvent>,
    /// The indexes of the events of each stream.
    streams: BTreeMap<String, Vec<usize>>,
}

impl LogTable {
    pub(super) fn last_position(&self) -> Position {
        Position(self.events.len() as u64)
    }

    /// The events after a position.
    pub(super) fn after(&self, position: Position) -> &[RecordedEvent] {
        usize::try_from(position.0).ok().and_then(|skipped| self.events.get(skipped..)).unwrap_or_default()
    }

    fn version(&self, stream: &str) -> Version {
        Version(self.streams.get(stream).map_or(0, |events| events.len() as u64))
    }

    fn read_stream(&self, stream: &StreamId, after: Version, limit: usize) -> Vec<RecordedEvent> {
        let indexes = self.streams.get(stream.as_str()).into_iter().flatten();
        let skipped = usize::try_from(after.0).unwrap_or(usize::MAX);
        let events = indexes.skip(skipped).take(limit).filter_map(|index| self.events.get(*index));
        events.cloned().collect()
    }

    fn push(&mut self, event: RecordedEvent) {
        self.streams.entry(event.stream.to_string()).or_default().push(self.events.len());
        self.events.push(event);
    }
}

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
