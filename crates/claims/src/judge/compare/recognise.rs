//! Finds out in which way a value is nearly the expected one.
use std::collections::BTreeMap;

use super::characters::{CASE, Form, MARKS, QUOTES, SPACES, characters, fold, folded};
use super::difference::{distance, single_edit};
use super::notation::readings;
use super::{Flaw, RECOGNISED, Sample, Wanted, bare};

/// One in so many characters of the random part may be wrong, missing or too many in a value that is still recognised. Two
/// random parts are never so near: 160 bits in 32 letters.
const WRONG: usize = 4;
/// Letters of the beginning by which a value with another random part is recognised.
const BEGINNING: usize = 4;

/// How often `part` makes up the whole.
fn times(whole: &[char], part: &[char]) -> Option<usize> {
    let fits = !part.is_empty() && whole.len().is_multiple_of(part.len());
    (fits && whole.chunks(part.len()).all(|chunk| chunk == part)).then(|| whole.len() / part.len())
}

fn contains(whole: &[char], part: &[char]) -> bool {
    part.is_empty() || whole.windows(part.len()).any(|window| window == part)
}

impl Wanted<'_> {
    /// In which way a value other than the wanted one is nearly it.
    pub fn flaw(&self, sample: &Sample<'_>) -> Option<Flaw> {
        self.form(sample)
            .or_else(|| self.encoded(sample))
            .or_else(|| self.repeated(sample))
            .or_else(|| self.beginning(sample))
            .or_else(|| self.piece(sample))
    }

    /// In which way a value is nearly it that has none of these flaws and is no earlier one.
    pub fn imitation(&self, sample: &Sample<'_>) -> Option<Flaw> {
        self.surrounded(sample).or_else(|| self.mistyped(sample))
    }

    /// The right beginning and end, and between them another random part.
    pub fn other_token(&self, sample: &Sample<'_>) -> Option<Flaw> {
        let [prefix, token, suffix] = &self.parts;
        let other = sample.bare.strip_prefix(&**prefix)?.strip_suffix(&**suffix)?;
        let told = prefix.len() >= BEGINNING && !other.is_empty();
        told.then_some(Flaw::OtherToken { as_long: other.len() == token.len() })
    }

    /// Quotation marks, white space or capital letters are all the difference.
    fn form(&self, sample: &Sample<'_>) -> Option<Flaw> {
        if !sample.is_but_form(&self.bare) {
            return None;
        }
        let same = |form: Form| fold(&sample.whole, form) == fold(&self.whole, form);
        if same(SPACES) {
            return Some(self.space(sample));
        }
        if same(CASE) {
            return Some(Flaw::Case);
        }
        let more_marks = sample.marks() > Sample::of(self.value).marks();
        match sample.first_mark() {
            Some(mark) if more_marks || same(QUOTES) => Some(Flaw::Quoted(mark)),
            _ => Some(self.space(sample)),
        }
    }

    /// The first place where white space makes the difference.
    fn space(&self, sample: &Sample<'_>) -> Flaw {
        let same = |(a, b): &(&char, &char)| a.eq_ignore_ascii_case(b);
        let at = sample.whole.iter().zip(&self.whole).take_while(same).count();
        match sample.space_at(at) {
            Some(what) => Flaw::Space { what, place: at + 1 },
            None => Flaw::SpaceMissing { place: at + 1 },
        }
    }

    /// Characters are written as codes: those of URLs, of HTML, of e-mail, of zone files.
    fn encoded(&self, sample: &Sample<'_>) -> Option<Flaw> {
        let says_it = |plain: &[u8]| bare(plain) == self.bare || self.position(&characters(plain)).is_some();
        let (notation, code, _) = readings(sample.value).find(|(.., plain)| says_it(plain))?;
        // Where the whole value is legible, what stands around it is told.
        let legible = self.position(&sample.whole).is_some();
        let in_prefix = self.beginning(sample).is_some();
        (!legible).then_some(Flaw::Encoded { notation, code, in_prefix })
    }

    /// The value, or its random part, more than once.
    fn repeated(&self, sample: &Sample<'_>) -> Option<Flaw> {
        let separates = |c: &char| matches!(c, ',' | ';' | '|');
        let seen: Vec<char> = sample.bare.iter().copied().filter(|c| !separates(c)).collect();
        if let Some(times) = times(&seen, &self.bare).filter(|times| *times > 1) {
            return Some(Flaw::Doubled { times });
        }
        let [prefix, token, suffix] = &self.parts;
        let tokens = seen.strip_prefix(&**prefix)?.strip_suffix(&**suffix)?;
        times(tokens, token).filter(|times| *times > 1).map(|times| Flaw::TokenDoubled { times })
    }

    /// The random part is whole, and what stands before it is not as it has to be.
    fn beginning(&self, sample: &Sample<'_>) -> Option<Flaw> {
        let [prefix, token, suffix] = &self.parts;
        let before = sample.bare.strip_suffix(&**suffix)?.strip_suffix(&**token)?;
        if before.is_empty() {
            return (!prefix.is_empty()).then_some(Flaw::OnlyToken);
        }
        if !prefix.is_empty() && times(before, prefix).is_some_and(|times| times > 1) {
            return Some(Flaw::PrefixTwice);
        }
        let label = bare(self.record_name.split('.').next().unwrap_or(self.record_name).as_bytes());
        if !label.is_empty() && before.starts_with(&label) {
            return Some(Flaw::NamePasted);
        }
        let cut = prefix.ends_with(before);
        (!prefix.is_empty() && !cut && !contains(before, prefix)).then_some(Flaw::OtherPrefix)
    }

    /// A piece of the value, long enough to be recognised.
    fn piece(&self, sample: &Sample<'_>) -> Option<Flaw> {
        // As pages show values that are too long for them.
        let dots = ['.', '\u{2026}'];
        let trimmed = |text: &[char]| text.iter().rposition(|c| !dots.contains(c)).map_or(0, |last| last + 1);
        let end = trimmed(&sample.bare);
        if end == 0 || end >= self.bare.len() || !contains(&self.bare, &sample.bare[..end]) {
            return None;
        }
        // Of a piece the letters have to be right.
        let (seen, whole) = (fold(&sample.whole, MARKS), fold(&self.whole, MARKS));
        let seen = &seen[..trimmed(&seen)];
        let kept = seen.len();
        let [prefix, token, _] = &self.parts;
        if whole.starts_with(seen) && kept >= prefix.len().max(RECOGNISED) {
            return Some(Flaw::Truncated { kept, beginning: true });
        }
        let from = whole.windows(kept).position(|window| window == seen)?;
        let random = prefix.len()..prefix.len() + token.len();
        let of_token = (from + kept).min(random.end).saturating_sub(from.max(random.start));
        (of_token >= RECOGNISED).then_some(Flaw::Truncated { kept, beginning: false })
    }

    /// Where the whole value begins among these characters, in whatever case.
    fn position(&self, seen: &[char]) -> Option<usize> {
        let same = |part: &[char]| part.iter().zip(&self.whole).all(|(a, b)| a.eq_ignore_ascii_case(b));
        (!self.whole.is_empty()).then(|| seen.windows(self.whole.len()).position(same))?
    }

    /// The whole value with something around it.
    fn surrounded(&self, sample: &Sample<'_>) -> Option<Flaw> {
        let from = self.position(&sample.whole)?;
        let (before, after) = (&sample.whole[..from], &sample.whole[from + self.whole.len()..]);
        Some(Flaw::Surrounded { before: before.iter().collect(), after: after.iter().collect() })
    }

    /// Some characters are wrong, missing or too many.
    fn mistyped(&self, sample: &Sample<'_>) -> Option<Flaw> {
        let most = self.token.chars().count() / WRONG;
        let edits = distance(&sample.bare, &self.bare, most)?;
        Some(Flaw::Mistyped { edits, edit: single_edit(&sample.whole, &self.whole) })
    }

    /// Two of these values that make the wanted one: the one with its beginning, and the one with the rest.
    pub fn halves<'v>(&self, values: &'v [Vec<u8>]) -> Option<[&'v [u8]; 2]> {
        let whole = fold(&self.whole, MARKS);
        let mut sorted: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        sorted.sort_unstable_by(|a, b| b.cmp(a));
        // Of values that are the same piece the first by its bytes.
        let pieces: BTreeMap<Vec<char>, &[u8]> =
            sorted.into_iter().map(|value| (folded(value, MARKS), value)).collect();
        pieces.iter().filter(|(first, _)| !first.is_empty()).find_map(|(first, value)| {
            let rest = whole.strip_prefix(&**first).filter(|rest| !rest.is_empty() && rest != first)?;
            Some([*value, *pieces.get(rest)?])
        })
    }
}
