//! Backoff for checks that failed internally: each is retried after a pause that doubles with each failure.
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use deed_claims::ClaimId;
use quick_cache::sync::Cache;

use crate::pauses::pauses;

/// Failed checks that are kept at most: the number of claims decides how many there are. A check whose message keeps
/// coming is evicted last.
const CAPACITY: usize = 10_000;
/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_mins(30);

/// A check is one attempt at one claim: a check that a user requests is a new attempt and does not back off.
type CheckKey = (ClaimId, u32);

#[derive(Debug, Clone, Copy)]
struct FailedCheck {
    failures: usize,
    retry_at: DateTime<Utc>,
}

/// The checks that failed internally.
#[derive(Debug)]
pub(crate) struct FailureBackoff {
    first_pause: Duration,
    checks: Cache<CheckKey, FailedCheck>,
}

impl FailureBackoff {
    pub fn new(first_pause: Duration) -> Self {
        Self { first_pause, checks: Cache::new(CAPACITY) }
    }

    /// Whether a check failed so recently that it is not retried yet.
    pub fn is_backing_off(&self, claim: ClaimId, attempt: u32, now: DateTime<Utc>) -> bool {
        self.checks.get(&(claim, attempt)).is_some_and(|check| check.retry_at > now)
    }

    /// Records an internal failure of a check, which is in flight once at a time.
    pub fn record_failure(&self, claim: ClaimId, attempt: u32, now: DateTime<Utc>) {
        let failures = self.checks.get(&(claim, attempt)).map_or(0, |check| check.failures);
        let pause = pauses(self.first_pause, MAX_PAUSE).nth(failures).unwrap_or(MAX_PAUSE);
        let retry_at = now + TimeDelta::from_std(pause).unwrap_or(TimeDelta::zero());
        self.checks.insert((claim, attempt), FailedCheck { failures: failures + 1, retry_at });
    }

    /// Forgets the failures of a check that succeeded.
    pub fn clear(&self, claim: ClaimId, attempt: u32) {
        self.checks.remove(&(claim, attempt));
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
        for pause in [1, 2, 4, 8, 15, 15, 15] {
            backoff.record_failure(claim, 1, now);
            let is_backing_off = |after| backoff.is_backing_off(claim, 1, now + after);
            assert!(is_backing_off(minutes(pause) - TimeDelta::seconds(1)), "{pause}");
            assert!(!is_backing_off(minutes(2 * pause)), "{pause}");
            assert!(!backoff.is_backing_off(claim, 2, now));
            now += minutes(2 * pause);
        }
        backoff.clear(claim, 1);
        backoff.record_failure(claim, 1, now);
        assert!(!backoff.is_backing_off(claim, 1, now + minutes(2)));
    }

    #[test]
    fn check_in_use_survives_flood_of_others() {
        let backoff = FailureBackoff::new(Duration::from_mins(1));
        let (claim, now) = (ClaimId::from_bytes([1; 16]), DateTime::UNIX_EPOCH);
        let others = ClaimId::from_bytes([2; 16]);
        // The cache is full of others before.
        (30_000..50_000).for_each(|n| backoff.record_failure(others, n, now));
        backoff.record_failure(claim, 0, now);
        for n in 1..=20_000 {
            backoff.record_failure(others, n, now);
            assert!(n % 200 != 0 || backoff.is_backing_off(claim, 0, now), "after {n} others");
        }
        assert!(backoff.checks.len() <= CAPACITY);
    }
}
