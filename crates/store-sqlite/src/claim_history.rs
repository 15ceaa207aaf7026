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
    let (claim_id, after, limit) = (claim_id.to_string(), to_i64(after), to_i64(limit));
    sqlx::query_as!(
        EventRecord,
        "SELECT position, stream, version, kind, schema, payload, metadata, recorded_at FROM events
         WHERE position IN (
             SELECT position FROM events WHERE payload ->> 'claimId' = ?1
             UNION
             SELECT position FROM events
             WHERE kind IN ('ContestOpened', 'ContestAnswered') AND payload ->> 'holderClaimId' = ?1
             UNION
             SELECT resolved.position FROM events AS opened JOIN events AS resolved
                 ON resolved.payload ->> 'claimId' = opened.payload ->> 'claimId' AND resolved.kind = 'ContestResolved'
             WHERE opened.kind IN ('ContestOpened', 'ContestAnswered') AND opened.payload ->> 'holderClaimId' = ?1)
         ORDER BY position LIMIT ?2 OFFSET ?3",
        claim_id,
        limit,
        after
    )
    .fetch_all(&store.readers)
    .await
    .map_err(|e| Unavailable::new(OPERATION, e))?
    .into_iter()
    .map(|row| row.decode(Decoder(OPERATION)))
    .collect()
}

/// The position of the newest event.
pub(crate) async fn position(store: &StoreInner, claim_id: ClaimId) -> Result<Option<Position>, Unavailable> {
    let claim_id = claim_id.to_string();
    let last = sqlx::query_scalar!(
        r#"SELECT max(position) AS "last: i64" FROM (
             SELECT max(position) AS position FROM events WHERE payload ->> 'claimId' = ?1
             UNION ALL
             SELECT max(position) FROM events
             WHERE kind IN ('ContestOpened', 'ContestAnswered') AND payload ->> 'holderClaimId' = ?1
             UNION ALL
             SELECT max(resolved.position) FROM events AS opened JOIN events AS resolved
                 ON resolved.payload ->> 'claimId' = opened.payload ->> 'claimId' AND resolved.kind = 'ContestResolved'
             WHERE opened.kind IN ('ContestOpened', 'ContestAnswered') AND opened.payload ->> 'holderClaimId' = ?1)"#,
        claim_id
    )
    .fetch_one(&store.readers)
    .await
    .map_err(|e| Unavailable::new(OPERATION, e))?;
    last.map(|last| Ok(Position(Decoder(OPERATION).number("position", last)?))).transpose()
}
