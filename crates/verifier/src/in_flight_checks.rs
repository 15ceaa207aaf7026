//! The checks that this process is making, so that it never makes the same check twice at once.
use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use deed_claims::ClaimId;

/// The set of checks that are being made, by claim and attempt.
#[derive(Debug, Default)]
pub(crate) struct InFlightChecks(Mutex<HashSet<(ClaimId, u32)>>);

/// Keeps one check in the set until it is dropped.
#[derive(Debug)]
pub(crate) struct InFlightGuard<'a> {
    checks: &'a InFlightChecks,
    key: (ClaimId, u32),
}

impl InFlightChecks {
    fn set(&self) -> MutexGuard<'_, HashSet<(ClaimId, u32)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a check to the set; `None` when it is in the set already.
    pub fn begin(&self, claim: ClaimId, attempt: u32) -> Option<InFlightGuard<'_>> {
        let key = (claim, attempt);
        let is_new = self.set().insert(key);
        // Made lazily: dropping an unused guard would remove the check of the other guard.
        is_new.then(|| InFlightGuard { checks: self, key })
    }
}

impl Drop for InFlightGuard<'_> {
    fn drop(&mut self) {
        self.checks.set().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_is_in_flight_once_at_a_time() {
        let (checks, claim) = (InFlightChecks::default(), ClaimId::from_bytes([1; 16]));
        let guard = checks.begin(claim, 1);
        assert!(guard.is_some() && checks.begin(claim, 1).is_none() && checks.begin(claim, 2).is_some());
        drop(guard);
        assert!(checks.begin(claim, 1).is_some());
    }
}
