//! The keys that `deed dev` hands out: two workspaces that may quarrel over a name, and the platform.
use std::fs;
use std::path::Path;

use deed_claims::WorkspaceId;
use deed_store::{KeyHash, KeyOwner, KeyScope};
use serde::{Deserialize, Serialize};

use super::folder::{Folder, write_for_owner};
use crate::cli::new_key;
use crate::exit::Failure;
use crate::run::Store;

/// Where the secrets of a kept folder are, readable by its owner alone: a service for trying things out.
const FILE: &str = "keys.json";

/// Secrets, by whom they act for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DevKeys {
    pub(crate) ws_acme: String,
    pub(crate) ws_globex: String,
    pub(crate) service: String,
}

impl DevKeys {
    /// The keys of the folder, or new ones when it has none that are good.
    pub(super) async fn at_hand(folder: &Folder, store: &Store) -> Result<Self, Failure> {
        let file = folder.path().join(FILE);
        let kept: Option<Self> = fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok());
        if let Some(kept) = kept
            && kept.are_good(store).await?
        {
            return Ok(kept);
        }
        let made = Self {
            ws_acme: make(store, workspace("ws_acme")?).await?,
            ws_globex: make(store, workspace("ws_globex")?).await?,
            service: make(store, KeyOwner::Service).await?,
        };
        made.keep(&file)
            .map_err(|error| Failure::because(format!("{} cannot be written", file.display()), error))?;
        Ok(made)
    }

    async fn are_good(&self, store: &Store) -> Result<bool, Failure> {
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
    let id: WorkspaceId = id.parse().map_err(|error| Failure::because("no workspace has this id", error))?;
    Ok(KeyOwner::Workspace(id))
}

async fn make(store: &Store, owner: KeyOwner) -> Result<String, Failure> {
    Ok(new_key(store, "deed dev".to_owned(), owner, KeyScope::ALL.into()).await?.secret)
}
