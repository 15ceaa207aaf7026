//! Pauses between attempts: doubled up to a cap, and scattered, so that not every process comes back at once.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// How often in a row something failed.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Whether nothing has failed yet.
    pub fn is_first(&self) -> bool {
        self.failures == 0
    }

    /// How long to wait before the next attempt: between half of the pause and all of it.
    pub fn next(&mut self) -> Duration {
        let pause = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        // The standard library seeds its hash maps at random: random enough for this.
        let scatter = RandomState::new().hash_one(()) % 1_000;
        pause / 2 + (pause / 2).mul_f64(f64::from(u32::try_from(scatter).unwrap_or(0)) / 1_000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_cap_and_start_over() {
        let mut backoff = Backoff::default();
        let first = backoff.next();
        assert!((FIRST / 2..=FIRST).contains(&first), "{first:?}");
        let late = (0..100).map(|_| backoff.next()).last().unwrap();
        assert!((LONGEST / 2..=LONGEST).contains(&late), "{late:?}");
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
