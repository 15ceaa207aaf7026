//! Read models and due work in memory.
use std::collections::BTreeSet;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deed_claims::{StreamId, WorkspaceId};
use deed_store::{
    AppPage, AppRow, Changes, ClaimPage, ClaimQuery, Cursor, DueItem, DueWork, Lease, LeaseError, Overdue,
    OwnershipRow, Position, ReadModels, Unavailable,
};

use super::{DueState, ReadModelRows, Tables};

impl ReadModelRows {
    fn apply(&mut self, changes: Changes) {
        let touched: BTreeSet<_> = changes.ownerships.iter().map(|row| row.stream.clone()).collect();
        self.claims.retain(|_, row| !touched.contains(&row.stream));
        let mut due = self.due.clone();
        due.retain(|_, row| !touched.contains(&row.stream));
        for (stream, row) in changes.due {
            let key = (row.claim_id, row.kind, row.attempt);
            let known = self.due.get(&key).filter(|known| known.due_at == row.due_at);
            let visible_at = known.map_or(row.due_at, |known| known.visible_at);
            due.insert(key, DueState { stream, due_at: row.due_at, visible_at });
        }
        self.due = due;
        self.claims.extend(changes.claims.into_iter().map(|row| (row.claim.id, row)));
        self.ownerships.extend(changes.ownerships.into_iter().map(|row| (row.stream.clone(), row)));
        self.apps.extend(changes.apps.into_iter().map(|row| (row.stream.clone(), row)));
    }
}

#[async_trait]
impl ReadModels for Tables {
    async fn ownerships(&self, streams: &[StreamId]) -> Result<Vec<OwnershipRow>, Unavailable> {
        let rows = self.rows();
        Ok(streams.iter().filter_map(|stream| rows.read_models.ownerships.get(stream).cloned()).collect())
    }

    async fn apps(&self, streams: &[StreamId]) -> Result<Vec<AppRow>, Unavailable> {
        let rows = self.rows();
        Ok(streams.iter().filter_map(|stream| rows.read_models.apps.get(stream).cloned()).collect())
    }

    async fn apply(
        &self,
        lease: &Lease,
        from: Position,
        to: Position,
        changes: Changes,
    ) -> Result<(), LeaseError> {
        let mut rows = self.rows();
        rows.advance(lease, from, to)?;
        rows.read_models.apply(changes);
        Ok(())
    }

    async fn reset(&self, lease: &Lease) -> Result<(), LeaseError> {
        let mut rows = self.rows();
        rows.rewind(lease)?;
        rows.read_models = ReadModelRows::default();
        Ok(())
    }

    async fn claims(&self, query: &ClaimQuery) -> Result<ClaimPage, Unavailable> {
        let rows = self.rows();
        let cursor = |row: &deed_store::ClaimRow| (row.claim.initiated_at, row.claim.id);
        let mut all: Vec<_> = rows.read_models.claims.values().cloned().collect();
        all.retain(|row| {
            row.claim.holder.workspace() == &query.workspace_id
                && row.claim.holder.app() == query.app_id.as_ref()
                && (query.statuses.is_empty() || query.statuses.contains(&row.status))
                && query.after.as_ref().is_none_or(|after| cursor(row) < (after.initiated_at, after.claim_id))
        });
        all.sort_by_key(|row| std::cmp::Reverse(cursor(row)));
        let more = all.len() > query.limit;
        all.truncate(query.limit);
        let next = all.last().filter(|_| more);
        let next = next.map(|row| Cursor { initiated_at: row.claim.initiated_at, claim_id: row.claim.id });
        Ok(ClaimPage { rows: all, next })
    }

    async fn open_claims(&self, workspace: &WorkspaceId) -> Result<u64, Unavailable> {
        let rows = self.rows();
        let claims = rows.read_models.claims.values().map(|row| &row.claim);
        let open = claims
            .filter(|claim| claim.holder.workspace() == workspace && claim.is_open() && !claim.is_held());
        Ok(u64::try_from(open.count()).unwrap())
    }

    async fn apps_of(
        &self,
        workspace: &WorkspaceId,
        limit: usize,
        offset: usize,
    ) -> Result<AppPage, Unavailable> {
        let rows = self.rows();
        let mut all: Vec<_> = rows.read_models.apps.values().cloned().collect();
        all.retain(|row| row.app.workspace_id == *workspace && !row.app.deleted);
        all.sort_by_key(|row| row.app.created_at);
        let total = u64::try_from(all.len()).unwrap();
        Ok(AppPage { rows: all.into_iter().skip(offset).take(limit).collect(), total })
    }

    async fn digest(&self) -> Result<String, Unavailable> {
        let rows = self.rows();
        let models = &rows.read_models;
        let due: Vec<_> = models.due.iter().map(|(key, row)| (key, &row.stream, row.due_at)).collect();
        Ok(format!("{:?}{:?}{:?}{due:?}", models.ownerships, models.claims, models.apps))
    }
}

#[async_trait]
impl DueWork for Tables {
    async fn claim_due(
        &self,
        now: DateTime<Utc>,
        limit: usize,
        visible_again: DateTime<Utc>,
    ) -> Result<Vec<DueItem>, Unavailable> {
        let mut rows = self.rows();
        let mut due: Vec<_> = rows.read_models.due.iter_mut().collect();
        due.retain(|(_, row)| row.due_at <= now && row.visible_at <= now);
        due.sort_by_key(|(_, row)| row.due_at);
        let handed = due.into_iter().take(limit).map(|(&(claim_id, kind, attempt), row)| {
            row.visible_at = visible_again;
            DueItem { stream: row.stream.clone(), claim_id, kind, attempt, due_at: row.due_at }
        });
        Ok(handed.collect())
    }

    async fn give_back(&self, items: &[DueItem]) -> Result<(), Unavailable> {
        let mut rows = self.rows();
        for item in items {
            if let Some(row) = rows.read_models.due.get_mut(&(item.claim_id, item.kind, item.attempt)) {
                row.visible_at = row.due_at;
            }
        }
        Ok(())
    }

    async fn next_due_at(&self) -> Result<Option<DateTime<Utc>>, Unavailable> {
        Ok(self.rows().read_models.due.values().map(|row| row.due_at.max(row.visible_at)).min())
    }

    async fn overdue(&self, now: DateTime<Utc>) -> Result<Overdue, Unavailable> {
        let rows = self.rows();
        let due = rows.read_models.due.values().filter(|row| row.due_at <= now && row.visible_at <= now);
        let due: Vec<_> = due.map(|row| row.due_at).collect();
        let waiting = u64::try_from(rows.read_models.due.len()).unwrap();
        let oldest = due.iter().min().copied();
        Ok(Overdue { waiting, overdue: u64::try_from(due.len()).unwrap(), oldest })
    }
}
