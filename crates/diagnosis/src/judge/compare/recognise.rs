//! Finds the flaw that makes a value differ from the expected one.
use std::collections::BTreeMap;

use super::difference::{distance, single_edit};
use super::notation::decodings;
use super::{Candidate, ExpectedValue, Flaw, MIN_RECOGNISED, fully_folded};
use crate::characters::{CASE, Folding, QUOTES, QUOTES_AND_SPACES, SPACES, characters, fold, fold_value};

/// A value is still recognised with one edit per this many characters of the token. Two random tokens are never so
/// near: 160 bits in 32 characters.
const CHARS_PER_EDIT: usize = 4;
/// The shortest prefix by which a value with another token is recognised.
const MIN_PREFIX: usize = 4;

/// How often `part` is repeated, where the text consists of nothing else.
fn repetitions(text: &[char], part: &[char]) -> Option<usize> {
    let fits = !part.is_empty() && text.len().is_multiple_of(part.len());
    (fits && text.chunks(part.len()).all(|chunk| chunk == part)).then(|| text.len() / part.len())
}

fn contains(text: &[char], part: &[char]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}

impl ExpectedValue<'_> {
    /// The flaw of a value other than the expected one, if it is a near match.
    pub fn flaw(&self, candidate: &Candidate<'_>) -> Option<Flaw> {
        self.form_flaw(candidate)
            .or_else(|| self.encoded(candidate))
            .or_else(|| self.repeated(candidate))
            .or_else(|| self.prefix_flaw(candidate))
            .or_else(|| self.truncated(candidate))
    }

    /// The flaw of a value that has none of the flaws above and is no earlier value of the holder.
    pub fn loose_flaw(&self, candidate: &Candidate<'_>) -> Option<Flaw> {
        self.surrounded(candidate).or_else(|| self.mistyped(candidate))
    }

    /// The right prefix and suffix around another token.
    pub fn other_token(&self, candidate: &Candidate<'_>) -> Option<Flaw> {
        let [prefix, token, suffix] = &self.folded_parts;
        let other = candidate.folded.strip_prefix(&**prefix)?.strip_suffix(&**suffix)?;
        let recognised = prefix.len() >= MIN_PREFIX && !other.is_empty();
        recognised.then_some(Flaw::OtherToken { as_long: other.len() == token.len() })
    }

    /// Only quotation marks, white space or case differ.
    fn form_flaw(&self, candidate: &Candidate<'_>) -> Option<Flaw> {
        if !candidate.equals_folded(&self.folded) {
            return None;
        }
        let same = |ignored: Folding| fold(&candidate.chars, ignored) == fold(&self.chars, ignored);
        if same(SPACES) {
            return Some(self.space_flaw(candidate));
        }
        if same(CASE) {
            return Some(Flaw::Case);
        }
        let more_quotes = candidate.quote_count() > Candidate::of(self.value).quote_count();
        match candidate.first_quote() {
            Some(mark) if more_quotes || same(QUOTES) => Some(Flaw::Quoted(mark)),
            _ => Some(self.space_flaw(candidate)),
        }
    }

    /// The first place where white space differs.
    fn space_flaw(&self, candidate: &Candidate<'_>) -> Flaw {
        let same = |(a, b): &(&char, &char)| a.eq_ignore_ascii_case(b);
        let at = candidate.chars.iter().zip(&self.chars).take_while(same).count();
        match candidate.space_at(at) {
            Some(what) => Flaw::Space { what, place: at + 1 },
            None => Flaw::SpaceMissing { place: at + 1 },
        }
    }

    /// Characters are written as escape codes of URLs, HTML, e-mail or zone files.
    fn encoded(&self, candidate: &Candidate<'_>) -> Option<Flaw> {
        let is_value =
            |plain: &[u8]| fully_folded(plain) == self.folded || self.position(&characters(plain)).is_some();
        let (notation, code, _) = decodings(candidate.value).find(|(.., plain)| is_value(plain))?;
        // Where the whole value is legible, the flaw is the text around it.
        let legible = self.position(&candidate.chars).is_some();
        let in_prefix = self.prefix_flaw(candidate).is_some();
        (!legible).then_some(Flaw::Encoded { notation, code, in_prefix })
    }

    /// The value, or its token, more than once.
    fn repeated(&self, candidate: &Candidate<'_>) -> Option<Flaw> {
        let is_separator = |c: &char| matches!(c, ',' | ';' | '|');
        let found: Vec<char> = candidate.folded.iter().copied().filter(|c| !is_separator(c)).collect();
        if let Some(times) = repetitions(&found, &self.folded).filter(|times| *times > 1) {
            return Some(Flaw::Doubled { times });
        }
        let [prefix, token, suffix] = &self.folded_parts;
        let tokens = found.strip_prefix(&**prefix)?.strip_suffix(&**suffix)?;
        repetitions(tokens, token).filter(|times| *times > 1).map(|times| Flaw::TokenDoubled { times })
    }

    /// The token is complete, and the text before it is not the prefix.
    fn prefix_flaw(&self, candidate: &Candidate<'_>) -> Option<Flaw> {
        let [prefix, token, suffix] = &self.folded_parts;
        let before = candidate.folded.strip_suffix(&**suffix)?.strip_suffix(&**token)?;
        if before.is_empty() {
            return (!prefix.is_empty()).then_some(Flaw::OnlyToken);
        }
        if !prefix.is_empty() && repetitions(before, prefix).is_some_and(|times| times > 1) {
            return Some(Flaw::PrefixTwice);
        }
        let label = fully_folded(self.record_name.split('.').next().unwrap_or(self.record_name).as_bytes());
        if !label.is_empty() && before.starts_with(&label) {
            return Some(Flaw::NamePasted);
        }
        let cut = prefix.ends_with(before);
        (!prefix.is_empty() && !cut && !contains(before, prefix)).then_some(Flaw::OtherPrefix)
    }

    /// A piece of the value that is long enough to be recognised.
    fn truncated(&self, candidate: &Candidate<'_>) -> Option<Flaw> {
        // Web pages cut long values and append dots.
        let dots = ['.', '\u{2026}'];
        let trimmed = |text: &[char]| text.iter().rposition(|c| !dots.contains(c)).map_or(0, |last| last + 1);
        let end = trimmed(&candidate.folded);
        if end == 0 || end >= self.folded.len() || !contains(&self.folded, &candidate.folded[..end]) {
            return None;
        }
        // In a piece the case of the letters counts.
        let piece = fold(&candidate.chars, QUOTES_AND_SPACES);
        let whole = fold(&self.chars, QUOTES_AND_SPACES);
        let piece = &piece[..trimmed(&piece)];
        let kept = piece.len();
        let [prefix, token, _] = &self.folded_parts;
        if whole.starts_with(piece) && kept >= prefix.len().max(MIN_RECOGNISED) {
            return Some(Flaw::Truncated { kept, beginning: true });
        }
        let from = whole.windows(kept).position(|window| window == piece)?;
        let token = prefix.len()..prefix.len() + token.len();
        let of_token = (from + kept).min(token.end).saturating_sub(from.max(token.start));
        (of_token >= MIN_RECOGNISED).then_some(Flaw::Truncated { kept, beginning: false })
    }

    /// Where the whole value begins in a text, regardless of case.
    fn position(&self, text: &[char]) -> Option<usize> {
        let same = |part: &[char]| part.iter().zip(&self.chars).all(|(a, b)| a.eq_ignore_ascii_case(b));
        (!self.chars.is_empty()).then(|| text.windows(self.chars.len()).position(same))?
    }

    /// The whole value with other text around it.
    fn surrounded(&self, candidate: &Candidate<'_>) -> Option<Flaw> {
        let from = self.position(&candidate.chars)?;
        let (before, after) = (&candidate.chars[..from], &candidate.chars[from + self.chars.len()..]);
        Some(Flaw::Surrounded { before: before.iter().collect(), after: after.iter().collect() })
    }

    /// Some characters are wrong, missing or inserted.
    fn mistyped(&self, candidate: &Candidate<'_>) -> Option<Flaw> {
        let most = self.token.chars().count() / CHARS_PER_EDIT;
        let edits = distance(&candidate.folded, &self.folded, most)?;
        Some(Flaw::Mistyped { edits, edit: single_edit(&candidate.chars, &self.chars) })
    }

    /// Two of these values that together are the expected one: the beginning and the rest.
    pub fn halves<'v>(&self, values: &'v [Vec<u8>]) -> Option<[&'v [u8]; 2]> {
        let whole = fold(&self.chars, QUOTES_AND_SPACES);
        let mut sorted: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        sorted.sort_unstable_by(|a, b| b.cmp(a));
        // Of values that fold to the same piece, the first by byte order.
        let pieces: BTreeMap<Vec<char>, &[u8]> =
            sorted.into_iter().map(|value| (fold_value(value, QUOTES_AND_SPACES), value)).collect();
        pieces.iter().filter(|(first, _)| !first.is_empty()).find_map(|(first, value)| {
            let rest = whole.strip_prefix(&**first).filter(|rest| !rest.is_empty() && rest != first)?;
            Some([*value, *pieces.get(rest)?])
        })
    }
}
