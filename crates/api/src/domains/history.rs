//! A claim's timeline from the log: `GET /v1/domains/claims/{domain}/history`.
use std::sync::Arc;

use super::own::Asked;
use super::read::position;
use super::timeline::{Timeline, TimelineEntry};
use super::view::Page;
use crate::call::Call;
use crate::error_a::{ApiError, ErrorA};
use crate::reply::Reply;

/// Get Domain Claim History
///
/// Everything that happened to the newest claim of this workspace on the name, the oldest first: every check with
/// what was seen and why it did not prove the record.
#[utoipa::path(
    get,
    path = "/v1/domains/claims/{domain}/history",
    operation_id = "GetDomainClaimHistory",
    tag = "Domains",
    params(
        ("domain" = String, Path, description = "The domain or any name under it, also percent-encoded Unicode"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Entries on a page; 500 unless given"),
        ("cursor" = Option<String>, Query, description = "The `nextCursor` of the page before"),
    ),
    responses(
        (status = 200, description = "A page of the timeline", body = Page<TimelineEntry>),
        (status = 404, description = "This workspace has no claim on the name", body = ApiError),
    )
)]
pub async fn claim_history(call: Arc<Call>) -> Result<Reply, ErrorA> {
    let asked = Asked::by(&call)?;
    let (limit, after) = (call.query.limit()?, call.query.version_cursor()?);
    let loaded = call.load(&asked.stream).await?;
    let ownership = loaded.ownership();
    let mut timeline = Timeline::of(asked.claim(&ownership)?.id);
    let entries = loaded.events.iter().filter_map(|event| timeline.entry(event));
    let mut page: Vec<_> = entries.filter(|entry| entry.version > after.0).take(limit + 1).collect();
    let more = page.len() > limit;
    page.truncate(limit);
    let next = page.last().filter(|_| more).map(|entry| entry.version.to_string());
    Ok(Reply::ok(&Page::of(page, next))?.at(position(&loaded)))
}
