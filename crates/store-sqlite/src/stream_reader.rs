//! Batched reads: concurrent reads of streams become one query.
use std::sync::Arc;

use async_trait::async_trait;
use deed_store::{BatchBackend, RecordedEvent, StreamRead, Unavailable};

use crate::columns::{Decoder, json_rows, to_i64};
use crate::event_store::EventRecord;
use crate::open::StoreInner;

const OPERATION: &str = "read a stream";

/// The events of a stream, in order.
pub(crate) type StreamEvents = Result<Vec<RecordedEvent>, Unavailable>;

/// Executes batches of stream reads.
pub(crate) struct StreamReader(pub(crate) Arc<StoreInner>);

#[async_trait]
impl BatchBackend for StreamReader {
    type Op = StreamRead;
    type OpResult = StreamEvents;

    /// An unreadable event fails the read of its own stream only.
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
        let mut replies: Vec<StreamEvents> = batch.iter().map(|_| Ok(vec![])).collect();
        for row in found {
            let place = usize::try_from(row.place).unwrap_or(usize::MAX);
            let (Some(read), Some(reply)) = (batch.get(place), replies.get_mut(place)) else {
                return Err(Decoder(OPERATION).unreadable("place", None));
            };
            let row = EventRecord {
                position: row.position,
                stream: read.stream.as_str().to_owned(),
                version: row.version,
                kind: row.kind,
                schema: row.schema,
                payload: row.payload,
                metadata: row.metadata,
                recorded_at: row.recorded_at,
            };
            match (reply.as_mut(), row.decode(Decoder(OPERATION))) {
                (Ok(events), Ok(event)) => events.push(event),
                (Ok(_), Err(unreadable)) => *reply = Err(unreadable),
                (Err(_), _) => {}
            }
        }
        // The index returns them in this order already, but the query does not guarantee it.
        replies.iter_mut().flatten().for_each(|events| events.sort_by_key(|event| event.version));
        Ok(replies)
    }
}
