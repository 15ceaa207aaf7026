//! Reads the system clock.
use chrono::{DateTime, Utc};

/// The present time in microseconds, the precision of the database.
#[expect(clippy::disallowed_methods, reason = "a drill is about real time")]
pub fn now() -> DateTime<Utc> {
    let now = Utc::now();
    DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now)
}
