//! The log in memory.
use async_trait::async_trait;
use deed_claims::StreamId;
use deed_store::{
    Append, AppendError, Appended, BatchBackend, EventStore, Position, RecordedEvent, Snapshot, Unavailable,
    Version,
};
use tokio::sync::watch;

use super::faults::{Call, Fault, answer};
use super::{AppendResult, Memory, Rows, Tables};

impl Rows {
    fn version(&self, stream: &StreamId) -> Version {
        let last = self.log.iter().rev().find(|event| event.stream == *stream);
        last.map_or(Version(0), |event| event.version)
    }

    fn append(&mut self, append: Append) -> AppendResult {
        for write in &append.writes {
            let (stream, expected, actual) =
                (write.stream.clone(), write.expected, self.version(&write.stream));
            if expected != actual {
                return Err(AppendError::Conflict { stream, expected, actual });
            }
        }
        let mut versions = vec![];
        for write in append.writes {
            let mut version = write.expected;
            for event in write.events {
                version.0 += 1;
                self.log.push(RecordedEvent {
                    position: Position(u64::try_from(self.log.len()).unwrap() + 1),
                    stream: write.stream.clone(),
                    version,
                    recorded_at: append.at,
                    metadata: append.metadata.clone(),
                    schema: event.schema(),
                    payload: event.payload().unwrap(),
                    event,
                });
            }
            versions.push(version);
        }
        if let Some(receipt) = append.receipt {
            self.complete(&receipt);
        }
        Ok(Appended { position: self.log.last().unwrap().position, versions })
    }
}

impl Memory {
    /// Appends without the batcher and without faults.
    pub fn append_now(&self, append: Append) {
        let position = self.tables.rows().append(append).unwrap().position;
        self.tables.head.send_replace(position);
    }

    /// Like `append_now`, without a hint to readers.
    pub fn append_silently(&self, append: Append) {
        self.tables.rows().append(append).unwrap();
    }
}

#[async_trait]
impl BatchBackend for Tables {
    type Op = Append;
    type OpResult = AppendResult;

    async fn execute_batch(&self, batch: Vec<Append>) -> Result<Vec<AppendResult>, Unavailable> {
        self.metrics.record_batch(batch.len());
        let fault = self.fault(Call::Append).await?;
        let (results, last) = {
            let mut rows = self.rows();
            let results = batch.into_iter().map(|append| rows.append(append)).collect();
            (results, u64::try_from(rows.log.len()).unwrap())
        };
        self.head.send_replace(Position(last));
        answer(fault, results)
    }
}

#[async_trait]
impl EventStore for Memory {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let timer = self.tables.metrics.start_append(&append);
        timer.finish(async { self.appends.submit(append).await? }.await)
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        after: Version,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, Unavailable> {
        let rows = self.tables.rows();
        Ok(rows
            .log
            .iter()
            .filter(|event| event.stream == *stream && event.version > after)
            .take(limit)
            .cloned()
            .collect())
    }

    async fn snapshot(&self, stream: &StreamId) -> Result<Option<Snapshot>, Unavailable> {
        Snapshot::read(&*self.tables, stream).await
    }

    async fn read_log(&self, after: Position, limit: usize) -> Result<Vec<RecordedEvent>, Unavailable> {
        let gap = self.tables.fault(Call::ReadLog).await? == Some(Fault::Gap);
        let skipped = usize::try_from(after.0).unwrap() + usize::from(gap);
        Ok(self.tables.rows().log.iter().skip(skipped).take(limit).cloned().collect())
    }

    async fn last_position(&self) -> Result<Position, Unavailable> {
        Ok(self.tables.rows().log.last().map_or(Position(0), |event| event.position))
    }

    fn head(&self) -> watch::Receiver<Position> {
        self.tables.head.subscribe()
    }
}
