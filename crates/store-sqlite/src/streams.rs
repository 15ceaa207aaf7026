//! Streams that are read at the same time are read with one question.
use std::sync::Arc;

use async_trait::async_trait;
use deed_claims::StreamId;
use deed_store::{BatchBackend, RecordedEvent, Unavailable, Version};

use crate::columns::{Reading, rows};
use crate::open::Database;
use crate::read::EventRow;

const WHAT: &str = "read a stream";

/// A stream, and the version behind which it is read.
pub(crate) struct Asked {
    pub(crate) stream: StreamId,
    pub(crate) after: Version,
}

/// Its events, in order.
pub(crate) type Found = Result<Vec<RecordedEvent>, Unavailable>;

/// Reads what the gatherer has gathered.
pub(crate) struct StreamReader(pub(crate) Arc<Database>);

#[async_trait]
impl BatchBackend for StreamReader {
    type Op = Asked;
    type Answer = Found;

    /// What one stream holds that cannot be read is no matter of the others.
    async fn carry_out(&self, batch: Vec<Asked>) -> Result<Vec<Found>, Unavailable> {
        let asked: Vec<_> = batch.iter().map(|asked| (asked.stream.as_str(), asked.after.0)).collect();
        let asked = rows(WHAT, &asked)?;
        let found = sqlx::query!(
            r#"SELECT asked.key + 0 AS "place!: i64", position AS "position!: i64", version, kind, schema, payload, metadata,
                      recorded_at
               FROM json_each(?) AS asked CROSS JOIN events
               WHERE stream = asked.value ->> 0 AND version > asked.value ->> 1"#,
            asked
        )
        .fetch_all(&self.0.readers)
        .await
        .map_err(|e| Unavailable::new(WHAT, e))?;
        let mut answers: Vec<Found> = batch.iter().map(|_| Ok(vec![])).collect();
        for row in found {
            let place = usize::try_from(row.place).unwrap_or(usize::MAX);
            let (Some(asked), Some(answer)) = (batch.get(place), answers.get_mut(place)) else {
                return Err(Reading(WHAT).unreadable("place", None));
            };
            let row = EventRow {
                position: row.position,
                stream: asked.stream.as_str().to_owned(),
                version: row.version,
                kind: row.kind,
                schema: row.schema,
                payload: row.payload,
                metadata: row.metadata,
                recorded_at: row.recorded_at,
            };
            match (answer.as_mut(), row.decode(Reading(WHAT))) {
                (Ok(events), Ok(event)) => events.push(event),
                (Ok(_), Err(unreadable)) => *answer = Err(unreadable),
                (Err(_), _) => {}
            }
        }
        // As they come out of the index already, which the question does not promise.
        answers.iter_mut().flatten().for_each(|events| events.sort_by_key(|event| event.version));
        Ok(answers)
    }
}
