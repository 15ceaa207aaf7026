//! The port to the read models: folded from the log, rebuilt at will.
use std::collections::BTreeSet;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deed_claims::app::App;
use deed_claims::{
    AppId, Claim, ClaimId, DueKind, Ownership, Scope, StreamId, WorkspaceId, name::DomainName,
};

use crate::{Lease, LeaseError, Position, Unavailable, Version};

/// The folded state of one contested name.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnershipRow {
    /// Its stream.
    pub stream: StreamId,
    /// How many events are folded.
    pub version: Version,
    /// The state.
    pub state: Ownership,
}

/// One claim in lists.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimRow {
    /// The claim's stream.
    pub stream: StreamId,
    /// The version of the stream that is shown.
    pub version: Version,
    /// The name that is claimed.
    pub name: DomainName,
    /// How far a proof reaches.
    pub scope: Scope,
    /// A stable word for filtering, such as `verifying`.
    pub status: String,
    /// The claim itself.
    pub claim: Claim,
}

/// One app in lists.
#[derive(Debug, Clone, PartialEq)]
pub struct AppRow {
    /// Its stream.
    pub stream: StreamId,
    /// How many events are folded.
    pub version: Version,
    /// The app; deleted ones are kept as such.
    pub app: App,
}

/// Work a claim needs at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueRow {
    /// The claim.
    pub claim_id: ClaimId,
    /// What.
    pub kind: DueKind,
    /// For checks the attempt, otherwise 0.
    pub attempt: u32,
    /// When.
    pub due_at: DateTime<Utc>,
}

/// What one batch of events changes: for each touched stream the whole new truth.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    /// Folded states.
    pub ownerships: Vec<OwnershipRow>,
    /// All claims of the touched streams; other claims of those streams are gone.
    pub claims: Vec<ClaimRow>,
    /// All due work of the touched streams, with the stream; other due work of those streams is gone.
    /// A row with the same claim, kind, attempt and time keeps its visibility.
    pub due: Vec<(StreamId, DueRow)>,
    /// Apps.
    pub apps: Vec<AppRow>,
    /// Those of the streams of contested names whose first event is in the batch: nothing of them was shown before, so
    /// there is nothing to look for and to replace.
    pub fresh: BTreeSet<StreamId>,
}

/// Where a page of a list goes on. Backends take any time between the years 1970 and 9999.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// When the last claim of the page was made.
    pub initiated_at: DateTime<Utc>,
    /// Its id.
    pub claim_id: ClaimId,
}

/// Which claims to list, the newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimQuery {
    /// Whose.
    pub workspace_id: WorkspaceId,
    /// Of one app; none means the workspace's own apex claims.
    pub app_id: Option<AppId>,
    /// Only these stable words; empty means all.
    pub statuses: Vec<String>,
    /// After this one.
    pub after: Option<Cursor>,
    /// At most so many.
    pub limit: usize,
}

/// A page of claims.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimPage {
    /// The claims.
    pub rows: Vec<ClaimRow>,
    /// Where the next page begins; none on the last.
    pub next: Option<Cursor>,
}

/// A page of apps.
#[derive(Debug, Clone, PartialEq)]
pub struct AppPage {
    /// Apps that are not deleted, the oldest first.
    pub rows: Vec<AppRow>,
    /// How many there are in all.
    pub total: u64,
}

/// The read models.
#[async_trait]
pub trait ReadModels: Send + Sync {
    /// The folded states of these streams, where there are any.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn ownerships(&self, streams: &[StreamId]) -> Result<Vec<OwnershipRow>, Unavailable>;

    /// The apps of these streams, where there are any.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn apps(&self, streams: &[StreamId]) -> Result<Vec<AppRow>, Unavailable>;

    /// Applies what a batch changes and moves the checkpoint of the lease's subscription, in one transaction.
    ///
    /// # Errors
    /// When the lease is lost, the checkpoint is not at `from`, or the store does not answer.
    async fn apply(
        &self,
        lease: &Lease,
        from: Position,
        to: Position,
        changes: Changes,
    ) -> Result<(), LeaseError>;

    /// Empties every read model and sets the checkpoint of the lease's subscription to 0, in one transaction.
    ///
    /// # Errors
    /// When the lease is lost or the store does not answer.
    async fn reset(&self, lease: &Lease) -> Result<(), LeaseError>;

    /// A page of claims.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn claims(&self, query: &ClaimQuery) -> Result<ClaimPage, Unavailable>;

    /// How many claims of a workspace, its apps' included, are open and not held.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn open_claims(&self, workspace: &WorkspaceId) -> Result<u64, Unavailable>;

    /// A page of a workspace's apps.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn apps_of(
        &self,
        workspace: &WorkspaceId,
        limit: usize,
        offset: usize,
    ) -> Result<AppPage, Unavailable>;

    /// A digest of every read model, visibility of due work left out: equal for equal contents.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn digest(&self) -> Result<String, Unavailable>;
}
