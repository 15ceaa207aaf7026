//! How the model's values lie in columns: numbers as signed integers, JSON as its own text.
use deed_store::Unavailable;

/// Positions, versions, counts and limits; what is beyond the range of a `bigint` is as good as its end.
pub(crate) fn signed(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// A column that does not hold what this program writes into it.
#[derive(Debug, thiserror::Error)]
#[error("column {column} holds something unreadable")]
struct Unreadable {
    column: &'static str,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Reads columns back, and says which of them could not be read.
#[derive(Clone, Copy)]
pub(crate) struct Reading(pub &'static str);

impl Reading {
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
