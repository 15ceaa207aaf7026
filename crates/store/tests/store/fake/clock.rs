//! A clock that stands still when the runtime's does.
use chrono::{DateTime, TimeDelta, Utc};
use deed_store::{Clock, conformance::samples};
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
