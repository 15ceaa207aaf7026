//! Holders and claimants, and the scope of a proof.
use serde::{Deserialize, Serialize};

use crate::{AppId, WorkspaceId};

/// The names that a proof covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Scope {
    /// The registrable domain and every name under it within the same registrable domain.
    Apex,
    /// Exactly one hostname.
    Host,
}

/// A holder or claimant of a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Holder {
    /// A workspace, which claims apex names.
    Workspace {
        /// The workspace.
        workspace_id: WorkspaceId,
    },
    /// An app, which claims hostnames for its workspace.
    App {
        /// The workspace the app belongs to.
        workspace_id: WorkspaceId,
        /// The app.
        app_id: AppId,
    },
}

impl Holder {
    /// The workspace of the holder.
    pub fn workspace(&self) -> &WorkspaceId {
        match self {
            Self::Workspace { workspace_id } | Self::App { workspace_id, .. } => workspace_id,
        }
    }

    /// The app, where the holder is one.
    pub fn app(&self) -> Option<&AppId> {
        match self {
            Self::Workspace { .. } => None,
            Self::App { app_id, .. } => Some(app_id),
        }
    }

    /// The scope in which this kind of holder claims.
    pub fn scope(&self) -> Scope {
        match self {
            Self::Workspace { .. } => Scope::Apex,
            Self::App { .. } => Scope::Host,
        }
    }
}
