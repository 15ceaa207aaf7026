//! Leases and checkpoints.
use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use super::MemoryStore;
use crate::{Checkpoints, Lag, Lease, LeaseError, Position, Unavailable};

#[derive(Debug, Default)]
pub(super) struct LeaseTable(HashMap<String, LeaseState>);

#[derive(Debug, Default)]
struct LeaseState {
    /// The owner, and when its lease ends.
    owner: Option<(String, DateTime<Utc>)>,
    epoch: u64,
    checkpoint: Position,
}

impl LeaseTable {
    pub(super) fn set_checkpoint(&mut self, name: &str, position: Position) {
        self.0.entry(name.to_owned()).or_default().checkpoint = position;
    }

    fn checkpoint(&self, name: &str) -> Position {
        self.0.get(name).map_or(Position(0), |state| state.checkpoint)
    }

    /// The state of a lease that is still its owner's.
    fn held(&mut self, lease: &Lease) -> Result<&mut LeaseState, LeaseError> {
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

fn expiry(now: DateTime<Utc>, ttl: Duration) -> DateTime<Utc> {
    let end = TimeDelta::from_std(ttl).ok().and_then(|ttl| now.checked_add_signed(ttl));
    end.unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[async_trait]
impl Checkpoints for MemoryStore {
    async fn acquire(
        &self,
        name: &str,
        owner: &str,
        now: DateTime<Utc>,
        ttl: Duration,
    ) -> Result<Option<Lease>, Unavailable> {
        let mut tables = self.shared.tables();
        let state = tables.leases.0.entry(name.to_owned()).or_default();
        let running = state.owner.as_ref().filter(|(_, until)| *until > now);
        match running {
            Some((holder, _)) if holder != owner => return Ok(None),
            Some(_) => {}
            None => state.epoch += 1,
        }
        state.owner = Some((owner.to_owned(), expiry(now, ttl)));
        Ok(Some(Lease { name: name.to_owned(), owner: owner.to_owned(), epoch: state.epoch }))
    }

    async fn renew(&self, lease: &Lease, now: DateTime<Utc>, ttl: Duration) -> Result<(), LeaseError> {
        let mut tables = self.shared.tables();
        tables.leases.held(lease)?.owner = Some((lease.owner.clone(), expiry(now, ttl)));
        Ok(())
    }

    async fn release(&self, lease: &Lease) -> Result<(), Unavailable> {
        if let Ok(state) = self.shared.tables().leases.held(lease) {
            state.owner = None;
        }
        Ok(())
    }

    async fn checkpoint(&self, name: &str) -> Result<Position, Unavailable> {
        Ok(self.shared.tables().leases.checkpoint(name))
    }

    async fn lag(&self, name: &str) -> Result<Lag, Unavailable> {
        let tables = self.shared.tables();
        let left = tables.log.after(tables.leases.checkpoint(name));
        Ok(Lag { count: left.len() as u64, since: left.first().map(|event| event.recorded_at) })
    }

    async fn advance(&self, lease: &Lease, from: Position, to: Position) -> Result<(), LeaseError> {
        self.shared.tables().leases.advance(lease, from, to)
    }
}
