//! Which checks this process is making, so that none is made twice at once.
use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use deed_claims::ClaimId;

/// The checks in hand.
#[derive(Debug, Default)]
pub(crate) struct InHand(Mutex<HashSet<(ClaimId, u32)>>);

/// One check in hand, until it is dropped.
#[derive(Debug)]
pub(crate) struct Hold<'a> {
    all: &'a InHand,
    key: (ClaimId, u32),
}

impl InHand {
    fn all(&self) -> MutexGuard<'_, HashSet<(ClaimId, u32)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a check in hand; none when it is already.
    pub fn take(&self, claim: ClaimId, attempt: u32) -> Option<Hold<'_>> {
        let key = (claim, attempt);
        let is_new = self.all().insert(key);
        // Lazily: a hold that is made is a hold that is dropped, which would let go of the other one's check.
        is_new.then(|| Hold { all: self, key })
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.all.all().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_in_one_hand_at_a_time() {
        let (all, claim) = (InHand::default(), ClaimId::from_bytes([1; 16]));
        let hold = all.take(claim, 1);
        assert!(hold.is_some() && all.take(claim, 1).is_none() && all.take(claim, 2).is_some());
        drop(hold);
        assert!(all.take(claim, 1).is_some());
    }
}
