//! Backoff for checks that failed internally: each is retried after a pause that doubles with each failure.
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use deed_claims::ClaimId;

/// The most failed checks that are kept; while all of them are backing off, a further one is retried without a pause.
const CAPACITY: usize = 10_000;
/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_mins(30);

/// A check is one attempt at one claim: a check that a user requests is a new attempt and does not back off.
type CheckKey = (ClaimId, u32);

#[derive(Debug, Clone, Copy)]
struct FailedCheck {
    failures: u32,
    retry_at: DateTime<Utc>,
}

/// The checks that failed internally.
#[derive(Debug)]
pub(crate) struct FailureBackoff {
    first_pause: Duration,
    checks: Mutex<HashMap<CheckKey, FailedCheck>>,
}

impl FailureBackoff {
    pub fn new(first_pause: Duration) -> Self {
        Self { first_pause, checks: Mutex::default() }
    }

    fn checks(&self) -> MutexGuard<'_, HashMap<CheckKey, FailedCheck>> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a check failed so recently that it is not retried yet.
    pub fn is_backing_off(&self, claim: ClaimId, attempt: u32, now: DateTime<Utc>) -> bool {
        self.checks().get(&(claim, attempt)).is_some_and(|check| check.retry_at > now)
    }

    /// Records an internal failure of a check.
    pub fn record_failure(&self, claim: ClaimId, attempt: u32, now: DateTime<Utc>) {
        let mut checks = self.checks();
        let failures = checks.get(&(claim, attempt)).map_or(0, |check| check.failures);
        let pause = self.first_pause.saturating_mul(1 << failures.min(16)).min(MAX_PAUSE);
        if checks.len() >= CAPACITY {
            checks.retain(|_, check| check.retry_at > now);
        }
        if checks.len() < CAPACITY {
            let retry_at = now + TimeDelta::from_std(pause).unwrap_or(TimeDelta::zero());
            checks.insert((claim, attempt), FailedCheck { failures: failures + 1, retry_at });
        }
    }

    /// Forgets the failures of a check that succeeded.
    pub fn clear(&self, claim: ClaimId, attempt: u32) {
        self.checks().remove(&(claim, attempt));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(n: i64) -> TimeDelta {
        TimeDelta::minutes(n)
    }

    #[test]
    fn pause_doubles_up_to_half_an_hour_per_attempt() {
        let (backoff, claim) = (FailureBackoff::new(Duration::from_mins(1)), ClaimId::from_bytes([1; 16]));
        let mut now = DateTime::UNIX_EPOCH;
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            backoff.record_failure(claim, 1, now);
            let end = now + minutes(pause);
            assert!(backoff.is_backing_off(claim, 1, end - TimeDelta::seconds(1)), "{pause}");
            assert!(!backoff.is_backing_off(claim, 1, end), "{pause}");
            assert!(!backoff.is_backing_off(claim, 2, now));
            now = end;
        }
        backoff.clear(claim, 1);
        backoff.record_failure(claim, 1, now);
        assert!(!backoff.is_backing_off(claim, 1, now + minutes(1)));
    }

    #[test]
    fn keeps_a_bounded_number_of_checks() {
        let backoff = FailureBackoff::new(Duration::from_mins(1));
        let now = DateTime::UNIX_EPOCH;
        for n in 0..=u32::try_from(CAPACITY).unwrap() {
            backoff.record_failure(ClaimId::from_bytes([1; 16]), n, now);
        }
        assert_eq!(backoff.checks().len(), CAPACITY);
        backoff.record_failure(ClaimId::from_bytes([2; 16]), 1, now + minutes(2));
        assert_eq!(backoff.checks().len(), 1, "a full map drops the checks whose pause is over");
    }
}
