//! Characters of a value: decoding from bytes, folding for comparison, and names for messages.

/// Differences that a comparison ignores.
#[derive(Clone, Copy, Default)]
pub(crate) struct Folding {
    pub quotes: bool,
    pub spaces: bool,
    pub case: bool,
}

pub(crate) const QUOTES: Folding = Folding { quotes: true, spaces: false, case: false };
pub(crate) const SPACES: Folding = Folding { quotes: false, spaces: true, case: false };
pub(crate) const CASE: Folding = Folding { quotes: false, spaces: false, case: true };
pub(crate) const QUOTES_AND_SPACES: Folding = Folding { quotes: true, spaces: true, case: false };
pub(crate) const ALL: Folding = Folding { quotes: true, spaces: true, case: true };

/// Whether a character is a quotation mark, straight or typographic, or a backslash.
pub(crate) fn is_quote(c: char) -> bool {
    matches!(
        c,
        '"' | '\'' | '\\' | '`' | '\u{b4}' | '\u{ab}' | '\u{bb}' | '\u{2018}'
            ..='\u{201f}' | '\u{2039}' | '\u{203a}' | '\u{ff02}' | '\u{ff07}'
    )
}

/// Whether a character is white space, a control character, or has no width.
pub(crate) fn is_space(c: char) -> bool {
    if c.is_ascii_graphic() {
        return false;
    }
    c.is_whitespace()
        || c.is_control()
        || matches!(c, '\u{ad}' | '\u{34f}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The characters of a value. Bytes that are not UTF-8 are read as Windows-1252.
pub(crate) fn characters(value: &[u8]) -> Vec<char> {
    let western = |byte: u8| match byte {
        0x91 => '\u{2018}',
        0x92 => '\u{2019}',
        0x93 => '\u{201c}',
        0x94 => '\u{201d}',
        0x96 => '\u{2013}',
        0x97 => '\u{2014}',
        other => char::from(other),
    };
    let mut all = Vec::with_capacity(value.len());
    for chunk in value.utf8_chunks() {
        all.extend(chunk.valid().chars());
        all.extend(chunk.invalid().iter().copied().map(western));
    }
    all
}

/// These characters without the ignored differences.
pub(crate) fn fold(characters: &[char], folding: Folding) -> Vec<char> {
    let ignored = |c: char| (folding.quotes && is_quote(c)) || (folding.spaces && is_space(c));
    let cased = |c: char| if folding.case { c.to_ascii_lowercase() } else { c };
    characters.iter().copied().filter(|c| !ignored(*c)).map(cased).collect()
}

/// The characters of a value without the ignored differences.
pub(crate) fn fold_value(value: &[u8], folding: Folding) -> Vec<char> {
    fold(&characters(value), folding)
}

/// The name of a character for messages: visible ASCII as it is, everything else with its code point.
pub(crate) fn character_name(c: char) -> String {
    let point = u32::from(c);
    let what = match c {
        '`' => "a backtick",
        '!'..='~' => return format!("`{c}`"),
        ' ' => "a space",
        '\t' => "a tab",
        '\n' | '\r' => "a line break",
        '\0' => "a zero byte",
        '\u{a0}' => "a no-break space",
        '\u{ad}' => "a soft hyphen",
        '\u{200b}' => "a zero-width space",
        '\u{200c}' => "a zero-width non-joiner",
        '\u{200d}' => "a zero-width joiner",
        '\u{202f}' => "a narrow no-break space",
        '\u{2060}' => "a word joiner",
        '\u{feff}' => "a byte order mark",
        other if other.is_whitespace() => "white space",
        other if other.is_control() => "a control character",
        other if is_space(other) => "an invisible character",
        other if is_quote(other) => "a typographic quotation mark",
        other => match confusable_with(other) {
            Some(twin) => return format!("a character that looks like `{twin}` (U+{point:04X})"),
            None => "the character",
        },
    };
    if what == "the character" { format!("{what} U+{point:04X}") } else { format!("{what} (U+{point:04X})") }
}

/// The name of quotation marks of one kind, for messages.
pub(crate) fn quotes_name(c: char) -> String {
    match c {
        '"' => "quotation marks (\")".to_owned(),
        '\'' => "apostrophes (')".to_owned(),
        '`' => "backticks (U+0060)".to_owned(),
        '\\' => "backslashes (\\)".to_owned(),
        other => format!("typographic quotation marks (U+{:04X})", u32::from(other)),
    }
}

/// Confusable characters (UTS 39), and the ASCII characters that they look like.
const CONFUSABLES: [(&str, &str); 3] = [
    // Cyrillic.
    ("аеорсхуіјѕһԁԛԝӏвкмнтАВЕКМНОРСТХЅІЈУ", "aeopcxyijshdqwlbkmhtABEKMHOPCTXSIJY"),
    // Greek.
    ("οανικρτυχγΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "oavikptuxyABEZHIKMNOPTYX"),
    // Latin letters and signs.
    ("ıɡſł‐‑‒–—―−﹘﹣․…‚꞊═", "igsl---------..,=="),
];

/// The ASCII character that a character of another script, or a typographic one, looks like.
fn confusable_with(c: char) -> Option<char> {
    if let '\u{ff01}'..='\u{ff5e}' = c {
        // Full-width forms are ASCII with an offset.
        return char::from_u32(u32::from(c) - 0xfee0);
    }
    CONFUSABLES
        .iter()
        .find_map(|(from, to)| from.chars().position(|twin| twin == c).and_then(|at| to.chars().nth(at)))
}

/// Whether two ASCII characters look alike.
pub(crate) fn are_confusable(one: char, other: char) -> bool {
    ["lI1i|!", "O0oQD", "S5s", "Z2z", "B8", "-_"]
        .iter()
        .any(|group| group.contains(one) && group.contains(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_characters_unambiguously() {
        for (c, name) in [
            ('a', "`a`"),
            ('`', "a backtick (U+0060)"),
            (' ', "a space (U+0020)"),
            ('\r', "a line break (U+000D)"),
            ('\u{7f}', "a control character (U+007F)"),
            ('\u{3000}', "white space (U+3000)"),
            ('\u{200e}', "an invisible character (U+200E)"),
            ('\u{201c}', "a typographic quotation mark (U+201C)"),
            ('\u{430}', "a character that looks like `a` (U+0430)"),
            ('\u{2013}', "a character that looks like `-` (U+2013)"),
            ('\u{ff1d}', "a character that looks like `=` (U+FF1D)"),
            ('\u{4e2d}', "the character U+4E2D"),
            ('\u{1f600}', "the character U+1F600"),
        ] {
            assert_eq!(character_name(c), name);
        }
    }

    #[test]
    fn maps_confusables_to_visible_ascii() {
        for (from, to) in CONFUSABLES {
            assert_eq!(from.chars().count(), to.chars().count());
        }
        for c in '\u{80}'..='\u{ffff}' {
            assert!(confusable_with(c).is_none_or(|twin| twin.is_ascii_graphic()), "{c:?}");
        }
        for (c, twin) in [('у', 'y'), ('Y', 'Y'), ('Χ', 'X'), ('═', '='), ('…', '.')] {
            assert!(c == twin || confusable_with(c) == Some(twin), "{c:?}");
        }
    }

    #[test]
    fn reads_invalid_utf_8_as_windows_1252() {
        assert_eq!(characters(b"a\x93\xe9\x96\xc3\xa9"), ['a', '\u{201c}', '\u{e9}', '\u{2013}', '\u{e9}']);
    }
}
