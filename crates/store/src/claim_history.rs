//! Which events of a name's stream belong to the history of one claim.
use std::collections::BTreeSet;

use deed_claims::{ClaimId, Event, OwnershipEvent};

use crate::RecordedEvent;

/// Picks the events of one claim from its stream, in order. A claim's history has its own events, and of claims that
/// contest it when that begins, what is answered and when it ends.
#[derive(Debug, Clone)]
pub struct ClaimHistory {
    claim_id: ClaimId,
    challengers: BTreeSet<ClaimId>,
}

impl ClaimHistory {
    /// The history of a claim; to be fed with its stream from the beginning.
    pub fn of(claim_id: ClaimId) -> Self {
        Self { claim_id, challengers: BTreeSet::new() }
    }

    /// Whether the next event of the stream belongs to it.
    pub fn includes(&mut self, event: &OwnershipEvent) -> bool {
        match event {
            _ if event.claim_id() == self.claim_id => true,
            OwnershipEvent::ContestOpened(opened) if opened.holder_claim_id == self.claim_id => {
                self.challengers.insert(opened.claim_id)
            }
            OwnershipEvent::ContestAnswered(answered) => answered.holder_claim_id == self.claim_id,
            OwnershipEvent::ContestResolved(resolved) => self.challengers.remove(&resolved.claim_id),
            _ => false,
        }
    }

    /// The events of these that belong to it.
    pub fn filter<'a>(
        mut self,
        events: impl IntoIterator<Item = &'a RecordedEvent> + 'a,
    ) -> impl Iterator<Item = &'a RecordedEvent> + 'a {
        events.into_iter().filter(move |recorded| match &recorded.event {
            Event::Ownership(event) => self.includes(event),
            Event::App(_) => false,
        })
    }
}
