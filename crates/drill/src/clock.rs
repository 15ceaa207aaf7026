//! The one place that reads the clock of the machine.
use chrono::{DateTime, Utc};

/// The instant, to the microsecond: what a database keeps of it.
#[expect(clippy::disallowed_methods, reason = "a drill is about real time")]
pub fn now() -> DateTime<Utc> {
    let now = Utc::now();
    DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now)
}
