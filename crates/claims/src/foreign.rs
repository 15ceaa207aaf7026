//! What the DNS tells, as text: bytes and names that an attacker may have chosen, made printable ASCII of bounded length.
use std::fmt::Write as _;

use crate::Validation;

/// Characters kept per value or name.
pub(crate) const CHARS: usize = 100;

/// Who validated where no resolver did.
pub(crate) const OURSELVES: &str = "self";

/// Attacker-made bytes as printable ASCII: everything else escaped, cut so that it has at most 100 characters.
pub fn printable(bytes: &[u8]) -> String {
    escaped(bytes, CHARS)
}

/// The same, cut at so many characters.
pub(crate) fn escaped(bytes: &[u8], chars: usize) -> String {
    escape(bytes, "\\\\", chars)
}

/// A name in presentation format (RFC 1035 §5.1) as printable ASCII of at most 100 characters. What is escaped in it
/// already stays as it is; whatever should not stand in such a name is escaped.
pub(crate) fn named(name: &str) -> String {
    verbatim(name, CHARS)
}

/// A text of our own, which a reader may have to type: as it is, unless it is not printable ASCII.
pub(crate) fn verbatim(text: &str, chars: usize) -> String {
    escape(text.as_bytes(), "\\", chars)
}

fn escape(bytes: &[u8], backslash: &str, chars: usize) -> String {
    let (mut text, mut whole) = (String::new(), true);
    // Where the text may be cut so that the dots have room.
    let mut fits = 0;
    for &byte in bytes {
        match byte {
            b'\\' => text.push_str(backslash),
            0x20..=0x7e => text.push(char::from(byte)),
            other => {
                // Writing to a string cannot fail.
                let _ = write!(text, "\\x{other:02x}");
            }
        }
        if text.len() <= chars.saturating_sub(3) {
            fits = text.len();
        } else if text.len() > chars {
            whole = false;
            break;
        }
    }
    if !whole {
        text.truncate(fits);
        text.push_str("...");
    }
    text
}

/// The bytes that a name in presentation format stands for, its labels joined by dots (RFC 1035 §5.1: `\DDD` is one byte in
/// decimal, `\X` the character itself).
pub(crate) fn unescaped(name: &str) -> Vec<u8> {
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

/// The text of an Extended DNS Error (RFC 8914 §2), printable and cut. Names in a text of our own are escaped already.
pub(crate) fn ede_text(validation: &Validation) -> Option<String> {
    let text = &validation.ede.as_ref()?.text;
    let backslash = if validation.by == OURSELVES { "\\" } else { "\\\\" };
    Some(escape(text, backslash, CHARS)).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ExtendedError, Security};

    #[test]
    fn foreign_bytes_come_out_printable_and_capped() {
        assert_eq!(printable(b"a\nb\\\xff"), "a\\x0ab\\\\\\xff");
        let long = printable(&[0; 500]);
        assert!(long.len() <= CHARS && long.ends_with("..."));
        let just = "a".repeat(CHARS);
        assert_eq!(printable(just.as_bytes()), just, "what fits is not cut");
        assert_eq!(printable("a".repeat(CHARS + 1).as_bytes()).len(), CHARS);
    }

    #[test]
    fn names_are_escaped_once() {
        assert_eq!(named("a\\.b\\255\\\\c.test"), "a\\.b\\255\\\\c.test");
        // Nothing of this comes from a prober; it is kept out all the same.
        assert_eq!(named("a\n\u{e9}"), "a\\x0a\\xc3\\xa9");
        assert_eq!(named(&"\u{1b}".repeat(300)).len(), CHARS - 1);
    }

    #[test]
    fn names_in_presentation_format_are_read_back() {
        assert_eq!(unescaped("a\\.b\\255\\\\c.test"), b"a.b\xff\\c.test");
        assert_eq!(unescaped("v\\=1\\0610"), b"v=1=0");
        // No byte has such a number, and nothing follows the last one.
        assert_eq!(unescaped("\\999\\"), b"999");
        assert_eq!(unescaped("\\é"), "é".as_bytes());
    }

    #[test]
    fn names_in_our_own_reasons_are_escaped_once() {
        let reason = |by: &str| {
            let ede = Some(ExtendedError { code: 6, text: b"of a\\255.test\n".to_vec() });
            let by = by.to_owned();
            let security = Security::Bogus;
            ede_text(&Validation {
                ours: false,
                by,
                security,
                rcode: None,
                values: vec![],
                ede,
                negative_ttl: None,
                ms: 1,
            })
        };
        assert_eq!(reason(OURSELVES).as_deref(), Some("of a\\255.test\\x0a"));
        assert_eq!(reason("127.0.0.1:53").as_deref(), Some("of a\\\\255.test\\x0a"));
    }
}
