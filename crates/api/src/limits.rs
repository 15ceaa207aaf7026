//! How often a key may ask: one token bucket per key, in the memory of this process.
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use deed_store::KeyId;

/// Keys whose buckets are remembered; a forgotten bucket is a full one.
const KEPT: usize = 10_000;
/// Published clients sleep `Retry-After` through, so it is never long.
const LONGEST_WAIT: u64 = 60;

/// How many requests a key may make.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Requests a second in the long run; more than 0.
    pub per_second: f64,
    /// Requests at once after a pause; at least 1.
    pub burst: u32,
}

impl Default for Rate {
    fn default() -> Self {
        Self { per_second: 50.0, burst: 200 }
    }
}

/// What a bucket says about one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it may go on.
    pub allowed: bool,
    /// Requests that may follow at once.
    pub remaining: u32,
    /// Seconds until the bucket is full again.
    pub full_in: u64,
    /// Seconds until the next request may go on.
    pub retry_after: u64,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: DateTime<Utc>,
}

/// The buckets of all keys.
#[derive(Debug)]
pub struct Limiter {
    rate: Rate,
    buckets: Mutex<HashMap<KeyId, Bucket>>,
}

impl Limiter {
    /// A limiter whose buckets are all full.
    pub fn new(rate: Rate) -> Self {
        let per_second = if rate.per_second.is_finite() { rate.per_second.max(0.001) } else { f64::MAX };
        let rate = Rate { per_second, burst: rate.burst.max(1) };
        Self { rate, buckets: Mutex::new(HashMap::new()) }
    }

    /// The limit in words of the `RateLimit-Policy` header.
    pub fn policy(&self) -> String {
        format!("\"key\";q={};w={}", self.rate.burst, self.seconds(f64::from(self.rate.burst)).max(1))
    }

    /// Takes one token of `key`.
    pub fn take(&self, key: &KeyId, now: DateTime<Utc>) -> Verdict {
        // A panic elsewhere leaves at worst one bucket with a token too many.
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= KEPT && !buckets.contains_key(key) {
            buckets.retain(|_, bucket| self.filled(*bucket, now) < f64::from(self.rate.burst));
            if buckets.len() >= KEPT {
                buckets.clear();
            }
        }
        let burst = f64::from(self.rate.burst);
        let bucket = buckets.entry(key.clone()).or_insert(Bucket { tokens: burst, at: now });
        let tokens = self.filled(*bucket, now);
        let allowed = tokens >= 1.0;
        let left = if allowed { tokens - 1.0 } else { tokens };
        *bucket = Bucket { tokens: left, at: now };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and a u32")]
        let remaining = left as u32;
        Verdict {
            allowed,
            remaining,
            full_in: self.seconds(burst - left),
            retry_after: self.seconds(1.0 - left).clamp(1, LONGEST_WAIT),
        }
    }

    fn filled(&self, bucket: Bucket, now: DateTime<Utc>) -> f64 {
        // A clock set back adds nothing.
        let elapsed = (now - bucket.at).to_std().unwrap_or_default().as_secs_f64();
        elapsed.mul_add(self.rate.per_second, bucket.tokens).min(f64::from(self.rate.burst))
    }

    /// Whole seconds in which so many tokens drip in.
    fn seconds(&self, tokens: f64) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative; saturates"
        )]
        let seconds = (tokens.max(0.0) / self.rate.per_second).ceil() as u64;
        seconds
    }
}

#[cfg(test)]
mod tests {
    use chrono::Duration;

    use super::*;

    fn at() -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 0).unwrap()
    }

    fn key(name: &str) -> KeyId {
        KeyId(name.to_owned())
    }

    #[test]
    fn a_bucket_empties_drips_and_is_its_keys_own() {
        let limiter = Limiter::new(Rate { per_second: 0.5, burst: 2 });
        assert_eq!(limiter.policy(), "\"key\";q=2;w=4");
        let (a, b) = (key("a"), key("b"));
        assert_eq!(limiter.take(&a, at()).remaining, 1);
        assert!(limiter.take(&a, at()).allowed);
        let refused = limiter.take(&a, at());
        assert_eq!(refused, Verdict { allowed: false, remaining: 0, full_in: 4, retry_after: 2 });
        assert!(limiter.take(&b, at()).allowed);
        assert!(!limiter.take(&a, at() + Duration::milliseconds(1900)).allowed);
        assert!(limiter.take(&a, at() + Duration::seconds(2)).allowed);
    }

    #[test]
    fn nobody_is_told_to_wait_longer_than_a_minute() {
        let limiter = Limiter::new(Rate { per_second: 0.001, burst: 1 });
        assert!(limiter.take(&key("a"), at()).allowed);
        assert_eq!(limiter.take(&key("a"), at()).retry_after, LONGEST_WAIT);
    }

    #[test]
    fn the_memory_is_bounded() {
        let limiter = Limiter::new(Rate { per_second: 1.0, burst: 5 });
        for i in 0..KEPT * 2 {
            assert!(limiter.take(&key(&i.to_string()), at()).allowed);
        }
        assert!(limiter.buckets.lock().unwrap().len() <= KEPT);
    }
}
