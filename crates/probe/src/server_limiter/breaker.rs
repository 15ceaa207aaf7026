//! A circuit breaker per server and transport: closed while the server answers, open after some time-outs in a row,
//! half open for a trial from time to time.
use std::time::Duration;

use tokio::time::Instant;

/// Time-outs in a row that open the breaker.
const MAX_TIMEOUTS: u8 = 5;
/// How long it stays open at first.
const FIRST_PAUSE: Duration = Duration::from_mins(1);
/// How long it stays open at most.
const MAX_PAUSE: Duration = Duration::from_mins(15);

/// The state of the breaker of one transport to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BreakerState {
    /// With the number of time-outs in a row.
    Closed(u8),
    Open {
        until: Instant,
        pause: Duration,
    },
    /// Half open: one query is on its way as a trial.
    HalfOpen {
        pause: Duration,
    },
}

/// The role of an admitted query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    Regular,
    /// The trial of a half-open breaker; other queries are refused until its result.
    Trial,
}

impl Default for BreakerState {
    fn default() -> Self {
        Self::Closed(0)
    }
}

impl BreakerState {
    /// Admits a query; none while the breaker is open.
    pub(super) fn admit(&mut self, now: Instant) -> Option<Admission> {
        match *self {
            Self::Closed(_) => Some(Admission::Regular),
            Self::Open { until, pause } if until <= now => {
                *self = Self::HalfOpen { pause };
                Some(Admission::Trial)
            }
            Self::Open { .. } | Self::HalfOpen { .. } => None,
        }
    }

    /// Whether the breaker refuses queries at this time.
    pub(super) fn refuses(&self, now: Instant) -> bool {
        match *self {
            Self::Closed(_) => false,
            Self::Open { until, .. } => until > now,
            Self::HalfOpen { .. } => true,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        !matches!(self, Self::Closed(_))
    }

    /// The server has reacted.
    pub(super) fn close(&mut self) {
        *self = Self::Closed(0);
    }

    /// A query timed out. Queries that were sent before the breaker opened change nothing more.
    pub(super) fn time_out(&mut self, now: Instant, admission: Admission) {
        match (*self, admission) {
            (Self::Closed(before), _) if before + 1 < MAX_TIMEOUTS => *self = Self::Closed(before + 1),
            (Self::Closed(_), _) => *self = Self::Open { until: now + FIRST_PAUSE, pause: FIRST_PAUSE },
            (Self::HalfOpen { pause }, Admission::Trial) => {
                let pause = (pause * 2).min(MAX_PAUSE);
                *self = Self::Open { until: now + pause, pause };
            }
            (Self::Open { .. } | Self::HalfOpen { .. }, _) => {}
        }
    }

    /// A trial without a result is returned, so that the next query can be the trial.
    pub(super) fn give_back(&mut self, now: Instant, admission: Admission) {
        if let (Self::HalfOpen { pause }, Admission::Trial) = (*self, admission) {
            *self = Self::Open { until: now, pause };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(now: Instant, seconds: u64) -> Instant {
        now + Duration::from_secs(seconds)
    }

    fn opened(now: Instant) -> BreakerState {
        let mut breaker = BreakerState::default();
        for _ in 0..MAX_TIMEOUTS {
            assert_eq!(breaker.admit(now), Some(Admission::Regular));
            breaker.time_out(now, Admission::Regular);
        }
        breaker
    }

    #[test]
    fn opens_for_a_minute_after_five_timeouts() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert_eq!(breaker.admit(after(now, 59)), None);
        assert_eq!(breaker.admit(after(now, 60)), Some(Admission::Trial));
        assert_eq!(breaker.admit(after(now, 60)), None, "one question finds out for all");
    }

    #[test]
    fn answer_resets_timeout_count() {
        let now = Instant::now();
        let mut breaker = BreakerState::default();
        for _ in 0..3 {
            for _ in 0..4 {
                breaker.time_out(now, Admission::Regular);
            }
            breaker.close();
        }
        assert_eq!(breaker.admit(now), Some(Admission::Regular));
    }

    #[test]
    fn doubles_pause_after_failed_trial_up_to_15_minutes() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        let mut pauses = vec![];
        for _ in 0..6 {
            let BreakerState::Open { until, .. } = breaker else { panic!("{breaker:?}") };
            pauses.push((until - now).as_secs());
            now = until;
            assert_eq!(breaker.admit(now), Some(Admission::Trial));
            breaker.time_out(now, Admission::Regular);
            assert_eq!(breaker.admit(now), None, "late time-outs of earlier questions do not count");
            breaker.time_out(now, Admission::Trial);
        }
        assert_eq!(pauses, [60, 120, 240, 480, 900, 900]);
    }

    #[test]
    fn answered_trial_closes_and_abandoned_trial_is_returned() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = after(now, 60);
        assert_eq!(breaker.admit(later), Some(Admission::Trial));
        breaker.give_back(later, Admission::Trial);
        assert_eq!(breaker.admit(later), Some(Admission::Trial));
        breaker.close();
        assert_eq!(breaker.admit(later), Some(Admission::Regular));
        assert_eq!(breaker, BreakerState::default());
    }
}
