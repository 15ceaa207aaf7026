//! Due work.
use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deed_claims::{ClaimId, DueKind, StreamId};

use super::MemoryStore;
use super::read_models::json;
use crate::rows::TableDigest;
use crate::{DueItem, DueRow, DueWork, Overdue, Unavailable};

#[derive(Debug, Default)]
pub(super) struct DueTable(BTreeMap<(StreamId, ClaimId, DueKind, u32), DueState>);

#[derive(Debug, Clone, Copy)]
struct DueState {
    due_at: DateTime<Utc>,
    visible_at: DateTime<Utc>,
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

    pub(super) fn digest(&self, digest: &mut TableDigest) -> Result<(), Unavailable> {
        for ((stream, claim_id, kind, attempt), state) in &self.0 {
            let due_at = state.due_at.timestamp_micros();
            digest.row(&json((stream, claim_id, kind.as_str(), attempt, due_at))?);
        }
        Ok(())
    }
}

#[async_trait]
impl DueWork for MemoryStore {
    async fn claim_due(
        &self,
        now: DateTime<Utc>,
        limit: usize,
        visible_again: DateTime<Utc>,
    ) -> Result<Vec<DueItem>, Unavailable> {
        let mut tables = self.shared.tables();
        let mut due: Vec<_> = tables.due_work.0.iter_mut().collect();
        due.retain(|(_, state)| state.visible_at <= now);
        due.sort_by_key(|(_, state)| (state.visible_at, state.due_at));
        let items = due.into_iter().take(limit).map(|((stream, claim_id, kind, attempt), state)| {
            state.visible_at = visible_again;
            let (claim_id, kind, attempt) = (*claim_id, *kind, *attempt);
            DueItem { stream: stream.clone(), claim_id, kind, attempt, due_at: state.due_at }
        });
        let mut items: Vec<_> = items.collect();
        items.sort_by_key(|item| (item.due_at, item.claim_id, item.kind));
        Ok(items)
    }

    async fn give_back(&self, items: &[DueItem]) -> Result<(), Unavailable> {
        let mut tables = self.shared.tables();
        for item in items {
            let key = (item.stream.clone(), item.claim_id, item.kind, item.attempt);
            if let Some(state) = tables.due_work.0.get_mut(&key).filter(|state| state.due_at == item.due_at) {
                state.visible_at = state.due_at;
            }
        }
        Ok(())
    }

    async fn next_due_at(&self) -> Result<Option<DateTime<Utc>>, Unavailable> {
        Ok(self.shared.tables().due_work.0.values().map(|state| state.visible_at).min())
    }

    async fn overdue(&self, now: DateTime<Utc>) -> Result<Overdue, Unavailable> {
        let tables = self.shared.tables();
        let due = tables.due_work.0.values().filter(|state| state.visible_at <= now);
        let due: Vec<_> = due.map(|state| state.due_at).collect();
        let waiting = tables.due_work.0.len() as u64;
        Ok(Overdue { waiting, overdue: due.len() as u64, oldest: due.into_iter().min() })
    }
}
