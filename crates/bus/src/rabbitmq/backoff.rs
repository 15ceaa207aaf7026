//! Exponential backoff with jitter, so that processes do not reconnect all at once.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// Counts consecutive failures.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Whether there has been no failure since the last success.
    pub fn is_first(&self) -> bool {
        self.failures == 0
    }

    /// The pause before the next attempt: between half and all of the doubled pause.
    pub fn next(&mut self) -> Duration {
        let pause = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        // The standard library seeds its hash maps at random, which is random enough for jitter.
        let jitter = RandomState::new().hash_one(()) % 1_000;
        pause / 2 + (pause / 2).mul_f64(f64::from(u32::try_from(jitter).unwrap_or(0)) / 1_000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_cap_and_reset() {
        let mut backoff = Backoff::default();
        let first = backoff.next();
        assert!((FIRST / 2..=FIRST).contains(&first), "{first:?}");
        let late = (0..100).map(|_| backoff.next()).last().unwrap();
        assert!((LONGEST / 2..=LONGEST).contains(&late), "{late:?}");
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
