//! Batched reads: concurrent reads of streams become one query.
use std::sync::Arc;

use async_trait::async_trait;
use deed_store::rows::{StreamEvents, stream_events};
use deed_store::{BatchBackend, StreamRead, Unavailable};

use crate::columns::{Decoder, json_rows, to_i64};
use crate::event_store::EventRecord;
use crate::open::StoreInner;

const OPERATION: &str = "read a stream";

/// Executes batches of stream reads.
pub(crate) struct StreamReader(pub(crate) Arc<StoreInner>);

#[async_trait]
impl BatchBackend for StreamReader {
    type Op = StreamRead;
    type OpResult = StreamEvents;

    async fn execute_batch(&self, batch: Vec<StreamRead>) -> Result<Vec<StreamEvents>, Unavailable> {
        let asked: Vec<_> =
            batch.iter().map(|read| (read.stream.as_str(), read.after.0, to_i64(read.last().0))).collect();
        let asked = json_rows(OPERATION, &asked)?;
        let found = sqlx::query!(
            r#"SELECT asked.key + 0 AS "place!: i64", position AS "position!: i64", version, kind, schema, payload, metadata,
                      recorded_at
               FROM json_each(?) AS asked CROSS JOIN events
               WHERE stream = asked.value ->> 0 AND version > asked.value ->> 1 AND version <= asked.value ->> 2"#,
            asked
        )
        .fetch_all(&self.0.readers)
        .await
        .map_err(|e| Unavailable::new(OPERATION, e))?;
        let rows = found.into_iter().map(|row| {
            let place = usize::try_from(row.place).unwrap_or(usize::MAX);
            let record = EventRecord {
                position: row.position,
                stream: batch.get(place).map_or(String::new(), |read| read.stream.as_str().to_owned()),
                version: row.version,
                kind: row.kind,
                schema: row.schema,
                payload: row.payload,
                metadata: row.metadata,
                recorded_at: row.recorded_at,
            };
            (place, record)
        });
        let mut replies = stream_events(batch.len(), rows, Decoder(OPERATION))?;
        // The index returns them in this order already, but the query does not guarantee it.
        replies.iter_mut().flatten().for_each(|events| events.sort_by_key(|event| event.version));
        Ok(replies)
    }
}
