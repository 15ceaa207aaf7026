//! A token bucket, kept as the moment when it will be full again (the generic cell rate algorithm).
use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

/// How fast an address may be asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    /// Between two questions in the long run.
    interval: Duration,
    /// By how much questions may come early.
    lead: Duration,
}

impl Rate {
    pub(super) fn new(a_second: NonZeroU32, burst: u32) -> Self {
        let interval = Duration::from_secs(1) / a_second.get();
        Self { interval, lead: interval * burst.saturating_sub(1) }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    full_at: Instant,
}

impl Bucket {
    pub(super) fn full(now: Instant) -> Self {
        Self { full_at: now }
    }

    pub(super) fn is_full(self, now: Instant) -> bool {
        self.full_at <= now
    }

    /// When the next question may be sent.
    pub(super) fn turn(self, rate: Rate, now: Instant) -> Instant {
        self.full_at.checked_sub(rate.lead).map_or(now, |turn| turn.max(now))
    }

    /// Takes the next turn, which may have to be waited for.
    pub(super) fn take(&mut self, rate: Rate, now: Instant) -> Instant {
        let turn = self.turn(rate, now);
        self.full_at = self.full_at.max(now) + rate.interval;
        turn
    }

    /// For a turn that was not used: the next ones come sooner.
    pub(super) fn give_back(&mut self, rate: Rate) {
        if let Some(earlier) = self.full_at.checked_sub(rate.interval) {
            self.full_at = earlier;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(a_second: u32, burst: u32) -> Rate {
        Rate::new(NonZeroU32::new(a_second).unwrap(), burst)
    }

    #[test]
    fn a_burst_goes_at_once_and_the_rest_in_step() {
        let now = Instant::now();
        let mut bucket = Bucket::full(now);
        let waits: Vec<u128> = (0..23).map(|_| (bucket.take(rate(10, 20), now) - now).as_millis()).collect();
        assert!(waits[..20].iter().all(|wait| *wait == 0));
        assert_eq!(waits[20..], [100, 200, 300]);
    }

    #[test]
    fn it_fills_up_to_the_burst_and_no_further() {
        let now = Instant::now();
        let mut bucket = Bucket::full(now);
        for _ in 0..5 {
            bucket.take(rate(10, 5), now);
        }
        assert!(!bucket.is_full(now));
        let later = now + Duration::from_hours(1);
        assert!(bucket.is_full(later));
        let at_once = (0..9).filter(|_| bucket.take(rate(10, 5), later) == later).count();
        assert_eq!(at_once, 5);
    }

    #[test]
    fn a_turn_that_is_given_back_is_the_next_ones() {
        let now = Instant::now();
        let mut bucket = Bucket::full(now);
        assert_eq!(bucket.take(rate(10, 1), now), now);
        let second = bucket.take(rate(10, 1), now);
        bucket.give_back(rate(10, 1));
        assert_eq!(bucket.take(rate(10, 1), now), second);
    }
}
