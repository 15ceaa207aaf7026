//! A rate limit by the generic cell rate algorithm: a token bucket, stored as the time at which it will be full
//! again.
use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

/// The query rate of one address.
#[derive(Debug, Clone, Copy)]
pub(super) struct QueryRate {
    /// Between two queries in the long run.
    interval: Duration,
    /// How much earlier than that queries of a burst may be sent.
    lead: Duration,
}

impl QueryRate {
    pub(super) fn new(a_second: NonZeroU32, burst: u32) -> Self {
        let interval = Duration::from_secs(1) / a_second.get();
        Self { interval, lead: interval * burst.saturating_sub(1) }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Gcra {
    full_at: Instant,
}

impl Gcra {
    pub(super) fn full(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// When the next query may be sent.
    pub(super) fn slot(self, rate: QueryRate, now: Instant) -> Instant {
        self.full_at.checked_sub(rate.lead).map_or(now, |slot| slot.max(now))
    }

    /// Takes the next slot, which may lie in the future.
    pub(super) fn take(&mut self, rate: QueryRate, now: Instant) -> Instant {
        let slot = self.slot(rate, now);
        self.full_at = self.full_at.max(now) + rate.interval;
        slot
    }

    /// Returns a slot that was not used, so that later queries wait less.
    pub(super) fn give_back(&mut self, rate: QueryRate) {
        if let Some(earlier) = self.full_at.checked_sub(rate.interval) {
            self.full_at = earlier;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(a_second: u32, burst: u32) -> QueryRate {
        QueryRate::new(NonZeroU32::new(a_second).unwrap(), burst)
    }

    #[test]
    fn admits_burst_at_once_then_paces() {
        let now = Instant::now();
        let mut gcra = Gcra::full(now);
        let waits: Vec<u128> = (0..23).map(|_| (gcra.take(rate(10, 20), now) - now).as_millis()).collect();
        assert!(waits[..20].iter().all(|wait| *wait == 0));
        assert_eq!(waits[20..], [100, 200, 300]);
    }

    #[test]
    fn refills_up_to_burst() {
        let now = Instant::now();
        let mut gcra = Gcra::full(now);
        for _ in 0..5 {
            gcra.take(rate(10, 5), now);
        }
        let later = now + Duration::from_hours(1);
        let at_once = (0..9).filter(|_| gcra.take(rate(10, 5), later) == later).count();
        assert_eq!(at_once, 5);
    }

    #[test]
    fn returned_slot_is_reused() {
        let now = Instant::now();
        let mut gcra = Gcra::full(now);
        assert_eq!(gcra.take(rate(10, 1), now), now);
        let second = gcra.take(rate(10, 1), now);
        gcra.give_back(rate(10, 1));
        assert_eq!(gcra.take(rate(10, 1), now), second);
    }
}
