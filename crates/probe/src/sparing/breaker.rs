//! Leaves a silent server alone: closed while it answers, open after some time-outs in a row, tried again from time to
//! time.
use std::time::Duration;

use tokio::time::Instant;

/// Time-outs in a row after which a server is left alone.
const SILENCES: u8 = 5;
/// How long at first.
const FIRST: Duration = Duration::from_mins(1);
/// How long at most.
const LONGEST: Duration = Duration::from_mins(15);

/// Whether one way to a server is worth a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Breaker {
    /// With so many time-outs in a row.
    Closed(u8),
    Open {
        until: Instant,
        pause: Duration,
    },
    /// One question is on its way to find out.
    Trial {
        pause: Duration,
    },
}

/// In which role a question goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    Usual,
    /// Everybody else waits for what becomes of it.
    Trial,
}

impl Default for Breaker {
    fn default() -> Self {
        Self::Closed(0)
    }
}

impl Breaker {
    /// Leave to ask; none while the server is left alone.
    pub(super) fn leave(&mut self, now: Instant) -> Option<Leave> {
        match *self {
            Self::Closed(_) => Some(Leave::Usual),
            Self::Open { until, pause } if until <= now => {
                *self = Self::Trial { pause };
                Some(Leave::Trial)
            }
            Self::Open { .. } | Self::Trial { .. } => None,
        }
    }

    /// Whether the server is left alone at this time.
    pub(super) fn holds(&self, now: Instant) -> bool {
        match *self {
            Self::Closed(_) => false,
            Self::Open { until, .. } => until > now,
            Self::Trial { .. } => true,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        !matches!(self, Self::Closed(_))
    }

    /// Whether nothing speaks against the server.
    pub(super) fn is_quiet(&self) -> bool {
        *self == Self::Closed(0)
    }

    /// The server has given a sign of life.
    pub(super) fn close(&mut self) {
        *self = Self::Closed(0);
    }

    /// A question got no answer in its time. Those that were sent before the breaker opened change nothing more.
    pub(super) fn time_out(&mut self, now: Instant, leave: Leave) {
        match (*self, leave) {
            (Self::Closed(before), _) if before + 1 < SILENCES => *self = Self::Closed(before + 1),
            (Self::Closed(_), _) => *self = Self::Open { until: now + FIRST, pause: FIRST },
            (Self::Trial { pause }, Leave::Trial) => {
                let pause = (pause * 2).min(LONGEST);
                *self = Self::Open { until: now + pause, pause };
            }
            (Self::Open { .. } | Self::Trial { .. }, _) => {}
        }
    }

    /// A trial that tells nothing leaves the next one free.
    pub(super) fn give_back(&mut self, now: Instant, leave: Leave) {
        if let (Self::Trial { pause }, Leave::Trial) = (*self, leave) {
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

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..SILENCES {
            assert_eq!(breaker.leave(now), Some(Leave::Usual));
            breaker.time_out(now, Leave::Usual);
        }
        breaker
    }

    #[test]
    fn five_silences_in_a_row_open_it_for_a_minute() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert_eq!(breaker.leave(after(now, 59)), None);
        assert_eq!(breaker.leave(after(now, 60)), Some(Leave::Trial));
        assert_eq!(breaker.leave(after(now, 60)), None, "one question finds out for all");
    }

    #[test]
    fn an_answer_in_between_starts_the_count_anew() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..3 {
            for _ in 0..4 {
                breaker.time_out(now, Leave::Usual);
            }
            breaker.close();
        }
        assert_eq!(breaker.leave(now), Some(Leave::Usual));
    }

    #[test]
    fn each_trial_in_vain_doubles_the_pause_up_to_a_quarter_of_an_hour() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        let mut pauses = vec![];
        for _ in 0..6 {
            let Breaker::Open { until, .. } = breaker else { panic!("{breaker:?}") };
            pauses.push((until - now).as_secs());
            now = until;
            assert_eq!(breaker.leave(now), Some(Leave::Trial));
            breaker.time_out(now, Leave::Usual);
            assert_eq!(breaker.leave(now), None, "late time-outs of earlier questions do not count");
            breaker.time_out(now, Leave::Trial);
        }
        assert_eq!(pauses, [60, 120, 240, 480, 900, 900]);
    }

    #[test]
    fn an_answered_trial_closes_it_and_an_abandoned_one_leaves_the_next_free() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = after(now, 60);
        assert_eq!(breaker.leave(later), Some(Leave::Trial));
        breaker.give_back(later, Leave::Trial);
        assert_eq!(breaker.leave(later), Some(Leave::Trial));
        breaker.close();
        assert_eq!(breaker.leave(later), Some(Leave::Usual));
        assert!(breaker.is_quiet());
    }
}
