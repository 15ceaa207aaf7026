//! The data of the store, and how they change.
use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use deed_claims::{ClaimId, DueKind, StreamId};

use crate::{
    ApiKey, AppRow, Changes, ClaimRow, DueRow, KeyHash, Lease, LeaseError, OwnershipRow, Position, Receipt,
    RecordedEvent, RequestKey, RequestRun, Version,
};

#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) log: LogTable,
    pub(super) requests: RequestTable,
    pub(super) keys: HashMap<KeyHash, ApiKey>,
    pub(super) leases: LeaseTable,
    pub(super) read_models: ReadModelTables,
    pub(super) due_work: DueTable,
}

#[derive(Debug, Default)]
pub(super) struct LogTable {
    events: Vec<RecordedEvent>,
    /// The indexes of the events of each stream.
    streams: BTreeMap<String, Vec<usize>>,
}

impl LogTable {
    pub(super) fn last_position(&self) -> Position {
        Position(self.events.len() as u64)
    }

    /// The events after a position.
    pub(super) fn after(&self, position: Position) -> &[RecordedEvent] {
        usize::try_from(position.0).ok().and_then(|skipped| self.events.get(skipped..)).unwrap_or_default()
    }

    pub(super) fn version(&self, stream: &str) -> Version {
        Version(self.streams.get(stream).map_or(0, |events| events.len() as u64))
    }

    pub(super) fn read_stream(&self, stream: &StreamId, after: Version, limit: usize) -> Vec<RecordedEvent> {
        let indexes = self.streams.get(stream.as_str()).into_iter().flatten();
        let skipped = usize::try_from(after.0).unwrap_or(usize::MAX);
        let events = indexes.skip(skipped).take(limit).filter_map(|index| self.events.get(*index));
        events.cloned().collect()
    }

    pub(super) fn push(&mut self, event: RecordedEvent) {
        self.streams.entry(event.stream.to_string()).or_default().push(self.events.len());
        self.events.push(event);
    }
}

#[derive(Debug, Default)]
pub(super) struct LeaseTable(pub(super) HashMap<String, LeaseState>);

#[derive(Debug, Default)]
pub(super) struct LeaseState {
    /// The owner, and when its lease ends.
    pub(super) owner: Option<(String, DateTime<Utc>)>,
    pub(super) epoch: u64,
    checkpoint: Position,
}

impl LeaseTable {
    pub(super) fn set_checkpoint(&mut self, name: &str, position: Position) {
        self.0.entry(name.to_owned()).or_default().checkpoint = position;
    }

    pub(super) fn checkpoint(&self, name: &str) -> Position {
        self.0.get(name).map_or(Position(0), |state| state.checkpoint)
    }

    /// The state of a lease that is still its owner's.
    pub(super) fn held(&mut self, lease: &Lease) -> Result<&mut LeaseState, LeaseError> {
        let state = self.0.get_mut(&lease.name).filter(|state| {
            let is_owner = state.owner.as_ref().is_some_and(|(owner, _)| *owner == lease.owner);
            is_owner && state.epoch == lease.epoch
        });
        state.ok_or(LeaseError::Lost)
    }

    pub(super) fn advance(&mut self, lease: &Lease, from: Position, to: Position) -> Result<(), LeaseError> {
        let state = self.held(lease)?;
        if state.checkpoint != from {
            return Err(LeaseError::Lost);
        }
        state.checkpoint = to;
        Ok(())
    }

    pub(super) fn rewind(&mut self, lease: &Lease) -> Result<(), LeaseError> {
        self.held(lease)?.checkpoint = Position(0);
        Ok(())
    }
}

#[derive(Debug, Default)]
pub(super) struct ReadModelTables {
    pub(super) ownerships: BTreeMap<StreamId, OwnershipRow>,
    pub(super) claims: BTreeMap<ClaimId, ClaimRow>,
    pub(super) apps: BTreeMap<StreamId, AppRow>,
}

impl ReadModelTables {
    pub(super) fn apply(&mut self, changes: Changes, streams: &BTreeSet<StreamId>) {
        self.claims.retain(|_, row| !streams.contains(&row.stream));
        self.claims.extend(changes.claims.into_iter().map(|row| (row.claim.id, row)));
        self.ownerships.extend(changes.ownerships.into_iter().map(|row| (row.stream.clone(), row)));
        self.apps.extend(changes.apps.into_iter().map(|row| (row.stream.clone(), row)));
    }
}

#[derive(Debug, Default)]
pub(super) struct DueTable(pub(super) BTreeMap<(StreamId, ClaimId, DueKind, u32), DueState>);

#[derive(Debug, Clone, Copy)]
pub(super) struct DueState {
    pub(super) due_at: DateTime<Utc>,
    pub(super) visible_at: DateTime<Utc>,
}

impl DueTable {
    /// Replaces the rows of some streams; a row with an unchanged due time keeps its visibility.
    pub(super) fn apply(&mut self, rows: Vec<(StreamId, DueRow)>, streams: &BTreeSet<StreamId>) {
        let mut before = std::mem::take(&mut self.0);
        for (stream, DueRow { claim_id, kind, attempt, due_at }) in rows {
            let key = (stream, claim_id, kind, attempt);
            let unchanged = before.remove(&key).filter(|state| state.due_at == due_at);
            self.0.insert(key, unchanged.unwrap_or(DueState { due_at, visible_at: due_at }));
        }
        self.0.extend(before.into_iter().filter(|((stream, ..), _)| !streams.contains(stream)));
    }
}

#[derive(Debug, Default)]
pub(super) struct RequestTable(pub(super) HashMap<RequestKey, RequestRun>);

impl RequestTable {
    /// A request that was begun and has no response.
    pub(super) fn unanswered(&mut self, request: &RequestKey) -> Option<&mut RequestRun> {
        self.0.get_mut(request).filter(|run| run.response.is_none())
    }

    pub(super) fn complete(&mut self, receipt: &Receipt) {
        if let Some(run) = self.unanswered(&receipt.request) {
            run.response = Some(receipt.response.clone());
        }
    }
}
