//! Escapes bytes and names from the DNS, which an attacker may have chosen, as printable ASCII of bounded length.
use std::fmt::Write as _;

/// The most characters of an escaped value or name.
pub(crate) const MAX_CHARS: usize = 100;

/// Foreign bytes as printable ASCII: all other bytes escaped, cut to at most 100 characters.
pub fn printable(bytes: &[u8]) -> String {
    escape_bytes(bytes, MAX_CHARS)
}

/// The same, cut to a number of characters.
pub(crate) fn escape_bytes(bytes: &[u8], max_chars: usize) -> String {
    escape(bytes, "\\\\", max_chars)
}

/// A name in presentation format (RFC 1035 §5.1) as printable ASCII of at most 100 characters. Escapes in it are kept;
/// bytes that are invalid in such a name are escaped.
pub(crate) fn printable_name(name: &str) -> String {
    escape_text(name, MAX_CHARS)
}

/// A text that Deed made and a reader may have to type: unchanged where it is printable ASCII.
pub(crate) fn escape_text(text: &str, max_chars: usize) -> String {
    escape(text.as_bytes(), "\\", max_chars)
}

/// Printable ASCII of at most `max_chars` characters, with `backslash` for each backslash.
pub(crate) fn escape(bytes: &[u8], backslash: &str, max_chars: usize) -> String {
    let (mut text, mut complete) = (String::new(), true);
    // Where the text is cut to leave room for the dots.
    let mut cut = 0;
    for &byte in bytes {
        match byte {
            b'\\' => text.push_str(backslash),
            0x20..=0x7e => text.push(char::from(byte)),
            other => {
                // Writing to a string cannot fail.
                let _ = write!(text, "\\x{other:02x}");
            }
        }
        if text.len() <= max_chars.saturating_sub(3) {
            cut = text.len();
        } else if text.len() > max_chars {
            complete = false;
            break;
        }
    }
    if !complete {
        text.truncate(cut);
        text.push_str("...");
    }
    text
}

/// The bytes of a name in presentation format, with dots between its labels (RFC 1035 §5.1: `\DDD` is one byte in
/// decimal, `\X` is the character itself).
pub(crate) fn unescape_name(name: &str) -> Vec<u8> {
    let mut bytes = vec![];
    let mut rest = name.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        if first != b'\\' {
            bytes.push(first);
            continue;
        }
        let code = behind.first_chunk::<3>().filter(|digits| digits.iter().all(u8::is_ascii_digit));
        let byte = code.map(|digits| digits.iter().fold(0_u16, |sum, d| sum * 10 + u16::from(d - b'0')));
        if let Some(byte) = byte.and_then(|byte| u8::try_from(byte).ok()) {
            bytes.push(byte);
            rest = &behind[3..];
        } else if let Some((&plain, behind)) = behind.split_first() {
            bytes.push(plain);
            rest = behind;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_foreign_bytes_printable_and_short() {
        assert_eq!(printable(b"a\nb\\\xff"), "a\\x0ab\\\\\\xff");
        let long = printable(&[0; 500]);
        assert!(long.len() <= MAX_CHARS && long.ends_with("..."));
        let just = "a".repeat(MAX_CHARS);
        assert_eq!(printable(just.as_bytes()), just, "a text of the maximum length is not cut");
        assert_eq!(printable("a".repeat(MAX_CHARS + 1).as_bytes()).len(), MAX_CHARS);
    }

    #[test]
    fn escapes_names_once() {
        assert_eq!(printable_name("a\\.b\\255\\\\c.test"), "a\\.b\\255\\\\c.test");
        // The prober never sends these; they are escaped all the same.
        assert_eq!(printable_name("a\n\u{e9}"), "a\\x0a\\xc3\\xa9");
        assert_eq!(printable_name(&"\u{1b}".repeat(300)).len(), MAX_CHARS - 1);
    }

    #[test]
    fn unescapes_presentation_format() {
        assert_eq!(unescape_name("a\\.b\\255\\\\c.test"), b"a.b\xff\\c.test");
        assert_eq!(unescape_name("v\\=1\\0610"), b"v=1=0");
        // No byte has this number, and nothing follows the last backslash.
        assert_eq!(unescape_name("\\999\\"), b"999");
        assert_eq!(unescape_name("\\é"), "é".as_bytes());
    }
}
