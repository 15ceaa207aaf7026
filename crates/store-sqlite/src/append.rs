//! Writes to the log: a batch of appends with a few statements.
use std::collections::HashMap;

use deed_store::{AppendPlan, EncodedAppend, PlannedEvent, Position, Unavailable, Version};
use serde::Serialize;
use sqlx::sqlite::SqliteConnection;

use crate::columns::{Decoder, json_rows, micros, to_i64};

pub(crate) const OPERATION: &str = "append to the log";

/// Position, stream, version, kind, schema, payload, metadata, time.
#[derive(Serialize)]
struct EventJson<'a>(u64, &'a str, u64, &'static str, u16, &'a str, &'a str, i64);

/// The end of the log, and the versions of the streams of a batch; read in every transaction, since other processes write
/// too. Without appends nothing is read, not even the end of the log.
pub(crate) async fn read_versions<'a>(
    connection: &mut SqliteConnection,
    batch: &[&'a EncodedAppend],
) -> Result<(Position, HashMap<&'a str, Version>), Unavailable> {
    let mut end = Position(0);
    let mut versions: HashMap<_, _> =
        batch.iter().flat_map(|append| append.streams()).map(|stream| (stream, Version(0))).collect();
    if batch.is_empty() {
        return Ok((end, versions));
    }
    let streams = json_rows(OPERATION, &versions.keys().collect::<Vec<_>>())?;
    let found = sqlx::query!(
        r#"SELECT NULL AS "stream: String", coalesce(max(position), 0) AS "head!: i64" FROM events
               UNION ALL
               SELECT stream, version FROM json_each(?) AS s CROSS JOIN events
               WHERE stream = s.value AND version = (SELECT max(version) FROM events WHERE stream = s.value)"#,
        streams
    )
    .fetch_all(connection)
    .await
    .map_err(|e| Unavailable::new(OPERATION, e))?;
    for row in found {
        let head = Decoder(OPERATION).number("version", row.head)?;
        match row.stream.as_deref().map(|stream| versions.get_mut(stream)) {
            Some(version) => _ = version.map(|version| *version = Version(head)),
            None => end = Position(head),
        }
    }
    Ok((end, versions))
}

/// Inserts the events of a plan behind the end of the log.
pub(crate) async fn insert(
    connection: &mut SqliteConnection,
    plan: &AppendPlan<'_>,
    end: Position,
) -> Result<(), Unavailable> {
    if plan.events.is_empty() {
        return Ok(());
    }
    let events = plan.events.iter().zip(end.0 + 1..).map(|(event, position)| {
        let PlannedEvent { stream, version, kind, schema, payload, metadata, at } = *event;
        EventJson(position, stream, version.0, kind, schema, payload, metadata, micros(at))
    });
    let (events, count) = (json_rows(OPERATION, &events.collect::<Vec<_>>())?, to_i64(plan.events.len()));
    let done = sqlx::query!(
        "INSERT INTO events (position, stream, version, kind, schema, payload, metadata, recorded_at)
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
                    value ->> 7
             FROM json_each(?)",
        events
    )
    .execute(connection)
    .await
    .map_err(|e| Unavailable::new(OPERATION, e))?;
    debug_assert_eq!(to_i64(done.rows_affected()), count);
    Ok(())
}
