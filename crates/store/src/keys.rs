//! The port to API keys. A key is 256 random bits; it is shown once and stored as a hash.
use std::{collections::BTreeSet, fmt, str::FromStr};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use data_encoding::HEXLOWER;
use deed_claims::WorkspaceId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Unavailable;
use deed_claims::Entropy;

/// The public id of a key: `key_` and 16 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeyId(pub String);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// SHA-256 of a key. A key has 256 random bits, so it needs no slow hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash(pub [u8; 32]);

impl KeyHash {
    /// The hash of a presented key.
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }
}

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum KeyScope {
    /// Read domains and claims.
    #[serde(rename = "domain:read")]
    DomainRead,
    /// Change domains and claims.
    #[serde(rename = "domain:write")]
    DomainWrite,
    /// Read webhooks.
    #[serde(rename = "webhook:read")]
    WebhookRead,
    /// Change webhooks.
    #[serde(rename = "webhook:write")]
    WebhookWrite,
}

impl KeyScope {
    /// Every scope.
    pub const ALL: [Self; 4] = [Self::DomainRead, Self::DomainWrite, Self::WebhookRead, Self::WebhookWrite];

    /// The stable text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DomainRead => "domain:read",
            Self::DomainWrite => "domain:write",
            Self::WebhookRead => "webhook:read",
            Self::WebhookWrite => "webhook:write",
        }
    }
}

impl fmt::Display for KeyScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is not a scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a scope is one of domain:read, domain:write, webhook:read, webhook:write")]
pub struct KeyScopeError;

impl FromStr for KeyScope {
    type Err = KeyScopeError;
    fn from_str(s: &str) -> Result<Self, KeyScopeError> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == s).ok_or(KeyScopeError)
    }
}

/// The party that a key acts for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum KeyOwner {
    /// One workspace.
    Workspace(WorkspaceId),
    /// The platform: each request names its workspace.
    Service,
}

/// A stored key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id in logs and lists.
    pub id: KeyId,
    /// Its display name.
    pub name: String,
    /// The party that it acts for.
    pub owner: KeyOwner,
    /// What it may do.
    pub scopes: BTreeSet<KeyScope>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// A new key; only now its secret is known.
pub struct NewKey {
    /// `deed_` and 64 hexadecimal digits.
    pub secret: String,
    /// What is stored.
    pub key: ApiKey,
}

impl NewKey {
    /// Generates a key; it is valid after [`Keys::insert`].
    ///
    /// # Errors
    /// When the entropy source fails.
    pub fn generate(
        name: String,
        owner: KeyOwner,
        scopes: BTreeSet<KeyScope>,
        entropy: &dyn Entropy,
        now: DateTime<Utc>,
    ) -> Result<Self, std::io::Error> {
        let (mut secret, mut id) = ([0; 32], [0; 8]);
        entropy.fill(&mut secret)?;
        entropy.fill(&mut id)?;
        let id = KeyId(format!("key_{}", HEXLOWER.encode(&id)));
        let key = ApiKey { id, name, owner, scopes, created_at: now, revoked_at: None };
        Ok(Self { secret: format!("deed_{}", HEXLOWER.encode(&secret)), key })
    }
}

/// API keys.
#[async_trait]
pub trait Keys: Send + Sync {
    /// Stores a new key under its hash.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn insert(&self, key: &ApiKey, hash: KeyHash) -> Result<(), Unavailable>;

    /// The key with this hash, revoked or not.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn find(&self, hash: KeyHash) -> Result<Option<ApiKey>, Unavailable>;

    /// Every key, oldest first.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn list(&self) -> Result<Vec<ApiKey>, Unavailable>;

    /// Revokes a key; false when it does not exist or was revoked before.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn revoke(&self, id: &KeyId, now: DateTime<Utc>) -> Result<bool, Unavailable>;
}
