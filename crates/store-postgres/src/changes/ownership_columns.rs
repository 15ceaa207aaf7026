//! The rows of names (snapshots, claims, due work), as arrays.
use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use deed_claims::{AppId, StreamId};
use deed_store::rows::scope;
use deed_store::{Changes, ClaimRow, DueRow};

use crate::columns::to_i64;

/// Rows of some of the streams of a batch.
#[derive(Default)]
pub(super) struct OwnershipColumns<'a> {
    /// The streams; all their claims and due work are given.
    pub(super) stream_ids: Vec<&'a str>,
    pub(super) ownerships: SnapshotColumns<'a>,
    pub(super) claims: ClaimColumns<'a>,
    pub(super) due: DueColumns<'a>,
}

#[derive(Default)]
pub(super) struct SnapshotColumns<'a> {
    pub(super) streams: Vec<&'a str>,
    pub(super) versions: Vec<i64>,
    pub(super) bodies: Vec<String>,
}

#[derive(Default)]
pub(super) struct ClaimColumns<'a> {
    pub(super) ids: Vec<String>,
    pub(super) streams: Vec<&'a str>,
    pub(super) versions: Vec<i64>,
    pub(super) workspaces: Vec<&'a str>,
    pub(super) apps: Vec<Option<&'a str>>,
    pub(super) names: Vec<&'a str>,
    pub(super) scopes: Vec<&'static str>,
    pub(super) statuses: Vec<&'a str>,
    pub(super) initiated: Vec<DateTime<Utc>>,
    pub(super) open: Vec<bool>,
    pub(super) bodies: Vec<String>,
}

/// In the order of the key: every statement that changes several rows locks them in this order.
#[derive(Default)]
pub(super) struct DueColumns<'a> {
    pub(super) streams: Vec<&'a str>,
    pub(super) claims: Vec<String>,
    pub(super) kinds: Vec<&'static str>,
    pub(super) attempts: Vec<i64>,
    pub(super) instants: Vec<DateTime<Utc>>,
}

impl<'a> OwnershipColumns<'a> {
    /// The rows of the streams for which `includes` is true.
    pub(super) fn of(
        changes: &'a Changes,
        includes: impl Fn(&StreamId) -> bool,
    ) -> Result<Self, serde_json::Error> {
        let (mut columns, mut streams) = (Self::default(), BTreeSet::new());
        for row in changes.ownerships.iter().filter(|row| includes(&row.stream)) {
            streams.insert(row.stream.as_str());
            columns.ownerships.streams.push(row.stream.as_str());
            columns.ownerships.versions.push(to_i64(row.version.0));
            columns.ownerships.bodies.push(serde_json::to_string(&row.state)?);
        }
        for row in changes.claims.iter().filter(|row| includes(&row.stream)) {
            streams.insert(row.stream.as_str());
            columns.claims.push(row)?;
        }
        let due = changes.due.iter().filter(|(stream, _)| includes(stream));
        let mut due: Vec<_> = due.map(|(stream, row)| (stream.as_str(), row)).collect();
        due.sort_by_key(|(stream, row)| (*stream, row.claim_id, row.kind.as_str(), row.attempt));
        for (stream, row) in due {
            streams.insert(stream);
            columns.due.push(stream, row);
        }
        columns.stream_ids = streams.into_iter().collect();
        Ok(columns)
    }
}

impl<'a> ClaimColumns<'a> {
    fn push(&mut self, row: &'a ClaimRow) -> Result<(), serde_json::Error> {
        let claim = &row.claim;
        self.ids.push(claim.id.to_string());
        self.streams.push(row.stream.as_str());
        self.versions.push(to_i64(row.version.0));
        self.workspaces.push(claim.holder.workspace().as_str());
        self.apps.push(claim.holder.app().map(AppId::as_str));
        self.names.push(row.name.as_str());
        self.scopes.push(scope(row.scope));
        self.statuses.push(&row.status);
        self.initiated.push(claim.initiated_at);
        self.open.push(claim.is_open() && !claim.is_held());
        self.bodies.push(serde_json::to_string(claim)?);
        Ok(())
    }
}

impl<'a> DueColumns<'a> {
    fn push(&mut self, stream: &'a str, row: &DueRow) {
        self.streams.push(stream);
        self.claims.push(row.claim_id.to_string());
        self.kinds.push(row.kind.as_str());
        self.attempts.push(row.attempt.into());
        self.instants.push(row.due_at);
    }
}
