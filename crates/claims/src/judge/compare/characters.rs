//! Characters of a value: how bytes become characters, and how each is named in a message, also an invisible one.

/// What is passed over when two values are compared.
#[derive(Clone, Copy, Default)]
pub(super) struct Form {
    pub quotes: bool,
    pub spaces: bool,
    pub case: bool,
}

pub(super) const QUOTES: Form = Form { quotes: true, spaces: false, case: false };
pub(super) const SPACES: Form = Form { quotes: false, spaces: true, case: false };
pub(super) const CASE: Form = Form { quotes: false, spaces: false, case: true };
pub(super) const MARKS: Form = Form { quotes: true, spaces: true, case: false };
pub(super) const ANY: Form = Form { quotes: true, spaces: true, case: true };

pub(super) fn is_quote(c: char) -> bool {
    matches!(
        c,
        '"' | '\'' | '\\' | '`' | '\u{b4}' | '\u{ab}' | '\u{bb}' | '\u{2018}'
            ..='\u{201f}' | '\u{2039}' | '\u{203a}' | '\u{ff02}' | '\u{ff07}'
    )
}

/// White space, control characters, and characters without any width.
pub(super) fn is_space(c: char) -> bool {
    if c.is_ascii_graphic() {
        return false;
    }
    c.is_whitespace()
        || c.is_control()
        || matches!(c, '\u{ad}' | '\u{34f}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The characters of a value; bytes that are no UTF-8 as the code page of Western editors has them.
pub(super) fn characters(value: &[u8]) -> Vec<char> {
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

/// These characters, in a form.
pub(super) fn fold(characters: &[char], form: Form) -> Vec<char> {
    let passed_over = |c: char| (form.quotes && is_quote(c)) || (form.spaces && is_space(c));
    let cased = |c: char| if form.case { c.to_ascii_lowercase() } else { c };
    characters.iter().copied().filter(|c| !passed_over(*c)).map(cased).collect()
}

/// The characters of a value, in a form.
pub(super) fn folded(value: &[u8], form: Form) -> Vec<char> {
    fold(&characters(value), form)
}

/// A character of a value, by name: one that is visible ASCII as it is, any other by its code point.
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
        other => match twin_of(other) {
            Some(twin) => return format!("a character that looks like `{twin}` (U+{point:04X})"),
            None => "the character",
        },
    };
    if what == "the character" { format!("{what} U+{point:04X}") } else { format!("{what} (U+{point:04X})") }
}

/// Quotation marks of one kind, by name.
pub(crate) fn marks_name(c: char) -> String {
    match c {
        '"' => "quotation marks (\")".to_owned(),
        '\'' => "apostrophes (')".to_owned(),
        '`' => "backticks (U+0060)".to_owned(),
        '\\' => "backslashes (\\)".to_owned(),
        other => format!("typographic quotation marks (U+{:04X})", u32::from(other)),
    }
}

/// Characters, and the ASCII ones that they look like.
const TWINS: [(&str, &str); 3] = [
    // Cyrillic.
    ("аеорсхуіјѕһԁԛԝӏвкмнтАВЕКМНОРСТХЅІЈУ", "aeopcxyijshdqwlbkmhtABEKMHOPCTXSIJY"),
    // Greek.
    ("οανικρτυχγΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "oavikptuxyABEZHIKMNOPTYX"),
    // Latin letters and signs.
    ("ıɡſł‐‑‒–—―−﹘﹣․…‚꞊═", "igsl---------..,=="),
];

/// The ASCII character that one of another script, or a typographic one, looks like.
fn twin_of(c: char) -> Option<char> {
    if let '\u{ff01}'..='\u{ff5e}' = c {
        // Full-width forms are those of ASCII, shifted.
        return char::from_u32(u32::from(c) - 0xfee0);
    }
    TWINS
        .iter()
        .find_map(|(from, to)| from.chars().position(|twin| twin == c).and_then(|at| to.chars().nth(at)))
}

/// Whether two ASCII characters are mistaken for each other.
pub(in crate::judge) fn look_alike(one: char, other: char) -> bool {
    ["lI1i|!", "O0oQD", "S5s", "Z2z", "B8", "-_"]
        .iter()
        .any(|group| group.contains(one) && group.contains(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_named_so_that_they_can_be_told_apart() {
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
    fn every_twin_has_its_ascii_character() {
        for (from, to) in TWINS {
            assert_eq!(from.chars().count(), to.chars().count());
        }
        for c in '\u{80}'..='\u{ffff}' {
            assert!(twin_of(c).is_none_or(|twin| twin.is_ascii_graphic()), "{c:?}");
        }
        for (c, twin) in [('у', 'y'), ('Y', 'Y'), ('Χ', 'X'), ('═', '='), ('…', '.')] {
            assert!(c == twin || twin_of(c) == Some(twin), "{c:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_utf_8_are_read_as_editors_wrote_them() {
        assert_eq!(characters(b"a\x93\xe9\x96\xc3\xa9"), ['a', '\u{201c}', '\u{e9}', '\u{2013}', '\u{e9}']);
    }
}
