//! Counts the lifecycle events of claims: collected while events are folded for the first time, and added to the
//! metrics after the fold is written.
//!
//! A rebuild folds events that were counted before. It may be interrupted, and then the next projector follows the log
//! from where the rebuild stopped. Therefore a rebuild stores the position at which the log ended when it began, and
//! events up to this position are not counted again.
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use deed_claims::{Claim, ClaimState, Clock, ContestResolution, Ended, Ownership, OwnershipEvent, Scope};
use deed_diagnosis::Code;
use deed_store::{Checkpoints, Lease, LeaseError, Position, Unavailable};

use crate::fold_version::set_mark;

/// The checkpoint that stores where the log ended when the last rebuild began.
const COUNTED_UNTIL: &str = "read-models-rebuilt";

/// One change in the lifecycle of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LifecycleEvent {
    /// A claim was made.
    Initiated(Scope),
    /// A claim was proven for the first time.
    Verified {
        scope: Scope,
        /// The time since verification was first requested.
        after: Option<TimeDelta>,
    },
    /// A claim ended, with the code of its last check.
    Ended(Ended, Option<Code>),
    /// A contest began.
    ContestOpened,
    /// A contest was decided.
    ContestResolved(ContestResolution),
}

/// Collects the lifecycle events of one batch.
#[derive(Debug, Default)]
pub(crate) struct LifecycleCounter {
    /// Events up to this position were counted before.
    from: Position,
    events: Vec<LifecycleEvent>,
}

impl LifecycleCounter {
    /// A counter of the events after a position.
    pub(crate) fn from(position: Position) -> Self {
        Self { from: position, events: vec![] }
    }

    pub(crate) fn events(&self) -> &[LifecycleEvent] {
        &self.events
    }

    /// Folds one more event into the state and collects what it means for its claim.
    pub(crate) fn evolve(&mut self, state: Ownership, at: Position, event: &OwnershipEvent) -> Ownership {
        if at <= self.from {
            return state.evolve(event);
        }
        let id = event.claim_id();
        let before = state.claims.get(&id).filter(|claim| claim.is_open()).map(|claim| claim.verified_at);
        let state = state.evolve(event);
        if let (Some(claim), Some(scope)) = (state.claims.get(&id), state.scope) {
            match before {
                Some(verified_at) => self.collect_transition(claim, scope, verified_at.is_none(), event),
                None if matches!(event, OwnershipEvent::ClaimInitiated(_)) => {
                    self.events.push(LifecycleEvent::Initiated(scope));
                }
                None => {}
            }
        }
        state
    }

    /// Collects what an event changed for a claim that was open before.
    fn collect_transition(
        &mut self,
        claim: &Claim,
        scope: Scope,
        was_unproven: bool,
        event: &OwnershipEvent,
    ) {
        match event {
            OwnershipEvent::ContestOpened(_) => self.events.push(LifecycleEvent::ContestOpened),
            OwnershipEvent::ContestResolved(e) => {
                self.events.push(LifecycleEvent::ContestResolved(e.resolution));
            }
            _ => {}
        }
        if let (true, Some(verified_at)) = (was_unproven, claim.verified_at) {
            // A claim keeps its newest hundred requests, so its first one is missing only after more than that.
            let after = claim.manual.first().map(|requested| verified_at - *requested);
            self.events.push(LifecycleEvent::Verified { scope, after });
        }
        if let ClaimState::Ended { how, .. } = claim.state {
            let last = claim.last_check.as_ref().and_then(|check| check.diagnosis.as_ref());
            self.events.push(LifecycleEvent::Ended(how, last.map(|diagnosis| diagnosis.code)));
        }
    }
}

/// The position from which events are counted, read once under each lease.
pub(crate) struct CountFrom {
    checkpoints: Arc<dyn Checkpoints>,
    /// The epoch and its position. A rebuild takes the lease and so begins a new epoch.
    cached: Option<(u64, Position)>,
}

impl CountFrom {
    pub(crate) fn new(checkpoints: Arc<dyn Checkpoints>) -> Self {
        Self { checkpoints, cached: None }
    }

    /// An empty counter for a batch under this lease.
    pub(crate) async fn counter(&mut self, lease: &Lease) -> Result<LifecycleCounter, Unavailable> {
        let from = match self.cached {
            Some((epoch, from)) if epoch == lease.epoch => from,
            _ => self.checkpoints.checkpoint(COUNTED_UNTIL).await?,
        };
        self.cached = Some((lease.epoch, from));
        Ok(LifecycleCounter::from(from))
    }
}

/// Stores that events up to a position are not to be counted again. The caller has to hold the lease of the read
/// models.
pub(crate) async fn store_counted_until(
    checkpoints: &dyn Checkpoints,
    clock: &dyn Clock,
    owner: (&str, Duration),
    to: Position,
) -> Result<(), LeaseError> {
    set_mark(checkpoints, clock, owner, COUNTED_UNTIL, |from| from.max(to)).await
}

#[cfg(test)]
mod tests;
