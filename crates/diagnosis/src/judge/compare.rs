//! Recognises values that are nearly the expected one. Only messages use the result: nothing here accepts a value.
mod candidate;
mod difference;
mod flaw;
mod notation;
mod recognise;

use crate::ExpectedRecord;
use crate::characters::{ALL, characters, fold_value};
use crate::escape::unescape_name;
pub(super) use candidate::Candidate;
pub(super) use difference::{Difference, Edit};
pub(super) use flaw::Flaw;
pub(super) use notation::Notation;

/// Characters of the token that a piece of the value needs in order to be recognised: 40 bits.
const MIN_RECOGNISED: usize = 8;

/// The expected value and its parts.
pub(super) struct ExpectedValue<'a> {
    pub value: &'a [u8],
    record_name: &'a str,
    token: &'a str,
    /// The part before the token; empty where the two cannot be told apart.
    prefix: &'a str,
    /// The characters of the value.
    chars: Vec<char>,
    /// The characters without quotation marks and white space, in lower case.
    folded: Vec<char>,
    /// The same of the prefix, the token and the suffix.
    folded_parts: [Vec<char>; 3],
}

impl<'a> ExpectedValue<'a> {
    pub fn of(record: ExpectedRecord<'a>) -> Self {
        let (value, token) = (record.value, record.token);
        let (prefix, token, suffix) = match value.split_once(token) {
            Some((prefix, suffix)) => (prefix, token, suffix),
            // A value that was given as a whole: most have the form `name=token`.
            None => match value.split_once('=') {
                Some((name, token)) if token.len() >= MIN_RECOGNISED => (&value[..=name.len()], token, ""),
                _ => ("", value, ""),
            },
        };
        let value = value.as_bytes();
        Self {
            value,
            record_name: record.name,
            token,
            prefix,
            chars: characters(value),
            folded: fully_folded(value),
            folded_parts: [prefix, token, suffix].map(|part| fully_folded(part.as_bytes())),
        }
    }

    /// The length of the value in characters.
    pub fn length(&self) -> usize {
        self.chars.len()
    }

    /// The part before the token.
    pub fn prefix(&self) -> &'a str {
        self.prefix
    }

    /// The first difference between a value and the expected one.
    pub fn difference(&self, value: &[u8]) -> Option<Difference> {
        Difference::between(&characters(value), &self.chars)
    }

    /// Values in the order in which a message lists them: the expected value, those with its prefix, all others; each
    /// group by byte order.
    pub fn nearest_first<'v>(&self, values: impl IntoIterator<Item = &'v [u8]>) -> Vec<&'v [u8]> {
        let [prefix, ..] = &self.folded_parts;
        let mut sorted: Vec<&[u8]> = values.into_iter().collect();
        sorted.sort_by_cached_key(|value| {
            let has_prefix = !prefix.is_empty() && fully_folded(value).starts_with(prefix);
            (*value != self.value, !has_prefix, *value)
        });
        sorted.dedup();
        sorted
    }

    /// Whether a value can only be meant for this claim: it contains the token, or nearly all of it.
    pub fn is_meant_for_claim(&self, value: &[u8]) -> bool {
        let candidate = Candidate::of(value);
        let flaw = self.flaw(&candidate).or_else(|| self.loose_flaw(&candidate));
        !matches!(flaw, None | Some(Flaw::Truncated { .. }))
    }

    /// Whether a name spells the value, as an editor makes it that expects a name: in lower case, and with the zone or
    /// the record's name appended.
    pub fn is_spelled_as_name(&self, name: &str) -> bool {
        let name = unescape_name(name);
        let end = |name: &[u8], suffix: &str| {
            let stem = name.len().checked_sub(suffix.len() + 1)?;
            let fits = name[stem] == b'.' && name[stem + 1..].eq_ignore_ascii_case(suffix.as_bytes());
            fits.then_some(stem)
        };
        let above = |name: &&'a str| name.split_once('.').map(|(_, above)| above);
        let suffixes = std::iter::successors(Some(self.record_name), above);
        let stems = suffixes.filter_map(|suffix| end(&name, suffix)).map(|stem| &name[..stem]);
        // A name may contain a short token by chance.
        let certain = self.token.len() >= 2 * MIN_RECOGNISED;
        std::iter::once(&*name)
            .chain(stems)
            .any(|stem| stem.eq_ignore_ascii_case(self.value) || (certain && self.is_meant_for_claim(stem)))
    }
}

/// The characters of a value without quotation marks and white space, in lower case.
pub(super) fn fully_folded(value: &[u8]) -> Vec<char> {
    fold_value(value, ALL)
}

#[cfg(test)]
mod tests;
