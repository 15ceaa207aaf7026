//! A clock for tests that moves only when it is told to.
use std::sync::Mutex;

use chrono::{DateTime, Duration, Utc};
use deed_claims::Clock;

/// A clock for tests.
#[derive(Debug)]
pub struct FakeClock(Mutex<DateTime<Utc>>);

impl FakeClock {
    /// A clock that shows `start`.
    pub fn at(start: DateTime<Utc>) -> Self {
        Self(Mutex::new(start))
    }

    /// Moves the clock forward (or back).
    pub fn advance(&self, by: Duration) {
        *self.0.lock().expect("no holder of this lock panics") += by;
    }

    /// Sets the clock.
    pub fn set(&self, to: DateTime<Utc>) {
        *self.0.lock().expect("no holder of this lock panics") = to;
    }
}

impl Default for FakeClock {
    fn default() -> Self {
        Self::at(DateTime::from_timestamp(1_780_000_000, 0).expect("a valid instant"))
    }
}

impl Clock for FakeClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().expect("no holder of this lock panics")
    }
}
