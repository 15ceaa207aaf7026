//! Authentication by API key, and the workspace that the key acts for.
use std::sync::Arc;

use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use deed_claims::WorkspaceId;
use deed_store::{ApiKey, KeyHash, KeyOwner, KeyScope};

use crate::request_error::RequestError;
use crate::state::HttpState;

/// Names the workspace that a service key acts for.
pub const DEED_WORKSPACE: HeaderName = HeaderName::from_static("deed-workspace");
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// No key of ours is longer.
const MAX_KEY_BYTES: usize = 256;

/// A request's key and the workspace it acts for.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The key.
    pub key: Arc<ApiKey>,
    /// The workspace of the key, or the one that the header names.
    pub workspace: WorkspaceId,
}

/// The value of a header that may be sent once.
///
/// # Errors
/// When it is sent more than once: which one counts would be a guess, and proxies choose differently.
pub fn single_value(headers: &HeaderMap, name: HeaderName) -> Result<Option<&HeaderValue>, RepeatedHeader> {
    let mut values = headers.get_all(name);
    let value = values.next();
    if values.next().is_some() { Err(RepeatedHeader) } else { Ok(value) }
}

/// A header was sent more than once.
#[derive(Debug)]
pub struct RepeatedHeader;

/// The key from `Authorization: Bearer KEY`, `Authorization: ApiKey KEY`, or `X-API-Key: KEY`.
fn presented_key(headers: &HeaderMap) -> Result<&str, RequestError> {
    let one = |name| single_value(headers, name).map_err(|RepeatedHeader| RequestError::KeyAmbiguous);
    let authorization = one(header::AUTHORIZATION)?.map(authorization_key).transpose()?;
    let bare = one(X_API_KEY)?.map(|value| value.to_str().map(str::trim)).transpose();
    match (authorization, bare.map_err(|_| RequestError::KeyUnknown)?) {
        (Some(key), Some(other)) if key != other => Err(RequestError::KeyAmbiguous),
        (Some(key), _) | (None, Some(key)) => Ok(key),
        (None, None) => Err(RequestError::KeyMissing),
    }
}

/// The key in an `Authorization` header.
fn authorization_key(value: &HeaderValue) -> Result<&str, RequestError> {
    let text = value.to_str().map_err(|_| RequestError::KeyUnknown)?.trim();
    let (scheme, key) = text.split_once(' ').ok_or(RequestError::KeyUnknown)?;
    let ours = scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("apikey");
    if ours { Ok(key.trim()) } else { Err(RequestError::KeyUnknown) }
}

/// Looks up the key of a request.
pub async fn authenticate(state: &HttpState, headers: &HeaderMap) -> Result<Arc<ApiKey>, RequestError> {
    let text = presented_key(headers)?;
    if text.is_empty() || text.len() > MAX_KEY_BYTES {
        return Err(RequestError::KeyUnknown);
    }
    let found = state.key_cache.find(&*state.keys, KeyHash::of(text), state.clock.now()).await?;
    found.filter(|key| key.revoked_at.is_none()).ok_or(RequestError::KeyUnknown)
}

/// Checks the scope of a key and finds its workspace.
pub fn authorize(key: Arc<ApiKey>, headers: &HeaderMap, scope: KeyScope) -> Result<Caller, RequestError> {
    if !key.scopes.contains(&scope) {
        return Err(RequestError::ScopeMissing(scope));
    }
    let named = single_value(headers, DEED_WORKSPACE)
        .map_err(|RepeatedHeader| RequestError::WorkspaceRepeated)?
        .map(|value| {
            let text = value.to_str().unwrap_or_default().trim();
            text.parse::<WorkspaceId>().map_err(RequestError::WorkspaceInvalid)
        })
        .transpose()?;
    let workspace = match (&key.owner, named) {
        (KeyOwner::Workspace(own), Some(named)) if *own != named => return Err(RequestError::OtherWorkspace),
        (KeyOwner::Workspace(own), _) => own.clone(),
        (KeyOwner::Service, Some(named)) => named,
        (KeyOwner::Service, None) => return Err(RequestError::WorkspaceMissing),
    };
    Ok(Caller { key, workspace })
}
