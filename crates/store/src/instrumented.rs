//! Metrics and spans around the calls to a store, the same for every backend.
use async_trait::async_trait;
use deed_claims::{ClaimId, StreamId, WorkspaceId};
use tokio::sync::watch;

use crate::{
    AppPage, AppRow, Append, AppendError, Appended, Changes, ClaimPage, ClaimQuery, EventStore, Lease,
    LeaseError, MetricsSlot, OwnershipRow, Position, ReadModels, RecordedEvent, Snapshot, Unavailable,
    Version, spans,
};

/// A store whose appends are counted, and whose appends, reads of streams and changes of the read models have spans. The other
/// ports are not traced.
#[derive(Debug, Clone)]
pub struct Instrumented<S> {
    store: S,
    system: &'static str,
    metrics: MetricsSlot,
}

impl<S> Instrumented<S> {
    /// Wraps a store. `system` is the name of its database in traces (`db.system.name`).
    pub fn new(store: S, system: &'static str, metrics: MetricsSlot) -> Self {
        Self { store, system, metrics }
    }
}

#[async_trait]
impl<S: EventStore> EventStore for Instrumented<S> {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let timer = self.metrics.start_append(&append);
        timer.finish(spans::trace_append(self.system, self.store.append(append)).await)
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        after: Version,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, Unavailable> {
        spans::trace_read_stream(self.system, self.store.read_stream(stream, after, limit)).await
    }

    async fn snapshot(&self, stream: &StreamId) -> Result<Option<Snapshot>, Unavailable> {
        self.store.snapshot(stream).await
    }

    async fn read_claim(
        &self,
        stream: &StreamId,
        claim_id: ClaimId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, Unavailable> {
        spans::trace_read_stream(self.system, self.store.read_claim(stream, claim_id, after, limit)).await
    }

    async fn claim_position(
        &self,
        stream: &StreamId,
        claim_id: ClaimId,
    ) -> Result<Option<Position>, Unavailable> {
        self.store.claim_position(stream, claim_id).await
    }

    async fn read_log(&self, after: Position, limit: usize) -> Result<Vec<RecordedEvent>, Unavailable> {
        self.store.read_log(after, limit).await
    }

    async fn last_position(&self) -> Result<Position, Unavailable> {
        self.store.last_position().await
    }

    fn head(&self) -> watch::Receiver<Position> {
        self.store.head()
    }
}

#[async_trait]
impl<S: ReadModels> ReadModels for Instrumented<S> {
    async fn ownerships(&self, streams: &[StreamId]) -> Result<Vec<OwnershipRow>, Unavailable> {
        self.store.ownerships(streams).await
    }

    async fn apps(&self, streams: &[StreamId]) -> Result<Vec<AppRow>, Unavailable> {
        self.store.apps(streams).await
    }

    async fn apply(
        &self,
        lease: &Lease,
        from: Position,
        to: Position,
        changes: Changes,
    ) -> Result<(), LeaseError> {
        spans::trace_apply(self.system, self.store.apply(lease, from, to, changes)).await
    }

    async fn reset(&self, lease: &Lease) -> Result<(), LeaseError> {
        self.store.reset(lease).await
    }

    async fn claims(&self, query: &ClaimQuery) -> Result<ClaimPage, Unavailable> {
        self.store.claims(query).await
    }

    async fn open_claims(&self, workspace: &WorkspaceId) -> Result<u64, Unavailable> {
        self.store.open_claims(workspace).await
    }

    async fn apps_of(
        &self,
        workspace: &WorkspaceId,
        limit: usize,
        offset: usize,
    ) -> Result<AppPage, Unavailable> {
        self.store.apps_of(workspace, limit, offset).await
    }

    async fn digest(&self) -> Result<String, Unavailable> {
        self.store.digest().await
    }
}
