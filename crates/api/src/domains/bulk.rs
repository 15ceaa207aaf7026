//! Verifying many claims at once: `POST /v1/domains/claims/verify`.
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::own::Asked;
use super::verify::{patience, verify};
use super::view::{ChallengeBody, Success};
use crate::call::Call;
use crate::error_a::ErrorA;
use crate::fault::Fault;
use crate::reply::Reply;

/// Names in one request.
const MAX_ITEMS: usize = 50;
/// Items in hand at the same time.
const AT_ONCE: usize = 50;

/// The names to verify.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkVerifyRequest {
    /// Each as the path of a single verification would have it, not encoded.
    #[schema(min_items = 1, max_items = 50)]
    domains: Vec<String>,
}

/// The results, in the order of the request.
#[derive(Debug, Serialize, ToSchema)]
pub struct BulkVerifyBody {
    results: Vec<BulkVerifyItem>,
}

/// What a single verification would have answered.
#[derive(Debug, Serialize, ToSchema)]
pub struct BulkVerifyItem {
    /// As given.
    domain: String,
    success: bool,
    /// The HTTP status a single verification would have had.
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    data: Option<ChallengeBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    code: Option<String>,
}

/// Verify Domain Claims
///
/// Asks for a check of up to 50 claims, with a result for each. Unlike a single verification it does not wait for
/// the outcomes unless told to with `Prefer: wait=N`.
#[utoipa::path(
    post,
    path = "/v1/domains/claims/verify",
    operation_id = "VerifyDomainClaims",
    tag = "Domains",
    params(("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds for the outcomes")),
    request_body = BulkVerifyRequest,
    responses((status = 200, description = "A result for each name", body = Success<BulkVerifyBody>))
)]
pub async fn verify_claims(call: Arc<Call>) -> Result<Reply, ErrorA> {
    let body: BulkVerifyRequest = call.json()?;
    if !(1..=MAX_ITEMS).contains(&body.domains.len()) {
        let rule = format!("the field `domains` has 1 to {MAX_ITEMS} names");
        return Err(ErrorA::Field { field: "domains", rule });
    }
    let patience = patience(&call, Duration::ZERO);
    let results = stream::iter(body.domains)
        .map(|domain| item(&call, domain, patience))
        .buffered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    // Our own trouble is the whole request's: it can be tried again as a whole.
    let results = results.into_iter().collect::<Result<Vec<_>, Fault>>()?;
    Ok(Reply::ok(&Success::of(BulkVerifyBody { results }))?)
}

async fn item(call: &Call, domain: String, patience: Duration) -> Result<BulkVerifyItem, Fault> {
    let verified = async {
        let asked = Asked::about(call, &domain)?;
        verify(call, &asked, patience)
            .await?
            .outcome(&asked, |status, seen| Ok((status, seen.challenge())))
    };
    match verified.await {
        Ok((status, data)) => Ok(BulkVerifyItem {
            domain,
            success: true,
            status: status.as_u16(),
            data: Some(data),
            error: None,
            code: None,
        }),
        Err(ErrorA::Fault(fault)) => Err(fault),
        Err(e) => {
            let (status, code, error) = e.item(&call.request);
            Ok(BulkVerifyItem {
                domain,
                success: false,
                status: status.as_u16(),
                data: None,
                error: Some(error),
                code: Some(code),
            })
        }
    }
}
