//! How fast due work is sent: after an outage everything is due, and nobody should be asked about all of it at once.
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

/// A token bucket that holds what a second allows.
#[derive(Debug)]
pub(crate) struct Pace {
    rate: f64,
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    /// When they were counted; none before the first time.
    at: Option<DateTime<Utc>>,
}

impl Pace {
    pub fn new(rate: u32) -> Self {
        let rate = f64::from(rate.max(1));
        Self { rate, bucket: Mutex::new(Bucket { tokens: rate, at: None }) }
    }

    fn bucket(&self) -> MutexGuard<'_, Bucket> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many may be sent now, at least one; or how long until one may.
    pub fn room(&self, now: DateTime<Utc>) -> Result<usize, Duration> {
        let mut bucket = self.bucket();
        // A clock that is set back gives nothing and takes nothing.
        let passed = bucket.at.map_or(0.0, |at| (now - at).as_seconds_f64().max(0.0));
        bucket.tokens = passed.mul_add(self.rate, bucket.tokens).min(self.rate);
        bucket.at = Some(now);
        if bucket.tokens < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - bucket.tokens) / self.rate));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 1 and the rate, which is a u32"
        )]
        let room = bucket.tokens as usize;
        Ok(room)
    }

    /// So many were sent.
    pub fn spend(&self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.bucket().tokens -= f64::from(count);
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_second_allows_its_rate_and_no_more_is_saved_up() {
        let pace = Pace::new(10);
        let mut now = DateTime::UNIX_EPOCH;
        assert_eq!(pace.room(now), Ok(10));
        pace.spend(10);
        assert_eq!(pace.room(now), Err(Duration::from_millis(100)));
        now += TimeDelta::milliseconds(350);
        assert_eq!(pace.room(now), Ok(3));
        pace.spend(3);
        now += TimeDelta::hours(1);
        assert_eq!(pace.room(now), Ok(10));
        // The clock is set back.
        pace.spend(10);
        now -= TimeDelta::hours(1);
        assert!(pace.room(now).is_err());
        assert_eq!(pace.room(now + TimeDelta::seconds(1)), Ok(10));
    }
}
