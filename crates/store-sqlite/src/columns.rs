//! Values in columns: times as microseconds, numbers as SQLite's signed integers, rows as JSON.
use chrono::{DateTime, Utc};
use deed_store::Unavailable;

/// Microseconds since 1970.
pub(crate) fn micros(at: DateTime<Utc>) -> i64 {
    at.timestamp_micros()
}

/// Positions, versions, counts and limits; saturates at the end of SQLite's range.
pub(crate) fn to_i64(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// A column with a value that this program did not write.
#[derive(Debug, thiserror::Error)]
#[error("column {column} cannot be decoded")]
struct Unreadable {
    column: &'static str,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Decodes columns for an operation; its errors name the column.
#[derive(Clone, Copy)]
pub(crate) struct Decoder(pub &'static str);

impl Decoder {
    pub(crate) fn instant(self, column: &'static str, micros: i64) -> Result<DateTime<Utc>, Unavailable> {
        DateTime::from_timestamp_micros(micros).ok_or_else(|| self.unreadable(column, None))
    }

    pub(crate) fn number<N: TryFrom<i64>>(self, column: &'static str, value: i64) -> Result<N, Unavailable> {
        N::try_from(value).map_err(|_| self.unreadable(column, None))
    }

    pub(crate) fn parsed<T>(self, column: &'static str, text: &str) -> Result<T, Unavailable>
    where
        T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
    {
        text.parse().map_err(|e: T::Err| self.unreadable(column, Some(Box::new(e))))
    }

    pub(crate) fn json<T: serde::de::DeserializeOwned>(
        self,
        column: &'static str,
        text: &str,
    ) -> Result<T, Unavailable> {
        serde_json::from_str(text).map_err(|e| self.unreadable(column, Some(Box::new(e))))
    }

    pub(crate) fn unreadable(
        self,
        column: &'static str,
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Unavailable {
        Unavailable::new(self.0, Unreadable { column, source })
    }
}

/// Rows for `json_each`: an array of arrays, so that one statement takes any number of rows.
pub(crate) fn json_rows<T: serde::Serialize>(
    operation: &'static str,
    rows: &[T],
) -> Result<String, Unavailable> {
    serde_json::to_string(rows).map_err(|e| Unavailable::new(operation, e))
}
