//! Rate limits: one token bucket per API key, in the memory of this process.
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use deed_store::KeyId;
use quick_cache::unsync::Cache;

/// Buckets in memory at most. Eviction refills a bucket, so empty buckets are evicted last.
const CAPACITY: usize = 10_000;
/// Published clients sleep `Retry-After` through, so it is never long.
const MAX_RETRY_AFTER: u64 = 60;

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

/// The decision about one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateDecision {
    /// Whether the request is allowed.
    pub allowed: bool,
    /// Requests that may follow at once.
    pub remaining: u32,
    /// Seconds until the bucket is full again.
    pub reset_after: u64,
    /// Seconds until the next request is allowed.
    pub retry_after: u64,
}

#[derive(Debug, Clone, Copy)]
struct KeyBucket {
    tokens: f64,
    at: DateTime<Utc>,
}

/// The buckets of all keys.
#[derive(Debug)]
pub struct RateLimiter {
    rate: Rate,
    buckets: Mutex<Cache<KeyId, KeyBucket>>,
}

impl RateLimiter {
    /// A limiter whose buckets are all full.
    pub fn new(rate: Rate) -> Self {
        let per_second = if rate.per_second.is_finite() { rate.per_second.max(0.001) } else { f64::MAX };
        let rate = Rate { per_second, burst: rate.burst.max(1) };
        Self { rate, buckets: Mutex::new(Cache::new(CAPACITY)) }
    }

    /// The value of the `RateLimit-Policy` header.
    pub fn policy(&self) -> String {
        format!("\"key\";q={};w={}", self.rate.burst, self.seconds(f64::from(self.rate.burst)).max(1))
    }

    /// Takes one token of `key`.
    pub fn acquire(&self, key: &KeyId, now: DateTime<Utc>) -> RateDecision {
        let burst = f64::from(self.rate.burst);
        // A panic elsewhere leaves at worst one bucket with a token too many.
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let tokens = buckets.peek(key).map_or(burst, |bucket| self.refilled(*bucket, now));
        let allowed = tokens >= 1.0;
        let left = if allowed { tokens - 1.0 } else { tokens };
        let bucket = KeyBucket { tokens: left, at: now };
        match buckets.peek_mut(key) {
            Some(mut stored) => *stored = bucket,
            None => buckets.insert(key.clone(), bucket),
        }
        if left < 1.0 {
            // The cache evicts first what was not read by `get`.
            let _ = buckets.get(key);
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and a u32")]
        let remaining = left as u32;
        RateDecision {
            allowed,
            remaining,
            reset_after: self.seconds(burst - left),
            retry_after: self.seconds(1.0 - left).clamp(1, MAX_RETRY_AFTER),
        }
    }

    fn refilled(&self, bucket: KeyBucket, now: DateTime<Utc>) -> f64 {
        // A clock set back adds nothing.
        let elapsed = (now - bucket.at).to_std().unwrap_or_default().as_secs_f64();
        elapsed.mul_add(self.rate.per_second, bucket.tokens).min(f64::from(self.rate.burst))
    }

    /// Whole seconds until so many tokens are refilled.
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
    fn each_key_has_a_refilling_bucket() {
        let limiter = RateLimiter::new(Rate { per_second: 0.5, burst: 2 });
        assert_eq!(limiter.policy(), "\"key\";q=2;w=4");
        let (a, b) = (key("a"), key("b"));
        assert_eq!(limiter.acquire(&a, at()).remaining, 1);
        assert!(limiter.acquire(&a, at()).allowed);
        let refused = limiter.acquire(&a, at());
        assert_eq!(refused, RateDecision { allowed: false, remaining: 0, reset_after: 4, retry_after: 2 });
        assert!(limiter.acquire(&b, at()).allowed);
        assert!(!limiter.acquire(&a, at() + Duration::milliseconds(1900)).allowed);
        assert!(limiter.acquire(&a, at() + Duration::seconds(2)).allowed);
    }

    #[test]
    fn retry_after_is_at_most_a_minute() {
        let limiter = RateLimiter::new(Rate { per_second: 0.001, burst: 1 });
        assert!(limiter.acquire(&key("a"), at()).allowed);
        assert_eq!(limiter.acquire(&key("a"), at()).retry_after, MAX_RETRY_AFTER);
    }

    /// A limiter, and a key that has used up its bucket after so many other keys came by.
    fn limited_after(others: usize) -> (RateLimiter, KeyId) {
        let limiter = RateLimiter::new(Rate { per_second: 1.0, burst: 5 });
        for n in 0..others {
            assert!(limiter.acquire(&key(&format!("before-{n}")), at()).allowed);
        }
        let exhausted = key("limited");
        for _ in 0..5 {
            assert!(limiter.acquire(&exhausted, at()).allowed);
        }
        (limiter, exhausted)
    }

    #[test]
    fn limited_key_stays_limited_among_20000_others() {
        for before in [0, 20_000] {
            let (limiter, exhausted) = limited_after(before);
            for n in 0..20_000 {
                assert!(limiter.acquire(&key(&n.to_string()), at()).allowed);
            }
            assert!(!limiter.acquire(&exhausted, at()).allowed, "{before} before");
        }
    }

    #[test]
    fn limited_key_stays_limited_among_20000_busy_others() {
        for before in [0, 20_000] {
            let (limiter, exhausted) = limited_after(before);
            for n in 0..20_000 {
                for _ in 0..4 {
                    assert!(limiter.acquire(&key(&n.to_string()), at()).allowed);
                }
            }
            assert!(!limiter.acquire(&exhausted, at()).allowed, "{before} before");
        }
    }

    #[test]
    fn memory_is_bounded() {
        let limiter = RateLimiter::new(Rate { per_second: 1.0, burst: 5 });
        for i in 0..CAPACITY * 2 {
            assert!(limiter.acquire(&key(&i.to_string()), at()).allowed);
        }
        assert!(limiter.buckets.lock().unwrap().len() <= CAPACITY);
    }
}
