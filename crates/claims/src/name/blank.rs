//! Blanks: invisible characters that a pasted name may contain.
use std::fmt;

/// Whether a character is invisible: white space (Unicode's property `White_Space`), zero-width characters that allow
/// or forbid a line break, the byte order mark, and marks of text direction.
pub(super) fn is_blank(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200b}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'
                | '\u{2066}'..='\u{2069}'
                | '\u{feff}'
        )
}

/// The text without blanks and soft hyphens at its ends. Within a name UTS 46 ignores soft hyphens.
pub(super) fn trimmed(text: &str) -> &str {
    text.trim_matches(|c| is_blank(c) || c == '\u{ad}')
}

/// Displays an invisible character by its name and code point: `a no-break space (U+00A0)`.
pub(super) struct BlankName(pub(super) char);

impl fmt::Display for BlankName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (U+{:04X})", name(self.0), u32::from(self.0))
    }
}

fn name(c: char) -> &'static str {
    match c {
        '\t' => "a tab",
        '\n' | '\u{b}' | '\u{c}' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => "a line break",
        ' ' => "a space",
        '\u{a0}' => "a no-break space",
        '\u{61c}' => "an Arabic letter mark",
        '\u{1680}' => "an Ogham space mark",
        '\u{2000}' => "an en quad",
        '\u{2001}' => "an em quad",
        '\u{2002}' => "an en space",
        '\u{2003}' => "an em space",
        '\u{2004}' => "a three-per-em space",
        '\u{2005}' => "a four-per-em space",
        '\u{2006}' => "a six-per-em space",
        '\u{2007}' => "a figure space",
        '\u{2008}' => "a punctuation space",
        '\u{2009}' => "a thin space",
        '\u{200a}' => "a hair space",
        '\u{200b}' => "a zero width space",
        '\u{200e}' => "a left-to-right mark",
        '\u{200f}' => "a right-to-left mark",
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => "a mark of text direction",
        '\u{202f}' => "a narrow no-break space",
        '\u{205f}' => "a medium mathematical space",
        '\u{2060}' => "a word joiner",
        '\u{3000}' => "an ideographic space",
        '\u{feff}' => "a byte order mark",
        _ => "a control character",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_blank_has_a_name() {
        let blanks: Vec<char> = ('\0'..=char::MAX).filter(|c| is_blank(*c)).collect();
        // 25 of `White_Space`, and the others above.
        assert_eq!(blanks.len(), 40);
        for c in blanks {
            assert_ne!(name(c), "a control character", "U+{:04X}", u32::from(c));
        }
        assert_eq!(BlankName('\u{a0}').to_string(), "a no-break space (U+00A0)");
        assert_eq!(BlankName('\0').to_string(), "a control character (U+0000)");
    }
}
