//! The port to the read models, which are folded from the log and can be rebuilt.
use std::collections::BTreeSet;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deed_claims::app::App;
use deed_claims::{
    AppId, Claim, ClaimId, DueKind, Ownership, Scope, StreamId, WorkspaceId, name::DomainName,
};

use crate::{Lease, LeaseError, Position, Snapshot, SnapshotState, Unavailable, Version};

/// The snapshot of one name: the stored fold of its stream.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnershipRow {
    /// Its stream.
    pub stream: StreamId,
    /// How many events are folded.
    pub version: Version,
    /// The state.
    pub state: Ownership,
}

/// A claim in lists.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimRow {
    /// The claim's stream.
    pub stream: StreamId,
    /// The version of the stream that the row reflects.
    pub version: Version,
    /// The claimed name.
    pub name: DomainName,
    /// How far its proof reaches.
    pub scope: Scope,
    /// The status to filter by, such as `verifying`.
    pub status: String,
    /// The claim itself.
    pub claim: Claim,
}

/// An app in lists.
#[derive(Debug, Clone, PartialEq)]
pub struct AppRow {
    /// Its stream.
    pub stream: StreamId,
    /// How many events are folded.
    pub version: Version,
    /// The app; a deleted one is kept.
    pub app: App,
}

/// Due work of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueRow {
    /// The claim.
    pub claim_id: ClaimId,
    /// The kind of work.
    pub kind: DueKind,
    /// For checks the attempt, otherwise 0.
    pub attempt: u32,
    /// When it falls due.
    pub due_at: DateTime<Utc>,
}

/// What one batch of events changes: for each of its streams all rows, old ones included.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    /// Snapshots.
    pub ownerships: Vec<OwnershipRow>,
    /// All claims of the streams; other claims of those streams are deleted.
    pub claims: Vec<ClaimRow>,
    /// All due work of the streams, each with its stream; other due work of those streams is deleted. A row with the same
    /// claim, kind, attempt and time keeps its visibility.
    pub due: Vec<(StreamId, DueRow)>,
    /// Apps.
    pub apps: Vec<AppRow>,
    /// The streams of names whose first event is in the batch: they have no rows yet, so there is nothing to replace.
    pub new_streams: BTreeSet<StreamId>,
}

/// Where the next page of a list begins. Backends accept any time between the years 1970 and 9999.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// When the last claim of the page was initiated.
    pub initiated_at: DateTime<Utc>,
    /// Its id.
    pub claim_id: ClaimId,
}

/// Which claims to list, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimQuery {
    /// The workspace of the claimants.
    pub workspace_id: WorkspaceId,
    /// The claims of one app; none for the workspace's own apex claims.
    pub app_id: Option<AppId>,
    /// Only claims with these statuses; all when empty.
    pub statuses: Vec<String>,
    /// Only claims after this one.
    pub after: Option<Cursor>,
    /// The size of a page.
    pub limit: usize,
}

/// A page of claims.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimPage {
    /// The claims.
    pub rows: Vec<ClaimRow>,
    /// Where the next page begins; none on the last page.
    pub next: Option<Cursor>,
}

/// A page of apps.
#[derive(Debug, Clone, PartialEq)]
pub struct AppPage {
    /// Apps that are not deleted, oldest first.
    pub rows: Vec<AppRow>,
    /// How many there are on all pages.
    pub total: u64,
}

/// The name of the lease and checkpoint of the read models.
pub const READ_MODELS: &str = "read-models";
/// The checkpoint whose position is the [`FOLD_VERSION`](deed_claims::FOLD_VERSION) by which the read models are folded; 0 for
/// versions that kept none.
pub const READ_MODELS_FOLD: &str = "read-models-fold";

/// The read models.
#[async_trait]
pub trait ReadModels: Send + Sync {
    /// The snapshots of these streams, as far as they exist.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn ownerships(&self, streams: &[StreamId]) -> Result<Vec<OwnershipRow>, Unavailable>;

    /// The apps of these streams, as far as they exist.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn apps(&self, streams: &[StreamId]) -> Result<Vec<AppRow>, Unavailable>;

    /// Applies the changes of a batch and moves the checkpoint of the lease's subscription, in one transaction.
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

    /// How many claims of a workspace and its apps are open and not held.
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

    /// A digest of all read models except the visibility of due work: equal for equal contents.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn digest(&self) -> Result<String, Unavailable>;
}

impl From<OwnershipRow> for Snapshot {
    fn from(row: OwnershipRow) -> Self {
        Self { version: row.version, state: SnapshotState::Ownership(Box::new(row.state)) }
    }
}

impl From<AppRow> for Snapshot {
    fn from(row: AppRow) -> Self {
        Self { version: row.version, state: SnapshotState::App(Box::new(row.app)) }
    }
}
