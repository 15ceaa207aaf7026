//! Domain names as text: RFC 1035 §5.1 presentation form in, printable ASCII out.

use std::fmt::Write as _;

use hickory_proto::rr::Name;

use crate::error::InvalidInput;

/// Parses a name, with or without its trailing dot. `\.` and `\DDD` (decimal) are understood; a label may hold any
/// byte, since a test server has to serve odd names too.
pub(crate) fn parse_name(field: &str, text: &str) -> Result<Name, InvalidInput> {
    if text == "." {
        return Ok(Name::root());
    }
    if text.is_empty() {
        return Err(InvalidInput::new(field, "must be a domain name"));
    }
    let labels = split_labels(text).map_err(|problem| InvalidInput::new(field, problem))?;
    Name::from_labels(labels).map_err(|_| {
        InvalidInput::new(field, "is not a domain name: labels have 1 to 63 bytes, the whole at most 255")
    })
}

fn split_labels(text: &str) -> Result<Vec<Vec<u8>>, &'static str> {
    let mut labels = Vec::new();
    let mut label = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'.' => labels.push(std::mem::take(&mut label)),
            b'\\' => {
                let (escaped, tail) = unescape(rest)?;
                label.push(escaped);
                rest = tail;
            }
            b'!'..=b'~' => label.push(byte),
            _ => return Err("must be printable ASCII (write other bytes as \\DDD, other scripts as xn--…)"),
        }
    }
    if !text.ends_with('.') || !label.is_empty() {
        labels.push(label);
    }
    Ok(labels)
}

/// Parses the part after a backslash: three decimal digits for a byte, or one character for itself.
pub(crate) fn unescape(rest: &[u8]) -> Result<(u8, &[u8]), &'static str> {
    match rest {
        [a, b, c, tail @ ..] if [a, b, c].into_iter().all(u8::is_ascii_digit) => {
            let value = [a, b, c].into_iter().fold(0_u16, |sum, digit| sum * 10 + u16::from(digit - b'0'));
            let byte = u8::try_from(value).map_err(|_| "has an escape \\DDD above \\255")?;
            Ok((byte, tail))
        }
        [digit, ..] if digit.is_ascii_digit() => Err("has an escape with fewer than three digits"),
        [byte, tail @ ..] => Ok((*byte, tail)),
        [] => Err("ends in the middle of an escape"),
    }
}

/// The name in lower case without its trailing dot, `.` for the root, every unprintable byte as `\DDD`.
pub(crate) fn show_name(name: &Name) -> String {
    show_name_in_original_case(name).to_ascii_lowercase()
}

/// Like [`show_name`], with the letter case as received: clients randomise it.
pub(crate) fn show_name_in_original_case(name: &Name) -> String {
    if name.iter().len() == 0 {
        return ".".to_owned();
    }
    let mut text = String::new();
    for label in name {
        if !text.is_empty() {
            text.push('.');
        }
        escape_into(&mut text, label, b".\\ ");
    }
    text
}

/// Appends `bytes` as printable ASCII: `special` bytes get a backslash, unprintable ones become `\DDD`.
pub(crate) fn escape_into(text: &mut String, bytes: &[u8], special: &[u8]) {
    for &byte in bytes {
        if special.contains(&byte) {
            text.push('\\');
            text.push(char::from(byte));
        } else if matches!(byte, b' '..=b'~') {
            text.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\{byte:03}");
        }
    }
}

/// Whether the leftmost label is `*` (RFC 4592).
pub(crate) fn is_wildcard(name: &Name) -> bool {
    name.iter().next() == Some(b"*".as_slice())
}

/// The name's ancestors from itself up to the root.
pub(crate) fn lineage(name: &Name) -> impl Iterator<Item = Name> {
    let labels = name.iter().len();
    let name = name.clone();
    (0..=labels).rev().map(move |count| name.trim_to(count))
}

/// Whether an automatic zone is at this name: the root, a public suffix (unlisted top-level domains count as one), or
/// a registrable domain.
pub(crate) fn is_automatic_zone(name: &Name) -> bool {
    let count = name.iter().len();
    if is_wildcard(name) {
        return false;
    }
    if count <= 1 {
        return true;
    }
    let labels: Vec<Vec<u8>> = name
        .iter()
        // A dot inside a label must not look like a label boundary to the suffix list.
        .map(|label| label.iter().map(|b| if *b == b'.' { b'_' } else { b.to_ascii_lowercase() }).collect())
        .collect();
    let text = labels.join(&b'.');
    let Some(suffix) = psl::suffix(&text) else {
        return false;
    };
    let suffix_labels = suffix.as_bytes().split(|b| *b == b'.').count();
    count == suffix_labels || count == suffix_labels + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        parse_name("name", text).unwrap()
    }

    #[test]
    fn names_survive_reading_and_writing() {
        for text in [
            ".",
            "acme.com",
            "_deed.acme.com",
            "*.acme.com",
            "a\\.b.acme.com",
            "a\\ b.x",
            "\\000\\255.x",
            "a\\\\b.x",
        ] {
            assert_eq!(show_name(&name(text)), text);
        }
        assert_eq!(show_name(&name("ACME.com.")), "acme.com");
        assert_eq!(show_name_in_original_case(&name("ACME.com.")), "ACME.com");
    }

    #[test]
    fn rejects_invalid_names() {
        let long = "a".repeat(64);
        let whole = ["abcdefgh"; 32].join(".");
        for text in ["", "..", "a..b", ".a", "ä.com", "a b.com", "a\\25", "a\\", "a\\256.b", &long, &whole] {
            assert!(parse_name("name", text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn lineage_runs_to_the_root() {
        let seen: Vec<_> = lineage(&name("*.b.acme.com")).map(|n| show_name(&n)).collect();
        assert_eq!(seen, ["*.b.acme.com", "b.acme.com", "acme.com", "com", "."]);
    }

    #[test]
    fn automatic_zones_follow_suffix_list() {
        for text in
            [".", "com", "acme.com", "co.uk", "uk", "acme.co.uk", "github.io", "me.github.io", "lan", "x.lan"]
        {
            assert!(is_automatic_zone(&name(text)), "{text}");
        }
        for text in
            ["www.acme.com", "_deed.acme.co.uk", "a.me.github.io", "a.x.lan", "a\\.co.acme.uk", "*.com", "*"]
        {
            assert!(!is_automatic_zone(&name(text)), "{text}");
        }
    }
}
