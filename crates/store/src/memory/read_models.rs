//! The read models.
use std::collections::BTreeSet;

use async_trait::async_trait;
use deed_claims::{StreamId, WorkspaceId};
use serde::Serialize;

use super::store::MemoryStore;
use crate::rows::{TableDigest, scope};
use crate::{
    AppPage, AppRow, Changes, ClaimPage, ClaimQuery, ClaimRow, Cursor, Lease, LeaseError, OwnershipRow,
    Position, ReadModels, Unavailable,
};

const DIGEST: &str = "digest the read models";

/// The streams of which all claims and due work are given.
fn replaced(changes: &Changes) -> BTreeSet<StreamId> {
    let streams = changes.ownerships.iter().map(|row| &row.stream);
    let streams = streams.chain(changes.claims.iter().map(|row| &row.stream));
    streams.chain(changes.due.iter().map(|(stream, _)| stream)).cloned().collect()
}

fn json(row: impl Serialize) -> Result<String, Unavailable> {
    serde_json::to_string(&row).map_err(|e| Unavailable::new(DIGEST, e))
}

#[async_trait]
impl ReadModels for MemoryStore {
    async fn ownerships(&self, streams: &[StreamId]) -> Result<Vec<OwnershipRow>, Unavailable> {
        let tables = self.shared.tables();
        Ok(streams.iter().filter_map(|stream| tables.read_models.ownerships.get(stream).cloned()).collect())
    }

    async fn apps(&self, streams: &[StreamId]) -> Result<Vec<AppRow>, Unavailable> {
        let tables = self.shared.tables();
        Ok(streams.iter().filter_map(|stream| tables.read_models.apps.get(stream).cloned()).collect())
    }

    async fn apply(
        &self,
        lease: &Lease,
        from: Position,
        to: Position,
        mut changes: Changes,
    ) -> Result<(), LeaseError> {
        let mut tables = self.shared.tables();
        tables.leases.advance(lease, from, to)?;
        let streams = replaced(&changes);
        tables.due_work.apply(std::mem::take(&mut changes.due), &streams);
        tables.read_models.apply(changes, &streams);
        Ok(())
    }

    async fn reset(&self, lease: &Lease) -> Result<(), LeaseError> {
        let mut tables = self.shared.tables();
        tables.leases.rewind(lease)?;
        (tables.read_models, tables.due_work) = Default::default();
        Ok(())
    }

    async fn claims(&self, query: &ClaimQuery) -> Result<ClaimPage, Unavailable> {
        let tables = self.shared.tables();
        let key = |row: &ClaimRow| (row.claim.initiated_at, row.claim.id);
        let after = query.after.as_ref().map(|cursor| (cursor.initiated_at, cursor.claim_id));
        let mut rows: Vec<_> = tables.read_models.claims.values().collect();
        rows.retain(|row| {
            *row.claim.holder.workspace() == query.workspace_id
                && row.claim.holder.app() == query.app_id.as_ref()
                && (query.statuses.is_empty() || query.statuses.contains(&row.status))
                && after.is_none_or(|after| key(row) < after)
        });
        rows.sort_by_key(|row| std::cmp::Reverse(key(row)));
        let more = rows.len() > query.limit;
        let rows: Vec<_> = rows.into_iter().take(query.limit).cloned().collect();
        let next = rows.last().filter(|_| more).map(key);
        Ok(ClaimPage { rows, next: next.map(|(initiated_at, claim_id)| Cursor { initiated_at, claim_id }) })
    }

    async fn open_claims(&self, workspace: &WorkspaceId) -> Result<u64, Unavailable> {
        let tables = self.shared.tables();
        let claims = tables.read_models.claims.values().map(|row| &row.claim);
        let open = claims
            .filter(|claim| claim.holder.workspace() == workspace && claim.is_open() && !claim.is_held());
        Ok(open.count() as u64)
    }

    async fn apps_of(
        &self,
        workspace: &WorkspaceId,
        limit: usize,
        offset: usize,
    ) -> Result<AppPage, Unavailable> {
        let tables = self.shared.tables();
        let mut rows: Vec<_> = tables.read_models.apps.values().collect();
        rows.retain(|row| row.app.workspace_id == *workspace && !row.app.deleted);
        rows.sort_by_key(|row| (row.app.created_at, row.app.app_id.clone()));
        let total = rows.len() as u64;
        Ok(AppPage { rows: rows.into_iter().skip(offset).take(limit).cloned().collect(), total })
    }

    async fn digest(&self) -> Result<String, Unavailable> {
        let (tables, mut digest) = (self.shared.tables(), TableDigest::default());
        digest.table("ownerships");
        for row in tables.read_models.ownerships.values() {
            digest.row(&json((&row.stream, row.version, json(&row.state)?))?);
        }
        digest.table("claims");
        for ClaimRow { stream, version, name, scope: reach, status, claim } in
            tables.read_models.claims.values()
        {
            let (workspace, app) = (claim.holder.workspace(), claim.holder.app());
            let open = u8::from(claim.is_open() && !claim.is_held());
            let initiated_at = claim.initiated_at.timestamp_micros();
            let (key, holder) = ((claim.id, stream, version), (workspace, app, name, scope(*reach), status));
            digest.row(&json((
                key.0,
                key.1,
                key.2,
                holder.0,
                holder.1,
                holder.2,
                holder.3,
                holder.4,
                initiated_at,
                open,
                json(claim)?,
            ))?);
        }
        digest.table("due_work");
        for ((stream, claim_id, kind, attempt), state) in &tables.due_work.0 {
            let due_at = state.due_at.timestamp_micros();
            digest.row(&json((stream, claim_id, kind.as_str(), attempt, due_at))?);
        }
        digest.table("apps");
        for AppRow { stream, version, app } in tables.read_models.apps.values() {
            let (created_at, deleted) = (app.created_at.timestamp_micros(), u8::from(app.deleted));
            digest.row(&json((
                stream,
                version,
                &app.app_id,
                &app.workspace_id,
                created_at,
                deleted,
                json(app)?,
            ))?);
        }
        Ok(digest.finish())
    }
}
