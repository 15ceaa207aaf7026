//! Query parameters: unknown ones are ignored, invalid ones are rejected by name.
use chrono::{DateTime, Datelike};
use data_encoding::BASE64URL_NOPAD;
use deed_store::{Cursor, Position};
use percent_encoding::percent_decode_str;

use crate::request_error::RequestError;

/// Rows on a page unless the caller says otherwise; published clients never page.
pub const DEFAULT_LIMIT: usize = 500;
/// Rows on a page at most.
pub const MAX_LIMIT: usize = 1000;

/// The last year of a cursor: RFC 3339 §1 has four-digit years.
const LAST_YEAR: i32 = 9999;
/// Digits of the sequence number of a history entry.
const MAX_DIGITS: usize = 18;

/// The parameters of a query, decoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `a=b&c=d` (URL Standard, `application/x-www-form-urlencoded`).
    pub fn parse(text: &str) -> Self {
        let decode =
            |part: &str| percent_decode_str(&part.replace('+', " ")).decode_utf8_lossy().into_owned();
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        });
        Self(pairs.collect())
    }

    /// Every value of a parameter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A parameter that is given at most once.
    ///
    /// # Errors
    /// When it is given twice.
    pub fn one(&self, name: &'static str) -> Result<Option<&str>, RequestError> {
        let mut values = self.all(name);
        let first = values.next();
        if values.next().is_some() {
            return Err(RequestError::Query { name, rule: "may be given once" });
        }
        Ok(first)
    }

    /// How many rows a page has.
    ///
    /// # Errors
    /// When it is not a number from 1 to 1000.
    pub fn limit(&self) -> Result<usize, RequestError> {
        let rule = RequestError::Query { name: "limit", rule: "is a number from 1 to 1000" };
        match self.one("limit")? {
            None => Ok(DEFAULT_LIMIT),
            Some(text) => number(text)
                .and_then(|n| usize::try_from(n).ok())
                .filter(|n| (1..=MAX_LIMIT).contains(n))
                .ok_or(rule),
        }
    }

    /// The log position that a list must reflect.
    ///
    /// # Errors
    /// When it is not a number.
    pub fn at_least(&self) -> Result<Option<Position>, RequestError> {
        let rule = "is a position: a number from 0 to 9007199254740991";
        self.one("atLeast")?
            .map(|text| {
                number(text)
                    .filter(|n| *n < 1 << 53)
                    .map(Position)
                    .ok_or(RequestError::Query { name: "atLeast", rule })
            })
            .transpose()
    }

    /// Where a page begins.
    ///
    /// # Errors
    /// When it is not a valid cursor.
    pub fn cursor(&self) -> Result<Option<Cursor>, RequestError> {
        let error = || RequestError::Query { name: "cursor", rule: "is a `nextCursor` of an earlier page" };
        self.one("cursor")?.map(|text| decode_cursor(text).ok_or_else(error)).transpose()
    }

    /// The sequence number after which a page of a history begins.
    ///
    /// # Errors
    /// When it is not a valid cursor.
    pub fn sequence_cursor(&self) -> Result<u64, RequestError> {
        let error = RequestError::Query { name: "cursor", rule: "is a `nextCursor` of an earlier page" };
        match self.one("cursor")? {
            None => Ok(0),
            Some(text) => number(text).filter(|_| text.len() <= MAX_DIGITS).ok_or(error),
        }
    }
}

/// A number of digits only.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Encodes a cursor.
pub fn encode_cursor(cursor: &Cursor) -> String {
    let mut bytes = cursor.initiated_at.timestamp_micros().to_be_bytes().to_vec();
    bytes.extend_from_slice(cursor.claim_id.as_bytes());
    BASE64URL_NOPAD.encode(&bytes)
}

fn decode_cursor(text: &str) -> Option<Cursor> {
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
    let (at, id) = bytes.split_at_checked(8)?;
    let at = DateTime::from_timestamp_micros(i64::from_be_bytes(at.try_into().ok()?))?;
    // Backends have different ranges of time; claims lie well within all of them.
    let ours = at >= DateTime::UNIX_EPOCH && at.year() <= LAST_YEAR;
    ours.then_some(Cursor {
        initiated_at: at,
        claim_id: deed_claims::ClaimId::from_bytes(id.try_into().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use deed_claims::ClaimId;

    use super::*;

    #[test]
    fn decodes_values_and_names_invalid_ones() {
        let query =
            Query::parse("limit=7&status=pending%2Cverified&status=at_risk&x=1&atLeast=9&a+b=%F0%9F%98%80");
        assert_eq!(query.limit().unwrap(), 7);
        assert_eq!(query.at_least().unwrap(), Some(Position(9)));
        assert_eq!(query.all("a b").next(), Some("😀"));
        for bad in ["limit=0", "limit=1001", "limit=-1", "limit=+1", "limit=", "limit=1&limit=2", "limit=9e9"]
        {
            let e = Query::parse(bad).limit().unwrap_err();
            assert!(matches!(e, RequestError::Query { name: "limit", .. }), "{bad}");
        }
        assert!(Query::parse("atLeast=99999999999999999999").at_least().is_err());
    }

    #[test]
    fn cursor_round_trips_and_garbage_is_rejected() {
        let cursor = Cursor {
            initiated_at: DateTime::from_timestamp_micros(1_700_000_000_123_456).unwrap(),
            claim_id: ClaimId::from_bytes([9; 16]),
        };
        let text = encode_cursor(&cursor);
        let read = |text: &str| Query::parse(&format!("cursor={text}")).cursor();
        assert_eq!(read(&text).unwrap(), Some(cursor));
        for bad in ["", "x", "AAAA", &text[1..], &format!("{text}AAAA"), "%00", "%FF", &"A".repeat(9000)] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rejects_cursor_outside_supported_years() {
        let at = |micros: i64| {
            let bytes = [&micros.to_be_bytes()[..], &[7; 16]].concat();
            Query::parse(&format!("cursor={}", BASE64URL_NOPAD.encode(&bytes))).cursor().is_ok()
        };
        let last = DateTime::parse_from_rfc3339("9999-12-31T23:59:59.999999Z").unwrap().timestamp_micros();
        assert!(at(0) && at(last));
        for bad in [-1, last + 1, i64::MIN, i64::MAX, -210_866_803_200_000_001, 9_000_000_000_000_000_000] {
            assert!(!at(bad), "{bad}");
        }
        // Only `A`s decode to a time within the range.
        for c in ["0", "A", "_", "-", "z"] {
            let query = Query::parse(&format!("cursor={}", c.repeat(32)));
            assert_eq!(query.cursor().is_ok(), c == "A", "{c}");
        }
    }

    #[test]
    fn sequence_cursor_has_at_most_18_digits() {
        let read = |text: &str| Query::parse(&format!("cursor={text}")).sequence_cursor().ok();
        assert_eq!(
            (read("0"), read("7"), read(&"9".repeat(18))),
            (Some(0), Some(7), Some(999_999_999_999_999_999))
        );
        for bad in ["", "-1", "+1", "1.0", "1e3", "%00", &"9".repeat(19), &"0".repeat(19), "\u{662}"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
