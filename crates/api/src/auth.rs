//! Who asks: an API key, and the workspace it acts for.
use std::sync::Arc;

use actix_web::http::header::{self, HeaderMap, HeaderName};
use deed_claims::WorkspaceId;
use deed_store::{ApiKey, KeyHash, KeyOwner, KeyScope};

use crate::fault::Fault;
use crate::state::AppState;

/// Names the workspace a service key acts for.
pub const DEED_WORKSPACE: HeaderName = HeaderName::from_static("deed-workspace");
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// Longer texts are no keys of ours.
const MAX_KEY: usize = 256;

/// A request's key and the workspace it acts for.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The key.
    pub key: Arc<ApiKey>,
    /// The workspace; of the key, or named by the header.
    pub workspace: WorkspaceId,
}

/// The key as presented: `Authorization: Bearer KEY`, `Authorization: ApiKey KEY`, or `X-API-Key: KEY`.
fn presented(headers: &HeaderMap) -> Result<&str, Fault> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let text = value.to_str().map_err(|_| Fault::KeyUnknown)?.trim();
        let (scheme, key) = text.split_once(' ').ok_or(Fault::KeyUnknown)?;
        let ours = scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("apikey");
        return if ours { Ok(key.trim()) } else { Err(Fault::KeyUnknown) };
    }
    let value = headers.get(X_API_KEY).ok_or(Fault::KeyMissing)?;
    value.to_str().map(str::trim).map_err(|_| Fault::KeyUnknown)
}

/// The key a request is made with.
pub async fn key(state: &AppState, headers: &HeaderMap) -> Result<Arc<ApiKey>, Fault> {
    let text = presented(headers)?;
    if text.is_empty() || text.len() > MAX_KEY {
        return Err(Fault::KeyUnknown);
    }
    let found = state.key_cache.find(&*state.keys, KeyHash::of(text), state.clock.now()).await?;
    found.filter(|key| key.revoked_at.is_none()).ok_or(Fault::KeyUnknown)
}

/// What a key may do, and for whom.
pub fn caller(key: Arc<ApiKey>, headers: &HeaderMap, scope: KeyScope) -> Result<Caller, Fault> {
    if !key.scopes.contains(&scope) {
        return Err(Fault::ScopeMissing(scope));
    }
    let named = headers
        .get(DEED_WORKSPACE)
        .map(|value| {
            let text = value.to_str().unwrap_or_default().trim();
            text.parse::<WorkspaceId>().map_err(Fault::WorkspaceInvalid)
        })
        .transpose()?;
    let workspace = match (&key.owner, named) {
        (KeyOwner::Workspace(own), Some(named)) if *own != named => return Err(Fault::OtherWorkspace),
        (KeyOwner::Workspace(own), _) => own.clone(),
        (KeyOwner::Service, Some(named)) => named,
        (KeyOwner::Service, None) => return Err(Fault::WorkspaceMissing),
    };
    Ok(Caller { key, workspace })
}
