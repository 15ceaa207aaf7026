//! Parses timestamps of the log (RFC 3339): a fast path for the form that Deed writes, and chrono for every other form.
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, ParseError, Utc};
use serde::{Deserialize, Deserializer};

use crate::id::from_text;

/// A timestamp that is parsed from its text.
struct Timestamp(DateTime<Utc>);

impl FromStr for Timestamp {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse_canonical(text).map_or_else(|| text.parse(), Ok).map(Self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer)
    }
}

/// Deserializes a timestamp.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
    Timestamp::deserialize(deserializer).map(|Timestamp(at)| at)
}

/// Deserializes a timestamp that may be absent.
pub(crate) fn deserialize_option<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<DateTime<Utc>>, D::Error> {
    Ok(Option::<Timestamp>::deserialize(deserializer)?.map(|Timestamp(at)| at))
}

/// Parses the form that Deed writes: `2026-05-28T20:26:40Z`, with or without a fraction. None for every other form.
fn parse_canonical(text: &str) -> Option<DateTime<Utc>> {
    let (day, time) = text.as_bytes().split_at_checked(10)?;
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = day else { return None };
    let &[b'T', h1, h2, b':', n1, n2, b':', s1, s2, ref fraction @ .., b'Z'] = time else { return None };
    let date = NaiveDate::from_ymd_opt(
        number(&[y1, y2, y3, y4])?.try_into().ok()?,
        number(&[m1, m2])?,
        number(&[d1, d2])?,
    )?;
    let nanos = match fraction {
        [] => 0,
        [b'.', digits @ ..] if (1..=9).contains(&digits.len()) => {
            (digits.len()..9).try_fold(number(digits)?, |nanos, _| nanos.checked_mul(10))?
        }
        _ => return None,
    };
    let time = date.and_hms_nano_opt(number(&[h1, h2])?, number(&[n1, n2])?, number(&[s1, s2])?, nanos)?;
    Some(time.and_utc())
}

/// The number that at most nine digits stand for.
fn number(digits: &[u8]) -> Option<u32> {
    digits
        .iter()
        .try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parses_the_canonical_form_only() {
        for text in ["2026-05-28T20:26:40Z", "2026-05-28T20:26:40.123456Z", "1969-12-31T23:59:59.5Z"] {
            assert_eq!(parse_canonical(text), text.parse().ok(), "{text}");
            assert!(parse_canonical(text).is_some());
        }
        // A leap second, an offset, a lower-case letter: left to chrono.
        for text in ["2016-12-31T23:59:60Z", "2026-05-28T20:26:40+01:00", "2026-05-28t20:26:40Z", "", "é"] {
            assert_eq!(parse_canonical(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn reads_back_every_timestamp(micros in -62_135_596_800_000_000_i64..253_402_300_800_000_000) {
            let at = DateTime::from_timestamp_micros(micros).unwrap();
            let json = serde_json::to_string(&at).unwrap();
            prop_assert_eq!(deserialize(&mut serde_json::Deserializer::from_str(&json)).unwrap(), at);
            prop_assert_eq!(parse_canonical(json.trim_matches('"')), Some(at));
        }

        #[test]
        fn agrees_with_chrono(
            text in "[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-6][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{0,10})?Z"
        ) {
            if let Some(at) = parse_canonical(&text) {
                prop_assert_eq!(Ok(at), text.parse());
            }
        }
    }
}
