//! In which way a value that is not the expected one is nearly it. For messages alone: nothing here accepts a value.
use chrono::{DateTime, Utc};

use crate::Challenge;
use crate::diagnosis::Code;

/// Letters of the random part by which a piece of the value is recognised: 40 bits.
const RECOGNISED: usize = 8;

/// In which way a value is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Flaw {
    /// Two records make the value: the first piece ends after so many characters.
    Split { first: usize },
    /// Quotation marks or backslashes are part of it: the first one.
    Quoted(char),
    /// A character that nobody sees, and its place, counted from 1.
    Space { what: char, place: usize },
    /// A space is missing, and where.
    SpaceMissing { place: usize },
    /// Capital letters.
    Case,
    /// The whole value so many times.
    Doubled { times: usize },
    /// The random part so many times behind one beginning.
    TokenDoubled { times: usize },
    /// Only the random part.
    OnlyToken,
    /// What stands before the random part, twice.
    PrefixTwice,
    /// The random part behind something else than it belongs to.
    OtherPrefix,
    /// The record's name was pasted into the value.
    NamePasted,
    /// The value of an earlier claim of this holder.
    Earlier(DateTime<Utc>),
    /// Only a piece of so many characters; whether it is the beginning.
    Truncated { kept: usize, beginning: bool },
}

impl Flaw {
    pub const fn code(&self) -> Code {
        match self {
            Self::Split { .. } => Code::SplitOverRecords,
            Self::Quoted(_) => Code::ValueQuoted,
            Self::Space { .. } | Self::SpaceMissing { .. } => Code::ValueWhitespace,
            Self::Case => Code::ValueCase,
            Self::Doubled { .. } | Self::TokenDoubled { .. } => Code::ValueDoubled,
            Self::OnlyToken | Self::PrefixTwice | Self::OtherPrefix | Self::NamePasted => {
                Code::ValuePrefixMissing
            }
            Self::Earlier(_) => Code::ValueOfEarlierClaim,
            Self::Truncated { .. } => Code::ValueTruncated,
        }
    }

    /// Where several values are nearly right, the least says most.
    pub const fn rank(&self) -> u8 {
        match self {
            Self::Split { .. } => 0,
            Self::Quoted(_) => 1,
            Self::Space { .. } | Self::SpaceMissing { .. } => 2,
            Self::Case => 3,
            Self::Doubled { .. } | Self::TokenDoubled { .. } => 4,
            Self::NamePasted | Self::PrefixTwice => 5,
            Self::OnlyToken | Self::OtherPrefix => 6,
            Self::Truncated { .. } => 7,
            Self::Earlier(_) => 8,
        }
    }
}

/// What is passed over when two values are compared.
#[derive(Clone, Copy, Default)]
struct Form {
    quotes: bool,
    spaces: bool,
    case: bool,
}

const QUOTES: Form = Form { quotes: true, spaces: false, case: false };
const SPACES: Form = Form { quotes: false, spaces: true, case: false };
const CASE: Form = Form { quotes: false, spaces: false, case: true };
const MARKS: Form = Form { quotes: true, spaces: true, case: false };
const ANY: Form = Form { quotes: true, spaces: true, case: true };

fn is_quote(c: char) -> bool {
    matches!(
        c,
        '"' | '\'' | '\\' | '`' | '\u{b4}' | '\u{ab}' | '\u{bb}' | '\u{2018}'
            ..='\u{201f}' | '\u{2039}' | '\u{203a}' | '\u{ff02}' | '\u{ff07}'
    )
}

/// White space, control characters, and characters without any width.
fn is_space(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(c, '\u{ad}' | '\u{34f}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The characters of a value; bytes that are no UTF-8 as the code page of Western editors has them.
fn characters(value: &[u8]) -> Vec<char> {
    let western = |byte: u8| match byte {
        0x91 => '\u{2018}',
        0x92 => '\u{2019}',
        0x93 => '\u{201c}',
        0x94 => '\u{201d}',
        other => char::from(other),
    };
    let mut all = vec![];
    for chunk in value.utf8_chunks() {
        all.extend(chunk.valid().chars());
        all.extend(chunk.invalid().iter().copied().map(western));
    }
    all
}

fn folded(value: &[u8], form: Form) -> Vec<char> {
    let passed_over = |c: &char| (form.quotes && is_quote(*c)) || (form.spaces && is_space(*c));
    let fold = |c: char| if form.case { c.to_ascii_lowercase() } else { c };
    characters(value).into_iter().filter(|c| !passed_over(c)).map(fold).collect()
}

/// How often `part` makes up the whole.
fn times(whole: &[char], part: &[char]) -> Option<usize> {
    let fits = !part.is_empty() && whole.len().is_multiple_of(part.len());
    (fits && whole.chunks(part.len()).all(|chunk| chunk == part)).then(|| whole.len() / part.len())
}

/// The value that is looked for, and its parts.
pub(super) struct Wanted<'a> {
    pub value: &'a [u8],
    record_name: &'a str,
    token: &'a str,
    /// What stands before the random part; the whole value where that is not in it.
    prefix: &'a str,
    suffix: &'a str,
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
        Self { value: value.as_bytes(), record_name: &challenge.record_name, token, prefix, suffix }
    }

    /// What stands before the random part.
    pub fn prefix(&self) -> &'a str {
        self.prefix
    }

    fn same(&self, value: &[u8], form: Form) -> bool {
        folded(value, form) == folded(self.value, form)
    }

    /// Whether two values are the same apart from quotation marks, white space and capital letters.
    #[expect(clippy::unused_self, reason = "reads as a question about the value that is looked for")]
    pub fn is_same_but_form(&self, value: &[u8], other: &[u8]) -> bool {
        folded(value, ANY) == folded(other, ANY)
    }

    /// Whether a value is the one that is looked for, apart from its form.
    pub fn is_misspelt(&self, value: &[u8]) -> bool {
        self.same(value, ANY)
    }

    /// In which way a value other than the wanted one is nearly it.
    pub fn flaw(&self, value: &[u8]) -> Option<Flaw> {
        self.form(value)
            .or_else(|| self.repeated(value))
            .or_else(|| self.beginning(value))
            .or_else(|| self.piece(value))
    }

    fn form(&self, value: &[u8]) -> Option<Flaw> {
        if self.same(value, SPACES) {
            return Some(self.space(value));
        }
        if self.same(value, CASE) {
            return Some(Flaw::Case);
        }
        if !self.same(value, ANY) {
            return None;
        }
        let seen = characters(value);
        let marks = |of: &[char]| of.iter().filter(|c| is_quote(**c)).count();
        let more_marks = marks(&seen) > marks(&characters(self.value));
        match seen.iter().copied().find(|c| is_quote(*c)) {
            Some(mark) if more_marks || self.same(value, QUOTES) => Some(Flaw::Quoted(mark)),
            _ => Some(self.space(value)),
        }
    }

    /// The first place where white space makes the difference.
    fn space(&self, value: &[u8]) -> Flaw {
        let (seen, wanted) = (characters(value), characters(self.value));
        let same = |(a, b): &(&char, &char)| a.eq_ignore_ascii_case(b);
        let at = seen.iter().zip(&wanted).take_while(same).count();
        match seen.get(at).copied().filter(|c| is_space(*c)) {
            Some(what) => Flaw::Space { what, place: at + 1 },
            None => Flaw::SpaceMissing { place: at + 1 },
        }
    }

    fn repeated(&self, value: &[u8]) -> Option<Flaw> {
        let separated = |c: &char| !matches!(c, ',' | ';' | '|');
        let seen: Vec<char> = folded(value, ANY).into_iter().filter(separated).collect();
        let whole = folded(self.value, ANY);
        if let Some(times) = times(&seen, &whole).filter(|times| *times > 1) {
            return Some(Flaw::Doubled { times });
        }
        let [prefix, token, suffix] = self.parts();
        let tokens = seen.strip_prefix(&*prefix)?.strip_suffix(&*suffix)?;
        times(tokens, &token).filter(|times| *times > 1).map(|times| Flaw::TokenDoubled { times })
    }

    fn parts(&self) -> [Vec<char>; 3] {
        [self.prefix, self.token, self.suffix].map(|part| folded(part.as_bytes(), ANY))
    }

    /// The random part is whole, and what stands before it is not as it has to be.
    fn beginning(&self, value: &[u8]) -> Option<Flaw> {
        let seen = folded(value, ANY);
        let [prefix, token, suffix] = self.parts();
        let before = seen.strip_suffix(&*suffix)?.strip_suffix(&*token)?;
        if before.is_empty() {
            return (!prefix.is_empty()).then_some(Flaw::OnlyToken);
        }
        if !prefix.is_empty() && times(before, &prefix).is_some_and(|times| times > 1) {
            return Some(Flaw::PrefixTwice);
        }
        let before: String = before.iter().collect();
        let label = self.record_name.split('.').next().unwrap_or(self.record_name).to_ascii_lowercase();
        if before.starts_with(&label) {
            return Some(Flaw::NamePasted);
        }
        let prefix: String = prefix.iter().collect();
        let cut = !before.is_empty() && prefix.ends_with(&before);
        (!prefix.is_empty() && !cut && !before.contains(&prefix)).then_some(Flaw::OtherPrefix)
    }

    /// A piece of the value, long enough to be recognised.
    fn piece(&self, value: &[u8]) -> Option<Flaw> {
        let text = |chars: Vec<char>| chars.into_iter().collect::<String>();
        let seen = text(folded(value, MARKS));
        let whole = text(folded(self.value, MARKS));
        let kept = seen.chars().count();
        let prefix = text(folded(self.prefix.as_bytes(), MARKS));
        if seen.len() >= whole.len() || seen.is_empty() {
            return None;
        }
        if whole.starts_with(&seen) && seen.len() >= prefix.len().max(RECOGNISED) {
            return Some(Flaw::Truncated { kept, beginning: true });
        }
        let from = whole.find(&seen)?;
        let end = prefix.len() + self.token.len();
        let of_token = (from + seen.len()).min(end).saturating_sub(from.max(prefix.len()));
        (of_token >= RECOGNISED).then_some(Flaw::Truncated { kept, beginning: false })
    }

    /// Whether two of these values make the wanted one, in either order.
    pub fn joined(&self, values: &[Vec<u8>]) -> Option<Flaw> {
        let whole = folded(self.value, MARKS);
        let pieces: Vec<Vec<char>> =
            values.iter().map(|value| folded(value, MARKS)).filter(|piece| !piece.is_empty()).collect();
        for (index, first) in pieces.iter().enumerate() {
            let Some(rest) = whole.strip_prefix(&**first).filter(|rest| !rest.is_empty()) else { continue };
            let other = pieces.iter().enumerate().any(|(at, piece)| at != index && piece == rest);
            if other {
                return Some(Flaw::Split { first: first.len() });
            }
        }
        None
    }
}

/// A character that nobody sees, by name.
pub(super) fn name_of(c: char) -> String {
    match c {
        ' ' => "a space".to_owned(),
        '\t' => "a tab".to_owned(),
        '\n' => "a line break (LF)".to_owned(),
        '\r' => "a line break (CR)".to_owned(),
        '\0' => "a zero byte".to_owned(),
        '\u{a0}' => "a no-break space (U+00A0)".to_owned(),
        '\u{ad}' => "a soft hyphen (U+00AD)".to_owned(),
        '\u{200b}' => "a zero-width space (U+200B)".to_owned(),
        '\u{200c}' => "a zero-width non-joiner (U+200C)".to_owned(),
        '\u{200d}' => "a zero-width joiner (U+200D)".to_owned(),
        '\u{202f}' => "a narrow no-break space (U+202F)".to_owned(),
        '\u{2060}' => "a word joiner (U+2060)".to_owned(),
        '\u{feff}' => "a byte order mark (U+FEFF)".to_owned(),
        other if other.is_whitespace() => format!("white space (U+{:04X})", u32::from(other)),
        other if other.is_control() => format!("a control character (U+{:04X})", u32::from(other)),
        other => format!("an invisible character (U+{:04X})", u32::from(other)),
    }
}

/// A quotation mark, by name.
pub(super) fn mark_of(c: char) -> String {
    match c {
        '"' => "quotation marks (\")".to_owned(),
        '\'' => "apostrophes (')".to_owned(),
        '`' => "backticks (U+0060)".to_owned(),
        '\\' => "backslashes (\\)".to_owned(),
        other => format!("typographic quotation marks (U+{:04X})", u32::from(other)),
    }
}

#[cfg(test)]
mod tests;
