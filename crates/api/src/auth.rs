//! Who asks: an API key, and the workspace it acts for.
use std::sync::Arc;

use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
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

/// The only value of a header, where it is sent at all.
///
/// # Errors
/// When it is sent more than once: which one counts would be a guess, and proxies guess differently.
pub fn only(headers: &HeaderMap, name: HeaderName) -> Result<Option<&HeaderValue>, Repeated> {
    let mut values = headers.get_all(name);
    let value = values.next();
    if values.next().is_some() { Err(Repeated) } else { Ok(value) }
}

/// A header was sent more than once.
#[derive(Debug)]
pub struct Repeated;

/// The key as presented: `Authorization: Bearer KEY`, `Authorization: ApiKey KEY`, or `X-API-Key: KEY`.
fn presented(headers: &HeaderMap) -> Result<&str, Fault> {
    let one = |name| only(headers, name).map_err(|Repeated| Fault::KeyAmbiguous);
    let authorization = one(header::AUTHORIZATION)?.map(authorized).transpose()?;
    let bare = one(X_API_KEY)?.map(|value| value.to_str().map(str::trim)).transpose();
    match (authorization, bare.map_err(|_| Fault::KeyUnknown)?) {
        (Some(key), Some(other)) if key != other => Err(Fault::KeyAmbiguous),
        (Some(key), _) | (None, Some(key)) => Ok(key),
        (None, None) => Err(Fault::KeyMissing),
    }
}

/// The key in an `Authorization`.
fn authorized(value: &HeaderValue) -> Result<&str, Fault> {
    let text = value.to_str().map_err(|_| Fault::KeyUnknown)?.trim();
    let (scheme, key) = text.split_once(' ').ok_or(Fault::KeyUnknown)?;
    let ours = scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("apikey");
    if ours { Ok(key.trim()) } else { Err(Fault::KeyUnknown) }
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
    let named = only(headers, DEED_WORKSPACE)
        .map_err(|Repeated| Fault::WorkspaceRepeated)?
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
