//! What events say happened to claims: gathered while they are folded for the first time, counted once they are written.
//!
//! A rebuild folds what was counted before. It may be broken off, and then whoever follows the log live goes on from
//! where it was: hence a mark in the store that says how far the log had been when it began.
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use deed_claims::{Claim, ClaimState, Code, ContestResolution, Ended, Ownership, OwnershipEvent, Scope};
use deed_store::{Checkpoints, Clock, Lease, LeaseError, Position, Unavailable};

/// The checkpoint that marks how far the log was when it was last set out to be folded anew.
const REBUILT: &str = "read-models-rebuilt";

/// One thing that happened to a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Happened {
    Initiated(Scope),
    /// For the first time; how long after verification was first requested.
    Verified {
        scope: Scope,
        after: Option<TimeDelta>,
    },
    /// How, and what the last check said.
    Ended(Ended, Option<Code>),
    ContestOpened,
    ContestResolved(ContestResolution),
}

/// What happened in one batch.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// What was written up to here was counted before.
    after: Position,
    happened: Vec<Happened>,
}

impl Tally {
    /// Counts events behind a position.
    pub(crate) fn after(position: Position) -> Self {
        Self { after: position, happened: vec![] }
    }

    pub(crate) fn happened(&self) -> &[Happened] {
        &self.happened
    }

    /// The state after one more event, with what that meant for its claim.
    pub(crate) fn evolve(&mut self, state: Ownership, at: Position, event: &OwnershipEvent) -> Ownership {
        if at <= self.after {
            return state.evolve(event);
        }
        let id = event.claim_id();
        let before = state.claims.get(&id).filter(|claim| claim.is_open()).map(|claim| claim.verified_at);
        let state = state.evolve(event);
        if let (Some(claim), Some(scope)) = (state.claims.get(&id), state.scope) {
            match before {
                Some(verified_at) => self.goes_on(claim, scope, verified_at.is_none(), event),
                None if matches!(event, OwnershipEvent::ClaimInitiated(_)) => {
                    self.happened.push(Happened::Initiated(scope));
                }
                None => {}
            }
        }
        state
    }

    /// A claim that was open before the event.
    fn goes_on(&mut self, claim: &Claim, scope: Scope, was_unproven: bool, event: &OwnershipEvent) {
        match event {
            OwnershipEvent::ContestOpened(_) => self.happened.push(Happened::ContestOpened),
            OwnershipEvent::ContestResolved(e) => self.happened.push(Happened::ContestResolved(e.resolution)),
            _ => {}
        }
        if let (true, Some(verified_at)) = (was_unproven, claim.verified_at) {
            // Of the requests the newest hundred are known; the first is among them, unless somebody was very impatient.
            let after = claim.manual.first().map(|requested| verified_at - *requested);
            self.happened.push(Happened::Verified { scope, after });
        }
        if let ClaimState::Ended { how, .. } = claim.state {
            let last = claim.last_check.as_ref().and_then(|check| check.diagnosis.as_ref());
            self.happened.push(Happened::Ended(how, last.map(|diagnosis| diagnosis.code)));
        }
    }
}

/// From where on the log is counted, under the lease that is held.
pub(crate) struct Counting {
    checkpoints: Arc<dyn Checkpoints>,
    /// Read once for each epoch: a rebuild takes the lease, and so makes a new one.
    known: Option<(u64, Position)>,
}

impl Counting {
    pub(crate) fn new(checkpoints: Arc<dyn Checkpoints>) -> Self {
        Self { checkpoints, known: None }
    }

    /// An empty tally for a batch under this lease.
    pub(crate) async fn tally(&mut self, lease: &Lease) -> Result<Tally, Unavailable> {
        let mark = match self.known {
            Some((epoch, mark)) if epoch == lease.epoch => mark,
            _ => self.checkpoints.checkpoint(REBUILT).await?,
        };
        self.known = Some((lease.epoch, mark));
        Ok(Tally::after(mark))
    }
}

/// Marks that everything up to a position is folded anew. Only whoever holds the lease of the read models may.
pub(crate) async fn mark(
    checkpoints: &dyn Checkpoints,
    clock: &dyn Clock,
    (owner, ttl): (&str, Duration),
    to: Position,
) -> Result<(), LeaseError> {
    // Whoever marked before us and died meanwhile has lost the lease of the read models, and this one with it.
    let later = clock.now() + TimeDelta::from_std(ttl * 2).unwrap_or(TimeDelta::hours(1));
    let lease = checkpoints.acquire(REBUILT, owner, later, ttl).await?.ok_or(LeaseError::Lost)?;
    let from = checkpoints.checkpoint(REBUILT).await?;
    if from < to {
        checkpoints.advance(&lease, from, to).await?;
    }
    Ok(checkpoints.release(&lease).await?)
}

#[cfg(test)]
mod tests;
