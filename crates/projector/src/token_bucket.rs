//! The rate limit of the dispatcher: after an outage the whole backlog is due, and must not reach name servers at once.
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

/// A token bucket whose capacity is the rate of one second.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    rate: f64,
    level: Mutex<Level>,
}

/// The tokens that were left at one time.
#[derive(Debug)]
struct Level {
    tokens: f64,
    /// When the tokens were last refilled; `None` before the first call.
    refilled_at: Option<DateTime<Utc>>,
}

impl TokenBucket {
    /// A full bucket that refills by `rate` tokens a second.
    pub fn new(rate: u32) -> Self {
        let rate = f64::from(rate.max(1));
        Self { rate, level: Mutex::new(Level { tokens: rate, refilled_at: None }) }
    }

    fn level(&self) -> MutexGuard<'_, Level> {
        self.level.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The whole tokens that are available now, at least one; or the time until one is.
    pub fn available(&self, now: DateTime<Utc>) -> Result<usize, Duration> {
        let mut level = self.level();
        // A clock that is set back adds no tokens and removes none.
        let passed = level.refilled_at.map_or(0.0, |at| (now - at).as_seconds_f64().max(0.0));
        level.tokens = passed.mul_add(self.rate, level.tokens).min(self.rate);
        level.refilled_at = Some(now);
        if level.tokens < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - level.tokens) / self.rate));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 1 and the rate, which is a u32"
        )]
        let available = level.tokens as usize;
        Ok(available)
    }

    /// Takes tokens out of the bucket.
    pub fn consume(&self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.level().tokens -= f64::from(count);
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn bucket_refills_to_one_second_of_rate() {
        let bucket = TokenBucket::new(10);
        let mut now = DateTime::UNIX_EPOCH;
        assert_eq!(bucket.available(now), Ok(10));
        bucket.consume(10);
        assert_eq!(bucket.available(now), Err(Duration::from_millis(100)));
        now += TimeDelta::milliseconds(350);
        assert_eq!(bucket.available(now), Ok(3));
        bucket.consume(3);
        now += TimeDelta::hours(1);
        assert_eq!(bucket.available(now), Ok(10));
        // The clock is set back.
        bucket.consume(10);
        now -= TimeDelta::hours(1);
        assert!(bucket.available(now).is_err());
        assert_eq!(bucket.available(now + TimeDelta::seconds(1)), Ok(10));
    }
}
