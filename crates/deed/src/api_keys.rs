//! Creates API keys.
use std::collections::BTreeSet;

use deed_claims::Clock;
use deed_service::Store;
use deed_store::{KeyHash, KeyOwner, KeyScope, NewKey, OsEntropy, SystemClock, Unavailable};

use crate::exit::Failure;

/// Creates a key and stores it.
pub(crate) async fn new_key(
    store: &Store,
    name: String,
    owner: KeyOwner,
    scopes: BTreeSet<KeyScope>,
) -> Result<NewKey, Failure> {
    let made = NewKey::generate(name, owner, scopes, &OsEntropy, SystemClock.now())
        .map_err(|error| Failure::with_source("there is no randomness to be had", error))?;
    let kept: Result<(), Unavailable> = store.keys.insert(&made.key, KeyHash::of(&made.secret)).await;
    kept?;
    Ok(made)
}
