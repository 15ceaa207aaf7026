//! A workspace's domains and claims: `GET /v1/domains`, `GET /v1/domains/claims`.
use std::collections::HashMap;
use std::sync::Arc;

use deed_claims::{Ownership, Status, StreamId};
use deed_store::{ClaimPage, ClaimQuery};

use super::read::is_deleted;
use super::view::{ClaimBody, DomainBody, Page, Seen};
use super::words::StatusWord;
use crate::call::Call;
use crate::error_a::ErrorA;
use crate::fault::Fault;
use crate::query::encode_cursor;
use crate::reply::Reply;

/// List Domains
///
/// The domains of this workspace, the newest first. Domains that were deleted are left out.
#[utoipa::path(
    get,
    path = "/v1/domains",
    operation_id = "ListDomains",
    tag = "Domains",
    params(
        ("status" = Option<Vec<StatusWord>>, Query, style = Form, explode = false, description = "Only domains with one of these statuses"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Domains on a page; 500 unless given"),
        ("cursor" = Option<String>, Query, description = "The `nextCursor` of the page before"),
        ("atLeast" = Option<u64>, Query, minimum = 0, maximum = 9007199254740991_u64, description = "Answers once the list tells of everything up to this `Deed-Position`"),
    ),
    responses((status = 200, description = "A page of domains", body = Page<DomainBody>))
)]
pub async fn list_domains(call: Arc<Call>) -> Result<Reply, ErrorA> {
    let asked = call.query.statuses()?;
    let wanted = if asked.is_empty() { Status::ALL } else { &asked[..] };
    let statuses = wanted.iter().copied().filter(|status| !is_deleted(*status)).collect();
    page(&call, statuses, |seen| seen.domain()).await
}

/// List Domain Claims
///
/// The newest claim of this workspace on each name, the newest first, ended ones included.
#[utoipa::path(
    get,
    path = "/v1/domains/claims",
    operation_id = "ListDomainClaims",
    tag = "Domains",
    params(
        ("status" = Option<Vec<StatusWord>>, Query, style = Form, explode = false, description = "Only claims with one of these statuses"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Claims on a page; 500 unless given"),
        ("cursor" = Option<String>, Query, description = "The `nextCursor` of the page before"),
        ("atLeast" = Option<u64>, Query, minimum = 0, maximum = 9007199254740991_u64, description = "Answers once the list tells of everything up to this `Deed-Position`"),
    ),
    responses((status = 200, description = "A page of claims", body = Page<ClaimBody>))
)]
pub async fn list_claims(call: Arc<Call>) -> Result<Reply, ErrorA> {
    let asked = call.query.statuses()?;
    let statuses = if asked.is_empty() { Status::ALL.to_vec() } else { asked };
    page(&call, statuses, |seen| seen.claim()).await
}

/// One page of a list.
async fn page<T: serde::Serialize>(
    call: &Call,
    statuses: Vec<Status>,
    show: fn(Seen<'_>) -> T,
) -> Result<Reply, ErrorA> {
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
        call.state.read_models.claims(&query).await.map_err(Fault::Unavailable)?
    };
    let contests = contested(call, &found).await?;
    let rows = found.rows.iter().map(|row| {
        // The claim and the contest around it have to be of one moment.
        let ownership = contests.get(&row.stream);
        let claim = ownership.and_then(|ownership| ownership.claims.get(&row.claim.id)).unwrap_or(&row.claim);
        show(Seen { root: &row.name, claim, ownership, again_at: None })
    });
    Ok(Reply::ok(&Page::of(rows.collect(), found.next.as_ref().map(encode_cursor)))?)
}

/// What else is claimed on the names of a page, where a contest may run.
async fn contested(call: &Call, page: &ClaimPage) -> Result<HashMap<StreamId, Ownership>, Fault> {
    let may_be = |status: Status| matches!(status, Status::Contested | Status::Verified | Status::AtRisk);
    let streams: Vec<_> =
        page.rows.iter().filter(|row| may_be(row.claim.status())).map(|row| row.stream.clone()).collect();
    if streams.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = call.state.read_models.ownerships(&streams).await?;
    Ok(rows.into_iter().map(|row| (row.stream, row.state)).collect())
}
