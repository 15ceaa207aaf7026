//! A clock that follows the runtime's, so that it stands still when that is paused.
use chrono::{DateTime, TimeDelta, Utc};
use deed_claims::Clock;
use deed_store::conformance::samples;
use tokio::time::Instant;

pub struct RuntimeClock(Instant);

impl RuntimeClock {
    pub fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for RuntimeClock {
    fn now(&self) -> DateTime<Utc> {
        samples::at(0) + TimeDelta::from_std(self.0.elapsed()).unwrap()
    }
}
