//! Values in columns: times as microseconds, numbers as SQLite's signed integers, rows as JSON.
use chrono::{DateTime, Utc};
use deed_store::Unavailable;
pub(crate) use deed_store::rows::{Decoder, to_i64};

/// Microseconds since 1970.
pub(crate) fn micros(at: DateTime<Utc>) -> i64 {
    at.timestamp_micros()
}

/// Rows for `json_each`: an array of arrays, so that one statement takes any number of rows.
pub(crate) fn json_rows<T: serde::Serialize>(
    operation: &'static str,
    rows: &[T],
) -> Result<String, Unavailable> {
    serde_json::to_string(rows).map_err(|e| Unavailable::new(operation, e))
}
