//! Routing keys and binding patterns of AMQP topic exchanges (AMQP 0-9-1 §3.1.3.3).

use std::{fmt, str::FromStr};

/// A routing key in AMQP 0-9-1 is a short string.
const MAX_BYTES: usize = 255;

/// A key or pattern that is not made of dotted words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{key:?} is not made of dotted words (letters, digits, '-', '_') of at most {MAX_BYTES} bytes in all"
)]
pub struct InvalidKey {
    key: String,
}

fn is_word(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn parse(key: &str, is_part: impl Fn(&str) -> bool) -> Result<String, InvalidKey> {
    if key.len() <= MAX_BYTES && key.split('.').all(is_part) {
        Ok(key.to_owned())
    } else {
        Err(InvalidKey { key: key.chars().take(MAX_BYTES).collect() })
    }
}

/// Dotted words, such as `verification.requested`.
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
        parse(key, is_word).map(Self)
    }
}

impl fmt::Display for RoutingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Dotted words in which `*` stands for one word and `#` for any number of them, none included.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BindingPattern(String);

impl BindingPattern {
    /// The pattern as sent to the broker.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a message with this key reaches a queue bound by this pattern.
    pub fn matches(&self, key: &RoutingKey) -> bool {
        let pattern: Vec<&str> = self.0.split('.').collect();
        let key: Vec<&str> = key.0.split('.').collect();
        words_match(&pattern, &key)
    }
}

/// Compares word by word; on a mismatch, the last `#` takes one more word and the comparison goes on after it.
fn words_match(pattern: &[&str], key: &[&str]) -> bool {
    let (mut p, mut k) = (0, 0);
    let mut after_hash: Option<(usize, usize)> = None;
    while k < key.len() || p < pattern.len() {
        match pattern.get(p) {
            Some(&"#") => {
                p += 1;
                after_hash = Some((p, k));
                continue;
            }
            Some(part) if k < key.len() && (*part == "*" || *part == key[k]) => {
                p += 1;
                k += 1;
                continue;
            }
            _ => {}
        }
        match after_hash {
            Some((resume, taken)) if taken < key.len() => {
                after_hash = Some((resume, taken + 1));
                (p, k) = (resume, taken + 1);
            }
            _ => return false,
        }
    }
    true
}

impl FromStr for BindingPattern {
    type Err = InvalidKey;

    fn from_str(pattern: &str) -> Result<Self, InvalidKey> {
        parse(pattern, |part| matches!(part, "*" | "#") || is_word(part)).map(Self)
    }
}

impl fmt::Display for BindingPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn accepts_dotted_words_only() {
        for good in ["verification", "verification.requested", "a-b.c_d.9"] {
            assert_eq!(good.parse::<RoutingKey>().unwrap().as_str(), good);
        }
        for bad in ["", ".", "a.", ".a", "a..b", "a b", "a.*", "#", "naïve", &"a".repeat(256)] {
            assert!(bad.parse::<RoutingKey>().is_err(), "{bad}");
        }
        assert!("a.*.#".parse::<BindingPattern>().is_ok());
        assert!("a.b*".parse::<BindingPattern>().is_err());
    }

    #[test]
    fn star_matches_one_word_and_hash_any_number() {
        for (pattern, key, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "a.b.c", false),
            ("a.b.c", "a.b", false),
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*", "a.b.c", false),
            ("#", "a.b.c", true),
            ("a.#", "a", true),
            ("a.#", "a.b.c", true),
            ("a.#", "b.a", false),
            ("#.c", "a.b.c", true),
            ("#.c", "c.d", false),
            ("a.#.c.*", "a.c.c.d", true),
            ("*.#.*", "a", false),
        ] {
            let pattern: BindingPattern = pattern.parse().unwrap();
            assert_eq!(pattern.matches(&key.parse().unwrap()), expected, "{pattern} on {key}");
        }
    }

    /// The definition as recursion: slow, and easy to verify.
    fn by_definition(pattern: &[&str], key: &[&str]) -> bool {
        match pattern.split_first() {
            None => key.is_empty(),
            Some((&"#", rest)) => (0..=key.len()).any(|n| by_definition(rest, &key[n..])),
            Some((part, rest)) => key
                .split_first()
                .is_some_and(|(word, others)| (*part == "*" || part == word) && by_definition(rest, others)),
        }
    }

    proptest! {
        #[test]
        fn matching_agrees_with_the_definition(
            pattern in prop::collection::vec(prop::sample::select(vec!["a", "b", "*", "#"]), 1..7),
            key in prop::collection::vec(prop::sample::select(vec!["a", "b"]), 1..7),
        ) {
            prop_assert_eq!(words_match(&pattern, &key), by_definition(&pattern, &key));
        }
    }
}
