//! API keys of `deed dev`: two workspaces that can contest a name, and a service key.
use std::fs;
use std::path::Path;

use deed_claims::WorkspaceId;
use deed_service::Store;
use deed_store::{KeyHash, KeyOwner, KeyScope};
use serde::{Deserialize, Serialize};

use super::folder::{Folder, write_for_owner};
use crate::api_keys::new_key;
use crate::exit::Failure;

/// The file with the secrets of a kept folder, mode 0600.
const FILE: &str = "keys.json";

/// The secrets of the keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DevKeys {
    pub(crate) ws_acme: String,
    pub(crate) ws_globex: String,
    pub(crate) service: String,
}

impl DevKeys {
    /// Loads the keys of the folder, or creates new ones when they are missing or revoked.
    pub(super) async fn load_or_create(folder: &Folder, store: &Store) -> Result<Self, Failure> {
        let file = folder.path().join(FILE);
        let kept: Option<Self> = fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok());
        if let Some(kept) = kept
            && kept.are_valid(store).await?
        {
            return Ok(kept);
        }
        let made = Self {
            ws_acme: create_key(store, workspace("ws_acme")?).await?,
            ws_globex: create_key(store, workspace("ws_globex")?).await?,
            service: create_key(store, KeyOwner::Service).await?,
        };
        made.keep(&file)
            .map_err(|error| Failure::with_source(format!("{} cannot be written", file.display()), error))?;
        Ok(made)
    }

    async fn are_valid(&self, store: &Store) -> Result<bool, Failure> {
        for secret in [&self.ws_acme, &self.ws_globex, &self.service] {
            let found = store.keys.find(KeyHash::of(secret)).await?;
            if found.is_none_or(|key| key.revoked_at.is_some()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn keep(&self, file: &Path) -> std::io::Result<()> {
        write_for_owner(file, &serde_json::to_string(self)?)
    }
}

fn workspace(id: &str) -> Result<KeyOwner, Failure> {
    let id: WorkspaceId =
        id.parse().map_err(|error| Failure::with_source("no workspace has this id", error))?;
    Ok(KeyOwner::Workspace(id))
}

async fn create_key(store: &Store, owner: KeyOwner) -> Result<String, Failure> {
    Ok(new_key(store, "deed dev".to_owned(), owner, KeyScope::ALL.into()).await?.secret)
}
