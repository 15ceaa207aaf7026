//! Leases and checkpoints in memory.
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use deed_store::{Checkpoints, Lag, Lease, LeaseError, Position, Unavailable};

use super::faults::{Call, answer};
use super::{LeaseState, Memory, Rows, Tables};

impl Rows {
    fn state(&mut self, name: &str) -> &mut LeaseState {
        self.leases.entry(name.to_owned()).or_default()
    }

    pub(super) fn advance(&mut self, lease: &Lease, from: Position, to: Position) -> Result<(), LeaseError> {
        let state = self.state(&lease.name);
        if state.epoch != lease.epoch || state.checkpoint != from {
            return Err(LeaseError::Lost);
        }
        state.checkpoint = to;
        Ok(())
    }

    pub(super) fn rewind(&mut self, lease: &Lease) -> Result<(), LeaseError> {
        let at = self.state(&lease.name).checkpoint;
        self.advance(lease, at, Position(0))
    }
}

impl Memory {
    /// Another owner takes a lease over.
    pub fn take_over(&self, name: &str, until: DateTime<Utc>) {
        let mut rows = self.tables.rows();
        let state = rows.state(name);
        (state.holder, state.epoch) = (Some(("rival".to_owned(), until)), state.epoch + 1);
    }

    pub fn set_checkpoint(&self, name: &str, at: u64) {
        self.tables.rows().state(name).checkpoint = Position(at);
    }
}

#[async_trait]
impl Checkpoints for Tables {
    async fn acquire(
        &self,
        name: &str,
        owner: &str,
        now: DateTime<Utc>,
        ttl: Duration,
    ) -> Result<Option<Lease>, Unavailable> {
        self.fault(Call::Acquire).await?;
        let mut rows = self.rows();
        let state = rows.state(name);
        let mine = state.holder.as_ref().is_some_and(|(holder, _)| holder == owner);
        if state.holder.as_ref().is_some_and(|(_, until)| *until > now) && !mine {
            return Ok(None);
        }
        state.epoch += u64::from(!mine);
        state.holder = Some((owner.to_owned(), now + TimeDelta::from_std(ttl).unwrap()));
        Ok(Some(Lease { name: name.to_owned(), owner: owner.to_owned(), epoch: state.epoch }))
    }

    async fn renew(&self, lease: &Lease, now: DateTime<Utc>, ttl: Duration) -> Result<(), LeaseError> {
        self.fault(Call::Renew).await?;
        let mut rows = self.rows();
        let state = rows.state(&lease.name);
        if state.epoch != lease.epoch || state.holder.is_none() {
            return Err(LeaseError::Lost);
        }
        state.holder = Some((lease.owner.clone(), now + TimeDelta::from_std(ttl).unwrap()));
        Ok(())
    }

    async fn release(&self, lease: &Lease) -> Result<(), Unavailable> {
        let mut rows = self.rows();
        let state = rows.state(&lease.name);
        if state.epoch == lease.epoch {
            state.holder = None;
        }
        Ok(())
    }

    async fn checkpoint(&self, name: &str) -> Result<Position, Unavailable> {
        Ok(self.rows().state(name).checkpoint)
    }

    async fn lag(&self, name: &str) -> Result<Lag, Unavailable> {
        let fault = self.fault(Call::Lag).await?;
        let mut rows = self.rows();
        let reached = usize::try_from(rows.state(name).checkpoint.0).unwrap();
        let left = rows.log.get(reached..).unwrap_or_default();
        let count = u64::try_from(left.len()).unwrap();
        answer(fault, Lag { count, since: left.first().map(|event| event.recorded_at) })
    }

    async fn advance(&self, lease: &Lease, from: Position, to: Position) -> Result<(), LeaseError> {
        let fault = self.fault(Call::Advance).await?;
        self.rows().advance(lease, from, to)?;
        Ok(answer(fault, ())?)
    }
}
