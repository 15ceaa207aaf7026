//! Leases and checkpoints.
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use super::store::MemoryStore;
use crate::{Checkpoints, Lag, Lease, LeaseError, Position, Unavailable};

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
