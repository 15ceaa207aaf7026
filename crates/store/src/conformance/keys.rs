//! The suite: API keys.
use std::collections::BTreeSet;

use super::StoreUnderTest;
use super::samples::{at, workspace};
use crate::{ApiKey, KeyHash, KeyId, KeyOwner, KeyScope};

fn key(number: u8, owner: KeyOwner, scopes: &[KeyScope]) -> (ApiKey, KeyHash) {
    let key = ApiKey {
        id: KeyId(format!("key_{number:016x}")),
        name: format!("key ñ {number}"),
        owner,
        scopes: scopes.iter().copied().collect::<BTreeSet<_>>(),
        created_at: at(i64::from(number)),
        revoked_at: None,
    };
    (key, KeyHash::of(&format!("deed_{number}")))
}

/// Found by its hash only; listed oldest first.
pub async fn finds_and_lists_api_keys<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let store = under_test.keys();
    assert_eq!(store.list().await.unwrap(), []);
    let (younger, younger_hash) = key(2, KeyOwner::Service, &KeyScope::ALL);
    let (older, older_hash) = key(1, KeyOwner::Workspace(workspace(1)), &[KeyScope::DomainRead]);
    store.insert(&younger, younger_hash).await.unwrap();
    store.insert(&older, older_hash).await.unwrap();
    assert_eq!(store.find(younger_hash).await.unwrap(), Some(younger.clone()));
    assert_eq!(store.find(older_hash).await.unwrap(), Some(older.clone()));
    assert_eq!(store.find(KeyHash::of("deed_3")).await.unwrap(), None);
    assert_eq!(store.list().await.unwrap(), [older, younger]);
}

/// A revoked key is still found, so that it can be told from an unknown one.
pub async fn revokes_api_key_once<S: StoreUnderTest>() {
    let under_test = S::start().await;
    let store = under_test.keys();
    let (mut revoked, hash) = key(1, KeyOwner::Service, &[]);
    let (kept, kept_hash) = key(2, KeyOwner::Service, &[KeyScope::WebhookRead]);
    store.insert(&revoked, hash).await.unwrap();
    store.insert(&kept, kept_hash).await.unwrap();
    assert!(store.revoke(&revoked.id, at(10)).await.unwrap());
    assert!(!store.revoke(&revoked.id, at(20)).await.unwrap());
    assert!(!store.revoke(&KeyId("key_none".to_owned()), at(20)).await.unwrap());
    revoked.revoked_at = Some(at(10));
    assert_eq!(store.find(hash).await.unwrap(), Some(revoked.clone()));
    assert_eq!(store.find(kept_hash).await.unwrap(), Some(kept.clone()));
    assert_eq!(store.list().await.unwrap(), [revoked, kept]);
}
