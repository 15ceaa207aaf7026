//! Streams that are read at the same time are read with one question.
use std::sync::Arc;

use async_trait::async_trait;
use deed_claims::StreamId;
use deed_store::{BatchBackend, RecordedEvent, Unavailable, Version};

use crate::columns::{Reading, signed};
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
        let (streams, after): (Vec<_>, Vec<_>) =
            batch.iter().map(|asked| (asked.stream.as_str(), signed(asked.after.0))).unzip();
        let mut connection = self.0.general.take(WHAT).await?;
        // `OFFSET 0` has each stream looked up by itself, whatever the server knows of the tables when it plans.
        let found = sqlx::query!(
            r#"SELECT asked.place AS "place!", e.position, e.version, e.kind, e.schema, e.payload AS "payload!",
                      e.metadata AS "metadata!", e.recorded_at
               FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS asked (stream, after, place),
               LATERAL (
                   SELECT position, version, kind, schema, payload::text, metadata::text, recorded_at
                   FROM events WHERE events.stream = asked.stream AND events.version > asked.after
                   OFFSET 0) AS e
               ORDER BY asked.place, e.version"#,
            &streams as &[&str],
            &after
        );
        let found = connection.until().wait(found.fetch_all(&mut *connection)).await;
        let mut answers: Vec<Found> = batch.iter().map(|_| Ok(vec![])).collect();
        for row in connection.done(found)? {
            let place = usize::try_from(row.place).unwrap_or(0).wrapping_sub(1);
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
        Ok(answers)
    }
}

#[cfg(test)]
mod tests {
    use deed_store::conformance::samples::{apex, append, requested};
    use deed_store::{EventStore, Position};
    use deed_testkit::Postgres;
    use tokio::task::JoinSet;

    use super::*;
    use crate::{PostgresConfig, PostgresStore, migrate};

    /// A store with one event in a stream, and another in one that this version cannot read.
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

    fn asked(name: &str) -> Asked {
        Asked { stream: apex(name), after: Version(0) }
    }

    #[tokio::test]
    async fn a_stream_that_cannot_be_read_spoils_no_other() {
        let (_server, store) = given().await;
        let reader = StreamReader(store.database.clone());
        let batch = vec![asked("acme.com"), asked("strange.com"), asked("empty.com"), asked("acme.com")];
        let found = reader.carry_out(batch).await.unwrap();
        let counts: Vec<_> = found.iter().map(|found| found.as_ref().ok().map(Vec::len)).collect();
        assert_eq!(counts, [Some(1), None, Some(0), Some(1)]);
        let unreadable = found.into_iter().find_map(Result::err).unwrap();
        assert_eq!(unreadable.source.to_string(), "column payload holds something unreadable");
        assert!(unreadable.unreadable_event().is_some());
        // In single rows and in bulk.
        for limit in [2, 2000] {
            let unreadable = store.read_log(Position(0), limit).await.unwrap_err();
            assert!(unreadable.unreadable_event().is_some(), "{limit}: {unreadable:?}");
        }
    }

    #[tokio::test]
    async fn what_is_read_at_the_same_time_is_one_question() {
        let (_server, store) = given().await;
        let mut readers = JoinSet::new();
        for _ in 0..64 {
            let store = store.clone();
            readers
                .spawn(async move { store.read_stream(&apex("acme.com"), Version(0)).await.unwrap().len() });
        }
        assert!(readers.join_all().await.into_iter().all(|events| events == 1));
        let stats = store.streams.stats();
        assert!(stats.batches < stats.appends, "they were not gathered: {stats:?}");
    }
}
