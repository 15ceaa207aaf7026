//! Due work.
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::store::MemoryStore;
use crate::{DueItem, DueWork, Overdue, Unavailable};

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
