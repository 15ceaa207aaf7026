//! Checks that our own trouble kept from being made: not asked again before a pause that doubles each time.
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use deed_claims::ClaimId;

/// Checks remembered; with more of them failing, what is oldest is not waited for.
const REMEMBERED: usize = 10_000;
/// The longest pause.
const LONGEST: Duration = Duration::from_mins(30);

/// A check is one attempt: whoever asks for a check by hand asks for a new one, which is made at once.
type Key = (ClaimId, u32);

#[derive(Debug, Clone, Copy)]
struct Trouble {
    times: u32,
    until: DateTime<Utc>,
}

/// The checks that failed for our own reasons.
#[derive(Debug)]
pub(crate) struct Troubles {
    first: Duration,
    all: Mutex<HashMap<Key, Trouble>>,
}

impl Troubles {
    pub fn new(first: Duration) -> Self {
        Self { first, all: Mutex::default() }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Key, Trouble>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a check failed so recently that it is not tried again yet.
    pub fn are_fresh(&self, claim: ClaimId, attempt: u32, now: DateTime<Utc>) -> bool {
        self.all().get(&(claim, attempt)).is_some_and(|trouble| trouble.until > now)
    }

    /// A check failed for our own reasons.
    pub fn add(&self, claim: ClaimId, attempt: u32, now: DateTime<Utc>) {
        let mut all = self.all();
        let times = all.get(&(claim, attempt)).map_or(0, |trouble| trouble.times);
        let pause = self.first.saturating_mul(1 << times.min(16)).min(LONGEST);
        if all.len() >= REMEMBERED {
            all.retain(|_, trouble| trouble.until > now);
        }
        if all.len() < REMEMBERED {
            let until = now + TimeDelta::from_std(pause).unwrap_or(TimeDelta::zero());
            all.insert((claim, attempt), Trouble { times: times + 1, until });
        }
    }

    /// A check was made.
    pub fn forget(&self, claim: ClaimId, attempt: u32) {
        self.all().remove(&(claim, attempt));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(n: i64) -> TimeDelta {
        TimeDelta::minutes(n)
    }

    #[test]
    fn pauses_double_to_half_an_hour_and_are_of_one_attempt() {
        let (all, claim) = (Troubles::new(Duration::from_mins(1)), ClaimId::from_bytes([1; 16]));
        let mut now = DateTime::UNIX_EPOCH;
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            all.add(claim, 1, now);
            assert!(all.are_fresh(claim, 1, now + minutes(pause) - TimeDelta::seconds(1)), "{pause}");
            assert!(!all.are_fresh(claim, 1, now + minutes(pause)), "{pause}");
            assert!(!all.are_fresh(claim, 2, now));
            now += minutes(pause);
        }
        all.forget(claim, 1);
        all.add(claim, 1, now);
        assert!(!all.are_fresh(claim, 1, now + minutes(1)));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let all = Troubles::new(Duration::from_mins(1));
        let now = DateTime::UNIX_EPOCH;
        for n in 0..=u32::try_from(REMEMBERED).unwrap() {
            all.add(ClaimId::from_bytes([1; 16]), n, now);
        }
        assert_eq!(all.all().len(), REMEMBERED);
        all.add(ClaimId::from_bytes([2; 16]), 1, now + minutes(2));
        assert_eq!(all.all().len(), 1, "what was waited for is forgotten when there is no room");
    }
}
