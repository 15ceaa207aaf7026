//! Batched reads: concurrent reads of streams become one query.
use std::sync::Arc;

use async_trait::async_trait;
use deed_store::rows::{StreamEvents, stream_events};
use deed_store::{BatchBackend, StreamRead, Unavailable};

use crate::columns::{Decoder, to_i64};
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
        let streams: Vec<_> = batch.iter().map(|read| read.stream.as_str()).collect();
        let after: Vec<_> = batch.iter().map(|read| to_i64(read.after.0)).collect();
        let last: Vec<_> = batch.iter().map(|read| to_i64(read.last().0)).collect();
        let mut connection = self.0.general.acquire(OPERATION).await?;
        // `OFFSET 0` makes the planner look up each stream separately, whatever the table statistics are.
        let found = sqlx::query!(
            r#"SELECT asked.place AS "place!", e.position, e.version, e.kind, e.schema, e.payload AS "payload!",
                      e.metadata AS "metadata!", e.recorded_at
               FROM unnest($1::text[], $2::bigint[], $3::bigint[])
                   WITH ORDINALITY AS asked (stream, after, last, place),
               LATERAL (
                   SELECT position, version, kind, schema, payload::text, metadata::text, recorded_at
                   FROM events
                   WHERE events.stream = asked.stream AND events.version > asked.after AND events.version <= asked.last
                   OFFSET 0) AS e
               ORDER BY asked.place, e.version"#,
            &streams as &[&str],
            &after,
            &last
        );
        let found = connection.deadline().run(found.fetch_all(&mut *connection)).await;
        let rows = connection.finish(found)?.into_iter().map(|row| {
            let place = usize::try_from(row.place).unwrap_or(0).wrapping_sub(1);
            let record = EventRecord {
                position: row.position,
                stream: batch.get(place).map_or(String::new(), |read| read.stream.as_str().to_owned()),
                version: row.version,
                kind: row.kind,
                schema: row.schema.into(),
                payload: row.payload,
                metadata: row.metadata,
                recorded_at: row.recorded_at,
            };
            (place, record)
        });
        stream_events(batch.len(), rows, Decoder(OPERATION))
    }
}

#[cfg(test)]
mod tests {
    use deed_store::conformance::samples::{apex, append, requested};
    use deed_store::{EventStore, Position, Version};
    use deed_testkit::Postgres;
    use tokio::task::JoinSet;

    use super::*;
    use crate::{PostgresConfig, PostgresStore, migrate};

    /// A store with one event in a stream, and one in another stream that this version cannot read.
    async fn given() -> (Arc<Postgres>, PostgresStore) {
        let server = tokio::task::spawn_blocking(Postgres::shared).await.unwrap();
        let database = server.database().await;
        let config = PostgresConfig::new(database.url());
        migrate(&config).await.unwrap();
        let store = PostgresStore::connect(config).await.unwrap();
        store.append(append(&apex("acme.com"), 0, vec![requested(1, 1, 0)])).await.unwrap();
        let strange = "INSERT INTO events VALUES (2, 'apex:strange.com', 1, 'Strange', 1, '{}', '{}', now())";
        database.sql(strange).await;
        (server, store)
    }

    fn read(name: &str) -> StreamRead {
        StreamRead { stream: apex(name), after: Version(0), limit: 10 }
    }

    #[tokio::test]
    async fn unreadable_stream_does_not_fail_others() {
        let (_server, store) = given().await;
        let reader = StreamReader(store.inner.clone());
        let batch = vec![read("acme.com"), read("strange.com"), read("empty.com"), read("acme.com")];
        let found = reader.execute_batch(batch).await.unwrap();
        let counts: Vec<_> = found.iter().map(|found| found.as_ref().ok().map(Vec::len)).collect();
        assert_eq!(counts, [Some(1), None, Some(0), Some(1)]);
        let unreadable = found.into_iter().find_map(Result::err).unwrap();
        assert_eq!(unreadable.source.to_string(), "column payload cannot be decoded");
        assert!(unreadable.unreadable_event().is_some());
        // By rows and by COPY.
        for limit in [2, 2000] {
            let unreadable = store.read_log(Position(0), limit).await.unwrap_err();
            assert!(unreadable.unreadable_event().is_some(), "{limit}: {unreadable:?}");
        }
    }

    #[tokio::test]
    async fn concurrent_reads_are_batched() {
        let (_server, store) = given().await;
        let mut readers = JoinSet::new();
        for _ in 0..64 {
            let store = store.clone();
            readers.spawn(async move {
                store.read_stream(&apex("acme.com"), Version(0), 10).await.unwrap().len()
            });
        }
        assert!(readers.join_all().await.into_iter().all(|events| events == 1));
        let stats = store.stream_batcher.stats();
        assert!(stats.batches < stats.ops, "they were not batched: {stats:?}");
    }
}
