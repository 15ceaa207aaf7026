//! The history of a claim, by the index of events by claim.
use deed_claims::ClaimId;
use deed_store::{Position, RecordedEvent, Unavailable};

use crate::columns::{Decoder, to_i64};
use crate::event_store::EventRecord;
use crate::open::StoreInner;

const OPERATION: &str = "read the history of a claim";

/// At most `limit` events after the first `after` ones.
pub(crate) async fn read(
    store: &StoreInner,
    claim_id: ClaimId,
    after: u64,
    limit: usize,
) -> Result<Vec<RecordedEvent>, Unavailable> {
    let mut connection = store.general.acquire(OPERATION).await?;
    // Arrays make the planner look up each position by its index, whatever the table statistics are.
    let found = sqlx::query_as!(
        EventRecord,
        r#"SELECT position, stream, version, kind, schema, payload::text AS "payload!",
                  metadata::text AS "metadata!", recorded_at
           FROM events
           WHERE position = ANY (ARRAY(
               SELECT position FROM events WHERE payload ->> 'claimId' = $1
               UNION
               SELECT position FROM events
               WHERE kind IN ('ContestOpened', 'ContestAnswered') AND payload ->> 'holderClaimId' = $1
               UNION
               SELECT position FROM events
               WHERE kind = 'ContestResolved' AND payload ->> 'claimId' = ANY (ARRAY(
                   SELECT payload ->> 'claimId' FROM events
                   WHERE kind IN ('ContestOpened', 'ContestAnswered') AND payload ->> 'holderClaimId' = $1))))
           ORDER BY position LIMIT $2 OFFSET $3"#,
        claim_id.to_string(),
        to_i64(limit),
        to_i64(after)
    );
    let found = connection.deadline().run(found.fetch_all(&mut *connection)).await;
    connection.finish(found)?.into_iter().map(|row| row.decode(Decoder(OPERATION))).collect()
}

/// The position of the newest event.
pub(crate) async fn position(store: &StoreInner, claim_id: ClaimId) -> Result<Option<Position>, Unavailable> {
    let mut connection = store.general.acquire(OPERATION).await?;
    let last = sqlx::query_scalar!(
        r#"SELECT greatest(
               (SELECT max(position) FROM events WHERE payload ->> 'claimId' = $1),
               (SELECT max(position) FROM events
                WHERE kind IN ('ContestOpened', 'ContestAnswered') AND payload ->> 'holderClaimId' = $1),
               (SELECT max(position) FROM events
                WHERE kind = 'ContestResolved' AND payload ->> 'claimId' = ANY (ARRAY(
                    SELECT payload ->> 'claimId' FROM events
                    WHERE kind IN ('ContestOpened', 'ContestAnswered') AND payload ->> 'holderClaimId' = $1)))
           ) AS "last""#,
        claim_id.to_string()
    );
    let last = connection.deadline().run(last.fetch_one(&mut *connection)).await;
    let last = connection.finish(last)?;
    last.map(|last| Ok(Position(Decoder(OPERATION).number("position", last)?))).transpose()
}
