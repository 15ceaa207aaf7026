//! Parses a text into the canonical form of a name, or finds the rule that it breaks.
//!
//! The order matters: URLs, wildcards and addresses are refused before the mapping of internationalised names could
//! turn them into names.
use std::{borrow::Cow, net::Ipv6Addr};

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

use super::blank::{is_blank, trimmed};
use super::{Excerpt, LabelFault, MAX_NAME_LEN, NameError};

/// The most octets of a label (RFC 1035 §2.3.4).
const MAX_LABEL_LEN: usize = 63;
/// The most bytes of text that are parsed. A name of 253 octets is shorter in every notation, unless it is padded with
/// characters that the mapping drops.
const MAX_TEXT_LEN: usize = 4096;
/// Characters that UTS 46 maps to a dot (§4: U+3002, U+FF0E and U+FF61).
const DOTS: [char; 4] = ['.', '\u{3002}', '\u{ff0e}', '\u{ff61}'];

/// The canonical form: lower-case A-labels, two or more, without a trailing dot.
pub(super) fn canonical(text: &str) -> Result<String, NameError> {
    if is_canonical(text) { Ok(text.to_owned()) } else { parse_thoroughly(text) }
}

/// The same without the fast path.
pub(super) fn parse_thoroughly(text: &str) -> Result<String, NameError> {
    let text = trimmed(text);
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > MAX_TEXT_LEN {
        return Err(NameError::TooLong { limit: MAX_NAME_LEN });
    }
    refuse_other_notations(text)?;
    let name = text.strip_suffix(DOTS).unwrap_or(text);
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    refuse_ipv4(name)?;
    let ascii = to_ascii(name, DnsLength::Verify).ok_or_else(|| broken_rule(name))?;
    // The mapping may have produced ASCII digits.
    refuse_ipv4(&ascii)?;
    if !ascii.contains('.') {
        return Err(NameError::SingleLabel { name: Excerpt::of(&ascii) });
    }
    Ok(ascii.into_owned())
}

/// Whether a text is certainly in canonical form, as almost every name in the log is. A label with hyphens at the third
/// and fourth place may be an A-label, which needs the full check.
pub(super) fn is_canonical(text: &str) -> bool {
    let plain = |label: &str| {
        let bytes = label.as_bytes();
        (1..=MAX_LABEL_LEN).contains(&bytes.len())
            && bytes.iter().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && bytes.first() != Some(&b'-')
            && bytes.last() != Some(&b'-')
            && bytes.get(2..4) != Some(b"--")
    };
    text.len() <= MAX_NAME_LEN
        && text.contains('.')
        && text.split('.').all(plain)
        && refuse_ipv4(text).is_ok()
}

/// Refuses blanks, IPv6 addresses, URLs and wildcards, which are recognised by their characters.
fn refuse_other_notations(text: &str) -> Result<(), NameError> {
    if let Some((at, character)) = text.chars().enumerate().find(|(_, c)| c.is_control() || is_blank(*c)) {
        let fault = LabelFault::Blank { character, position: at + 1 };
        return Err(NameError::BadLabel { label: Excerpt::of(text), fault });
    }
    if is_ipv6(text) {
        return Err(NameError::IpLiteral { address: Excerpt::of(text) });
    }
    if text.contains(['/', ':', '@', '%', '\\', '[', ']', '?', '#']) {
        return Err(NameError::Url { text: Excerpt::of(text) });
    }
    if text.contains('*') {
        return Err(NameError::Wildcard { name: Excerpt::of(text) });
    }
    Ok(())
}

/// Whether a text is an IPv6 address, with or without brackets and zone (RFC 4007 §11).
fn is_ipv6(text: &str) -> bool {
    let bare = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(text);
    let address = bare.split_once('%').map_or(bare, |(address, _zone)| address);
    address.parse::<Ipv6Addr>().is_ok()
}

/// Refuses every text that a browser reads as an IPv4 address: the last label is a number in digits, or in `0x` and
/// hexadecimal digits (URL Standard, "ends in a number"). No top-level domain is a number.
fn refuse_ipv4(name: &str) -> Result<(), NameError> {
    let last = name.rsplit('.').next().unwrap_or(name);
    let digits = !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit());
    let hexadecimal = last
        .strip_prefix("0x")
        .or_else(|| last.strip_prefix("0X"))
        .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()));
    if digits || hexadecimal { Err(NameError::IpLiteral { address: Excerpt::of(name) }) } else { Ok(()) }
}

/// UTS 46 `ToASCII`. `CheckHyphens` also applies to the decoded form, so that a label which decodes to another `xn--`
/// label is refused.
fn to_ascii(name: &str, length: DnsLength) -> Option<Cow<'_, str>> {
    Uts46::new().to_ascii(name.as_bytes(), AsciiDenyList::STD3, Hyphens::Check, length).ok()
}

/// The rule for which `ToASCII` refused a name; it does not report one.
fn broken_rule(name: &str) -> NameError {
    let bad = |label: &str, fault| NameError::BadLabel { label: Excerpt::of(label), fault };
    if let Some(ascii) = to_ascii(name, DnsLength::Ignore) {
        if ascii.is_empty() {
            return NameError::Empty;
        }
        if ascii.split('.').any(str::is_empty) {
            return bad(name, LabelFault::Empty);
        }
        // Before the labels: shortening one label would not help.
        if ascii.len() > MAX_NAME_LEN {
            return NameError::TooLong { limit: MAX_NAME_LEN };
        }
        return match ascii.split('.').find(|label| label.len() > MAX_LABEL_LEN) {
            Some(label) => bad(label, LabelFault::TooLong),
            None => bad(name, LabelFault::Characters),
        };
    }
    match name.split(DOTS).find(|label| to_ascii(label, DnsLength::Ignore).is_none()) {
        Some(label) => bad(label, label_fault(label)),
        None => bad(name, LabelFault::Direction),
    }
}

/// The rule that a single label breaks.
fn label_fault(label: &str) -> LabelFault {
    let bytes = label.as_bytes();
    if bytes.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"xn--")) {
        LabelFault::Encoding
    } else if label.contains('_') {
        LabelFault::Underscore
    } else if label.starts_with('-') || label.ends_with('-') || bytes.get(2..4) == Some(b"--") {
        LabelFault::Hyphens
    } else {
        LabelFault::Characters
    }
}
