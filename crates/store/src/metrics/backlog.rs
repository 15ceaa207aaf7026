//! How much waits, and since when: asked now and then, and honest about it while nobody answers.
use std::{convert::Infallible, time::Duration};

use chrono::{DateTime, Utc};
use prometheus::{Gauge, Opts, Registry};
use tokio::time::{sleep, timeout};

use crate::{Clock, Unavailable};

/// What waits, as the store tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behind {
    /// How much.
    pub count: u64,
    /// Since when the oldest of it waits; none when nothing does.
    pub since: Option<DateTime<Utc>>,
}

/// Two gauges: how much waits, and the age of the oldest of it in seconds.
///
/// While the store does not answer, nobody knows how much waits: the count is NaN. The age goes on growing, from what
/// was last known to wait or, where nothing did, from the last answer: something may have come at any time since.
#[derive(Debug, Clone)]
pub struct Backlog {
    count: Gauge,
    age: Gauge,
}

impl Backlog {
    /// How often the store is asked, and how long it may take to answer.
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

    /// How much waits; NaN while nobody knows.
    pub fn count(&self) -> f64 {
        self.count.get()
    }

    /// The age of the oldest of it, in seconds.
    pub fn age(&self) -> f64 {
        self.age.get()
    }

    /// Keeps the gauges true, also while nothing moves. `ask` is given the time.
    pub async fn watch<A>(&self, clock: &dyn Clock, ask: impl Fn(DateTime<Utc>) -> A) -> Infallible
    where
        A: Future<Output = Result<Behind, Unavailable>>,
    {
        let mut since = clock.now();
        loop {
            let asked = clock.now();
            // A store that does not answer is reported by those who work with it.
            let answer = timeout(Self::EVERY, ask(asked)).await.ok().and_then(Result::ok);
            if let Some(behind) = answer {
                #[expect(clippy::cast_precision_loss, reason = "a gauge is a floating-point number")]
                self.count.set(behind.count as f64);
                self.age.set(seconds(behind.since, clock.now()));
                since = behind.since.unwrap_or(asked);
            } else {
                self.count.set(f64::NAN);
                self.age.set(seconds(Some(since), clock.now()));
            }
            sleep(Self::EVERY).await;
        }
    }
}

/// Clocks of different machines differ: nothing is younger than 0.
fn seconds(since: Option<DateTime<Utc>>, now: DateTime<Utc>) -> f64 {
    since.map_or(0.0, |since| (now - since).as_seconds_f64().max(0.0))
}
