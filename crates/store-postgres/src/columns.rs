//! Values in columns: numbers as signed integers, JSON as text.
use deed_store::Unavailable;

/// Positions, versions, counts and limits; saturates at the end of the range of a `bigint`.
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
