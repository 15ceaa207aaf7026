//! The rows of contested names, as arrays.
use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use deed_claims::{AppId, StreamId};
use deed_store::{Changes, ClaimRow, DueRow};

use super::scope;
use crate::columns::signed;

/// Rows of some of the streams of a batch.
#[derive(Default)]
pub(super) struct Names<'a> {
    /// Streams of which all claims and all due work are given.
    pub(super) touched: Vec<&'a str>,
    pub(super) ownerships: Ownerships<'a>,
    pub(super) claims: Claims<'a>,
    pub(super) due: Due<'a>,
}

#[derive(Default)]
pub(super) struct Ownerships<'a> {
    pub(super) streams: Vec<&'a str>,
    pub(super) versions: Vec<i64>,
    pub(super) bodies: Vec<String>,
}

#[derive(Default)]
pub(super) struct Claims<'a> {
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

/// In the order of their key: everybody who changes several locks them in it.
#[derive(Default)]
pub(super) struct Due<'a> {
    pub(super) streams: Vec<&'a str>,
    pub(super) claims: Vec<String>,
    pub(super) kinds: Vec<&'static str>,
    pub(super) attempts: Vec<i64>,
    pub(super) instants: Vec<DateTime<Utc>>,
}

impl<'a> Names<'a> {
    /// The rows of the streams that are asked for.
    pub(super) fn of(
        changes: &'a Changes,
        of: impl Fn(&StreamId) -> bool,
    ) -> Result<Self, serde_json::Error> {
        let (mut names, mut touched) = (Self::default(), BTreeSet::new());
        for row in changes.ownerships.iter().filter(|row| of(&row.stream)) {
            touched.insert(row.stream.as_str());
            names.ownerships.streams.push(row.stream.as_str());
            names.ownerships.versions.push(signed(row.version.0));
            names.ownerships.bodies.push(serde_json::to_string(&row.state)?);
        }
        for row in changes.claims.iter().filter(|row| of(&row.stream)) {
            touched.insert(row.stream.as_str());
            names.claims.push(row)?;
        }
        let due = changes.due.iter().filter(|(stream, _)| of(stream));
        let mut due: Vec<_> = due.map(|(stream, row)| (stream.as_str(), row)).collect();
        due.sort_by_key(|(stream, row)| (*stream, row.claim_id, row.kind.as_str(), row.attempt));
        for (stream, row) in due {
            touched.insert(stream);
            names.due.push(stream, row);
        }
        names.touched = touched.into_iter().collect();
        Ok(names)
    }
}

impl<'a> Claims<'a> {
    fn push(&mut self, row: &'a ClaimRow) -> Result<(), serde_json::Error> {
        let claim = &row.claim;
        self.ids.push(claim.id.to_string());
        self.streams.push(row.stream.as_str());
        self.versions.push(signed(row.version.0));
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

impl<'a> Due<'a> {
    fn push(&mut self, stream: &'a str, row: &DueRow) {
        self.streams.push(stream);
        self.claims.push(row.claim_id.to_string());
        self.kinds.push(row.kind.as_str());
        self.attempts.push(row.attempt.into());
        self.instants.push(row.due_at);
    }
}
