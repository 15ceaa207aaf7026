//! Routing keys, and the two kinds of binding that are used of AMQP topic exchanges (AMQP 0-9-1 §3.1.3.3).

use std::{fmt, str::FromStr};

/// A routing key in AMQP 0-9-1 is a short string.
const MAX_BYTES: usize = 255;

/// The pattern of a topic exchange that matches every key.
const EVERYTHING: &str = "#";

/// A key that is not made of dotted words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{key:?} is not made of dotted words (letters, digits, '-', '_') of at most {MAX_BYTES} bytes in all"
)]
pub struct InvalidKey {
    key: String,
}

/// Dotted words, such as `work.requested`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoutingKey(String);

impl RoutingKey {
    /// The key as sent to the broker.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RoutingKey {
    type Err = InvalidKey;

    fn from_str(key: &str) -> Result<Self, InvalidKey> {
        let is_word = |word: &str| {
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if key.len() <= MAX_BYTES && key.split('.').all(is_word) {
            Ok(Self(key.to_owned()))
        } else {
            Err(InvalidKey { key: key.chars().take(MAX_BYTES).collect() })
        }
    }
}

impl fmt::Display for RoutingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which messages reach a queue.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Binding {
    /// Those with this key.
    Key(RoutingKey),
    /// All of the exchange (`#`).
    Everything,
}

impl Binding {
    /// The pattern as sent to the broker.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Key(key) => key.as_str(),
            Self::Everything => EVERYTHING,
        }
    }

    /// Whether a message with this key reaches the queue.
    pub fn matches(&self, key: &RoutingKey) -> bool {
        match self {
            Self::Key(bound) => bound == key,
            Self::Everything => true,
        }
    }
}

impl FromStr for Binding {
    type Err = InvalidKey;

    fn from_str(pattern: &str) -> Result<Self, InvalidKey> {
        if pattern == EVERYTHING { Ok(Self::Everything) } else { pattern.parse().map(Self::Key) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_dotted_words_only() {
        for good in ["verification", "verification.requested", "a-b.c_d.9"] {
            assert_eq!(good.parse::<RoutingKey>().unwrap().as_str(), good);
        }
        for bad in ["", ".", "a.", ".a", "a..b", "a b", "a.*", "#", "naïve", &"a".repeat(256)] {
            assert!(bad.parse::<RoutingKey>().is_err(), "{bad}");
        }
        assert!("a.*".parse::<Binding>().is_err());
    }

    #[test]
    fn binds_one_key_or_everything() {
        for (pattern, key, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "a.b.c", false),
            ("a.b.c", "a.b", false),
            ("#", "a", true),
            ("#", "a.b.c", true),
        ] {
            let binding: Binding = pattern.parse().unwrap();
            assert_eq!(binding.matches(&key.parse().unwrap()), expected, "{pattern} on {key}");
            assert_eq!(binding.as_str(), pattern);
        }
    }
}
