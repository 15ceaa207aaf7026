//! Gauges for work that waits: how much, and the age of the oldest; polled, and NaN while the store does not answer.
use std::{convert::Infallible, time::Duration};

use chrono::{DateTime, Utc};
use prometheus::{Gauge, Opts, Registry};
use tokio::time::{sleep, timeout};

use crate::Unavailable;
use deed_claims::Clock;

/// Work that waits, as the store reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    /// How many items wait.
    pub count: u64,
    /// Since when the oldest one waits; none when there is none.
    pub since: Option<DateTime<Utc>>,
}

/// Two gauges: how many items wait, and the age of the oldest one in seconds.
///
/// While the store does not answer, the count is NaN. The age keeps growing, from the oldest item that was known or, if
/// there was none, from the last answer: an item may have come at any time since.
#[derive(Debug, Clone)]
pub struct Backlog {
    count: Gauge,
    age: Gauge,
}

impl Backlog {
    /// How often the store is polled, and how long it may take to answer.
    pub const EVERY: Duration = Duration::from_secs(5);

    /// Registers both gauges.
    ///
    /// # Errors
    /// When the registry has such gauges already.
    pub fn register(registry: &Registry, count: Opts, age: Opts) -> prometheus::Result<Self> {
        let backlog = Self { count: Gauge::with_opts(count)?, age: Gauge::with_opts(age)? };
        registry.register(Box::new(backlog.count.clone()))?;
        registry.register(Box::new(backlog.age.clone()))?;
        Ok(backlog)
    }

    /// How many items wait; NaN while it is unknown.
    pub fn count(&self) -> f64 {
        self.count.get()
    }

    /// The age of the oldest item, in seconds.
    pub fn age(&self) -> f64 {
        self.age.get()
    }

    /// Updates the gauges until it is dropped, also while nothing is processed. `ask` gets the current time.
    pub async fn watch<A>(&self, clock: &dyn Clock, ask: impl Fn(DateTime<Utc>) -> A) -> Infallible
    where
        A: Future<Output = Result<Lag, Unavailable>>,
    {
        let mut since = clock.now();
        loop {
            let asked = clock.now();
            // The callers that work with the store report that it does not answer.
            let answer = timeout(Self::EVERY, ask(asked)).await.ok().and_then(Result::ok);
            if let Some(lag) = answer {
                #[expect(clippy::cast_precision_loss, reason = "a gauge is a floating-point number")]
                self.count.set(lag.count as f64);
                self.age.set(seconds(lag.since, clock.now()));
                since = lag.since.unwrap_or(asked);
            } else {
                self.count.set(f64::NAN);
                self.age.set(seconds(Some(since), clock.now()));
            }
            sleep(Self::EVERY).await;
        }
    }
}

/// At least 0, since the clocks of machines differ.
fn seconds(since: Option<DateTime<Utc>>, now: DateTime<Utc>) -> f64 {
    since.map_or(0.0, |since| (now - since).as_seconds_f64().max(0.0))
}
