//! Paging in the app contract: `limit`, `offset`, `at_least`.
use std::str::FromStr;

use deed_http::{Query, RequestError};
use deed_store::Position;

/// Rows on a page unless the caller says otherwise.
const DEFAULT_LIMIT: u32 = 50;
/// Rows on a page at most.
const MAX_LIMIT: u32 = 500;
/// Rows to skip at most, within the integers of every client.
const MAX_OFFSET: u32 = i32::MAX.cast_unsigned();

/// A page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetPage {
    /// At most so many rows.
    pub limit: u32,
    /// After so many.
    pub offset: u32,
}

impl OffsetPage {
    /// The page that a query asks for.
    ///
    /// # Errors
    /// When a parameter is given twice or is out of its range.
    pub fn of(query: &Query) -> Result<Self, RequestError> {
        let limit = match query.one("limit")? {
            None => DEFAULT_LIMIT,
            Some(text) => number(text)
                .filter(|limit| (1..=MAX_LIMIT).contains(limit))
                .ok_or(RequestError::Query { name: "limit", rule: "is a number from 1 to 500" })?,
        };
        let offset = match query.one("offset")? {
            None => 0,
            Some(text) => number(text)
                .filter(|offset| *offset <= MAX_OFFSET)
                .ok_or(RequestError::Query { name: "offset", rule: "is a number from 0 to 2147483647" })?,
        };
        Ok(Self { limit, offset })
    }
}

/// The log position that a list must reflect.
///
/// # Errors
/// When it is given twice or is not a position.
pub fn at_least(query: &Query) -> Result<Option<Position>, RequestError> {
    let rule = "is a position: a number from 0 to 9007199254740991";
    let Some(text) = query.one("at_least")? else { return Ok(None) };
    let position = number::<u64>(text).filter(|position| *position < 1 << 53);
    position.map(|position| Some(Position(position))).ok_or(RequestError::Query { name: "at_least", rule })
}

/// A number of digits only.
fn number<N: FromStr>(text: &str) -> Option<N> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: &str) -> Result<(u32, u32), RequestError> {
        OffsetPage::of(&Query::parse(query)).map(|page| (page.limit, page.offset))
    }

    #[test]
    fn page_has_defaults_and_bounds() {
        assert_eq!(page("").unwrap(), (50, 0));
        assert_eq!(page("limit=500&offset=7&other=x").unwrap(), (500, 7));
        for (bad, at) in [
            ("limit=0", "limit"),
            ("limit=501", "limit"),
            ("limit=", "limit"),
            ("limit=1&limit=1", "limit"),
            ("offset=-1", "offset"),
            ("offset=+1", "offset"),
            ("offset=2147483648", "offset"),
        ] {
            assert!(matches!(page(bad), Err(RequestError::Query { name, .. }) if name == at), "{bad}");
        }
    }

    #[test]
    fn position_fits_a_json_number() {
        let read = |query: &str| at_least(&Query::parse(query));
        assert_eq!(read("").unwrap(), None);
        assert_eq!(read("at_least=12").unwrap(), Some(Position(12)));
        for bad in ["at_least=", "at_least=9007199254740992", "at_least=1.0", "at_least=1&at_least=1"] {
            assert!(matches!(read(bad), Err(RequestError::Query { name: "at_least", .. })), "{bad}");
        }
    }
}
