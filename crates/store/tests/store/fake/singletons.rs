//! Leases and checkpoints in memory.
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use deed_store::{Behind, Checkpoints, Lease, LeaseError, Position, Unavailable};

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

    pub(super) fn begin_anew(&mut self, lease: &Lease) -> Result<(), LeaseError> {
        let at = self.state(&lease.name).checkpoint;
        self.advance(lease, at, Position(0))
    }
}

impl Memory {
    /// Somebody else takes a lease, whoever has it.
    pub fn usurp(&self, name: &str, until: DateTime<Utc>) {
        let mut rows = self.tables.rows();
        let state = rows.state(name);
        (state.holder, state.epoch) = (Some(("usurper".to_owned(), until)), state.epoch + 1);
    }

    pub fn place_checkpoint(&self, name: &str, at: u64) {
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

    async fn behind(&self, name: &str) -> Result<Behind, Unavailable> {
        let fault = self.fault(Call::Behind).await?;
        let mut rows = self.rows();
        let reached = usize::try_from(rows.state(name).checkpoint.0).unwrap();
        let left = rows.log.get(reached..).unwrap_or_default();
        let count = u64::try_from(left.len()).unwrap();
        answer(fault, Behind { count, since: left.first().map(|event| event.recorded_at) })
    }

    async fn advance(&self, lease: &Lease, from: Position, to: Position) -> Result<(), LeaseError> {
        let fault = self.fault(Call::Advance).await?;
        self.rows().advance(lease, from, to)?;
        Ok(answer(fault, ())?)
    }
}
