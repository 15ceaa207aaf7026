//! Pages of a workspace's newest claims from the read model, filtered by status.
use std::collections::HashMap;

use deed_claims::{Ownership, Status, StreamId};
use deed_http::{JsonResponse, Query, RequestError, encode_cursor};
use deed_store::{ClaimPage, ClaimQuery};

use super::view::{ClaimView, Page};
use crate::call::Call;

/// The statuses to filter by, as `status=a,b` or `status=a&status=b`; none means all.
pub fn statuses(query: &Query) -> Result<Vec<Status>, RequestError> {
    let rule = "is one of pending, verifying, contested, verified, at_risk, expired, cancelled, refused, \
                transferred, released, lapsed, revoked";
    query
        .all("status")
        .flat_map(|list| list.split(','))
        .map(|word| word.parse().map_err(|_| RequestError::Query { name: "status", rule }))
        .collect()
}

/// One page of a list.
pub async fn claim_page<T: serde::Serialize>(
    call: &Call,
    statuses: Vec<Status>,
    show: fn(ClaimView<'_>) -> T,
) -> Result<JsonResponse, RequestError> {
    let (limit, after, at_least) = (call.query.limit()?, call.query.cursor()?, call.query.at_least()?);
    call.state.caught_up(at_least).await?;
    let found = if statuses.is_empty() {
        ClaimPage { rows: vec![], next: None }
    } else {
        let query = ClaimQuery {
            workspace_id: call.caller.workspace.clone(),
            app_id: None,
            statuses: statuses.iter().map(ToString::to_string).collect(),
            after,
            limit,
        };
        call.state.read_models.claims(&query).await.map_err(RequestError::Unavailable)?
    };
    let contests = contested(call, &found).await?;
    let rows = found.rows.iter().map(|row| {
        // The claim and its contest must come from the same state.
        let ownership = contests.get(&row.stream);
        let claim = ownership.and_then(|ownership| ownership.claims.get(&row.claim.id)).unwrap_or(&row.claim);
        let default_region = &call.state.default_region;
        show(ClaimView { root: &row.name, claim, ownership, default_region, again_at: None })
    });
    JsonResponse::ok(&Page::of(rows.collect(), found.next.as_ref().map(encode_cursor)))
}

/// All claims on the names of a page that may have a contest.
async fn contested(call: &Call, page: &ClaimPage) -> Result<HashMap<StreamId, Ownership>, RequestError> {
    let may_be = |status: Status| matches!(status, Status::Contested | Status::Verified | Status::AtRisk);
    let streams: Vec<_> =
        page.rows.iter().filter(|row| may_be(row.claim.status())).map(|row| row.stream.clone()).collect();
    if streams.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = call.state.read_models.ownerships(&streams).await?;
    Ok(rows.into_iter().map(|row| (row.stream, row.state)).collect())
}

#[cfg(test)]
mod tests {
    use deed_claims::Status;

    #[test]
    fn reads_statuses_from_lists_and_repetitions() {
        let read = |text: &str| super::statuses(&deed_http::Query::parse(text));
        let wanted = [Status::Pending, Status::Verified, Status::AtRisk];
        assert_eq!(read("status=pending%2Cverified&status=at_risk").unwrap(), wanted);
        assert!(read("status=gone").is_err() && read("status=").is_err());
    }
}
