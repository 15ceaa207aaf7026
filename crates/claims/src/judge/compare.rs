//! Recognises values that are nearly the expected one, for messages alone: nothing here accepts a value.
mod characters;
mod difference;
mod flaw;
mod notation;
mod recognise;
mod sample;

use crate::Challenge;
use crate::foreign::unescaped;
pub(super) use characters::look_alike;
use characters::{ANY, characters, folded};
pub(crate) use characters::{character_name, marks_name};
pub(super) use difference::{Difference, Edit};
pub(super) use flaw::Flaw;
pub(super) use notation::Notation;
pub(super) use sample::Sample;

/// Letters of the random part by which a piece of the value is recognised: 40 bits.
const RECOGNISED: usize = 8;

/// The value that is looked for, and its parts.
pub(super) struct Wanted<'a> {
    pub value: &'a [u8],
    record_name: &'a str,
    token: &'a str,
    /// What stands before the random part; nothing where that cannot be told from the rest.
    prefix: &'a str,
    /// The characters of the value.
    whole: Vec<char>,
    /// Those that are left without marks, white space and capital letters; and so of its parts: what stands before the
    /// random part, that part, what stands behind it.
    bare: Vec<char>,
    parts: [Vec<char>; 3],
}

impl<'a> Wanted<'a> {
    pub fn of(challenge: &'a Challenge) -> Self {
        let (value, token) = (&*challenge.record_value, challenge.token.as_str());
        let (prefix, token, suffix) = match value.split_once(token) {
            Some((prefix, suffix)) => (prefix, token, suffix),
            // A value that was given as a whole: `name=token` is what most look like.
            None => match value.split_once('=') {
                Some((name, token)) if token.len() >= RECOGNISED => (&value[..=name.len()], token, ""),
                _ => ("", value, ""),
            },
        };
        let value = value.as_bytes();
        Self {
            value,
            record_name: &challenge.record_name,
            token,
            prefix,
            whole: characters(value),
            bare: bare(value),
            parts: [prefix, token, suffix].map(|part| bare(part.as_bytes())),
        }
    }

    /// Characters of the value.
    pub fn length(&self) -> usize {
        self.whole.len()
    }

    /// What stands before the random part.
    pub fn prefix(&self) -> &'a str {
        self.prefix
    }

    /// Where a value differs first from the one that is looked for.
    pub fn difference(&self, value: &[u8]) -> Option<Difference> {
        Difference::between(&characters(value), &self.whole)
    }

    /// Values in the order in which they are told, whatever order they came in: the one that is looked for, those that begin
    /// like it, all others; and each by its bytes.
    pub fn nearest_first<'v>(&self, values: impl IntoIterator<Item = &'v [u8]>) -> Vec<&'v [u8]> {
        let [prefix, ..] = &self.parts;
        let mut sorted: Vec<&[u8]> = values.into_iter().collect();
        sorted.sort_by_cached_key(|value| {
            let alike = !prefix.is_empty() && bare(value).starts_with(prefix);
            (*value != self.value, !alike, *value)
        });
        sorted.dedup();
        sorted
    }

    /// Whether a value can only be meant for this claim: the random part, or nearly all of it, is in it.
    pub fn is_meant(&self, value: &[u8]) -> bool {
        let sample = Sample::of(value);
        let flaw = self.flaw(&sample).or_else(|| self.imitation(&sample));
        !matches!(flaw, None | Some(Flaw::Truncated { .. }))
    }

    /// Whether a name is the value, as an editor makes it that wants a name there: in lower case, and with the zone or the
    /// record's name behind it.
    pub fn is_name(&self, name: &str) -> bool {
        let name = unescaped(name);
        let end = |name: &[u8], suffix: &str| {
            let stem = name.len().checked_sub(suffix.len() + 1)?;
            let fits = name[stem] == b'.' && name[stem + 1..].eq_ignore_ascii_case(suffix.as_bytes());
            fits.then_some(stem)
        };
        let above = |name: &&'a str| name.split_once('.').map(|(_, above)| above);
        let suffixes = std::iter::successors(Some(self.record_name), above);
        let stems = suffixes.filter_map(|suffix| end(&name, suffix)).map(|stem| &name[..stem]);
        // A name may well hold a short word, and be meant as a name.
        let certain = self.token.len() >= 2 * RECOGNISED;
        std::iter::once(&*name)
            .chain(stems)
            .any(|stem| stem.eq_ignore_ascii_case(self.value) || (certain && self.is_meant(stem)))
    }
}

/// The characters of a value without marks, white space and capital letters.
pub(super) fn bare(value: &[u8]) -> Vec<char> {
    folded(value, ANY)
}

#[cfg(test)]
mod tests;
