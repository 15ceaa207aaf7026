//! Reasons to refuse a name, with a code for programs and a sentence for people.
use std::fmt::{self, Write as _};

use super::MAX_NAME_LEN;
use super::blank::BlankName;

/// The most characters of input that a sentence shows.
const EXCERPT_CHARS: usize = 100;

/// A piece of input that is safe to show: printable ASCII, all other characters escaped, at most 100 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt(Box<str>);

impl Excerpt {
    /// The excerpt of a text; a cut one ends in `...`.
    pub fn of(text: &str) -> Self {
        const ELLIPSIS: &str = "...";
        let mut shown = String::new();
        // Where a long text is cut: never inside an escape.
        let mut cut = 0;
        for c in text.chars() {
            // Writing to a string cannot fail.
            let _ = write!(shown, "{}", c.escape_default());
            if shown.len() > EXCERPT_CHARS {
                shown.truncate(cut);
                shown.push_str(ELLIPSIS);
                break;
            }
            if shown.len() <= EXCERPT_CHARS - ELLIPSIS.len() {
                cut = shown.len();
            }
        }
        Self(shown.into())
    }

    /// The characters to show.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The rule that one label of a name breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LabelFault {
    /// Nothing between two dots.
    #[error("a part between two dots is empty")]
    Empty,
    /// More than 63 octets in its A-label form (RFC 1035 §2.3.4).
    #[error("it is longer than 63 characters")]
    TooLong,
    /// A hyphen at either end, or at the third and fourth place (RFC 5891 §4.2.3.1).
    #[error("a hyphen may not stand first, last, or at both the third and the fourth place")]
    Hyphens,
    /// An underscore, as in the name of a record.
    #[error("it has an underscore: give the domain name itself, not the name of a record")]
    Underscore,
    /// A blank or a control character within the name.
    #[error("character {position} is {}", BlankName(*character))]
    Blank {
        /// The character.
        character: char,
        /// Its place in the name, in characters from 1, without the blanks before the name.
        position: usize,
    },
    /// An `xn--` label that decodes to nothing valid, or to another `xn--` label.
    #[error("it starts with `xn--` but is not a valid encoding of an international name")]
    Encoding,
    /// A character that host names do not have (UTS 46, STD 3).
    #[error("it has a character that is not allowed in domain names")]
    Characters,
    /// Labels that are valid alone but not together (RFC 5893 §2).
    #[error("it mixes left-to-right and right-to-left parts in a way that is not allowed")]
    Direction,
}

/// Why a text is not a domain name, or why a domain name cannot be claimed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// There is no name.
    #[error("the domain name is empty")]
    Empty,
    /// The name is too long, alone or with the label of the validation record before it.
    #[error("the domain name is too long: {}", Limit(*limit))]
    TooLong {
        /// The most octets that the name may have, as A-labels: [`MAX_NAME_LEN`], less the longest label of a
        /// validation record for a name to claim.
        limit: usize,
    },
    /// A label breaks the rules of host names.
    #[error("`{label}` cannot be used in a domain name: {fault}")]
    BadLabel {
        /// The label, or the whole name where no single label breaks the rule.
        label: Excerpt,
        /// The rule it breaks.
        fault: LabelFault,
    },
    /// An IPv4 or IPv6 address in any notation that a browser understands.
    #[error("`{address}` is an IP address, not a domain name")]
    IpLiteral {
        /// The text given.
        address: Excerpt,
    },
    /// A name without a dot.
    #[error("`{name}` has a single part: give a full domain name such as `{name}.com`")]
    SingleLabel {
        /// The text given.
        name: Excerpt,
    },
    /// A name with an asterisk.
    #[error("`{name}` is a wildcard: give the domain name without the asterisk")]
    Wildcard {
        /// The text given.
        name: Excerpt,
    },
    /// A URL, an e-mail address, or a name with a port or a path.
    #[error("`{text}` is not a plain domain name: leave out the scheme, port, path and mailbox")]
    Url {
        /// The text given.
        text: Excerpt,
    },
    /// A public suffix, of the ICANN section or of the PRIVATE section.
    #[error(
        "`{suffix}` is a public suffix, under which anybody can register names: nobody can claim it as a whole"
    )]
    PublicSuffix {
        /// The suffix.
        suffix: Excerpt,
    },
    /// A name reserved by a standard (RFC 6761), or by custom for private networks.
    #[error("`{name}` lies in `{zone}`, which is set aside for special use and is not in the public DNS")]
    SpecialUse {
        /// The name given.
        name: Excerpt,
        /// The reserved zone.
        zone: &'static str,
    },
    /// The last label is not a top-level domain.
    #[error("`{tld}` is not a known top-level domain")]
    UnlistedTld {
        /// The last label.
        tld: Excerpt,
    },
    /// The domain of a provider of public mailboxes.
    #[error("`{domain}` belongs to a provider of public mailboxes and cannot be claimed")]
    ConsumerMail {
        /// The provider's domain.
        domain: Excerpt,
    },
}

/// Displays the longest length of a name, with the reason.
struct Limit(usize);

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it may have {} characters, counted in its ASCII form", self.0)?;
        match MAX_NAME_LEN.saturating_sub(self.0) {
            0 => f.write_str(" (RFC 1035, section 2.3.4)"),
            label => write!(
                f,
                ", because the name of the validation record has up to {label} more and {MAX_NAME_LEN} is the most \
                 that the DNS allows (RFC 1035, section 2.3.4)"
            ),
        }
    }
}

impl NameError {
    /// Replaces the limit of [`NameError::TooLong`]: the parser does not know the label of the validation record.
    #[must_use]
    pub fn within(self, limit: usize) -> Self {
        match self {
            Self::TooLong { .. } => Self::TooLong { limit },
            other => other,
        }
    }

    /// The stable code of the refusal.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Empty => "name_empty",
            Self::TooLong { .. } => "name_too_long",
            Self::BadLabel { .. } => "bad_label",
            Self::IpLiteral { .. } => "ip_literal",
            Self::SingleLabel { .. } => "single_label",
            Self::Wildcard { .. } => "wildcard",
            Self::Url { .. } => "url",
            Self::PublicSuffix { .. } => "public_suffix",
            Self::SpecialUse { .. } => "special_use_name",
            Self::UnlistedTld { .. } => "unlisted_tld",
            Self::ConsumerMail { .. } => "consumer_mail_domain",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpt_is_printable_and_cut_between_escapes() {
        assert_eq!(Excerpt::of("acme.com").as_str(), "acme.com");
        assert_eq!(Excerpt::of("a\u{1b}[2J\n\u{202e}ü").as_str(), "a\\u{1b}[2J\\n\\u{202e}\\u{fc}");
        assert_eq!(Excerpt::of(&"a".repeat(100)).as_str(), "a".repeat(100));
        assert_eq!(Excerpt::of(&"a".repeat(101)).as_str(), format!("{}...", "a".repeat(97)));
        // An escape has six characters: sixteen of them make 96.
        assert_eq!(Excerpt::of(&"ü".repeat(40)).as_str(), format!("{}...", "\\u{fc}".repeat(16)));
    }
}
