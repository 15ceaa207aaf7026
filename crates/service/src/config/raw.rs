//! An unparsed value, before its key decides the type.
use std::fmt::Write as _;

use toml::de::DeValue;

/// Characters of an invalid value that a fault quotes.
const EXCERPT: usize = 60;

/// An unparsed value from a file, a variable or a flag.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Raw {
    /// Text of a variable or flag; the key decides its type.
    Word(String),
    /// A TOML string.
    Text(String),
    /// A TOML integer; none when it exceeds 64 bits.
    Integer(Option<i64>),
    /// A TOML float.
    Fraction(f64),
    /// A TOML boolean.
    Boolean(bool),
    /// A TOML array.
    List(Vec<Raw>),
    /// A TOML type that no key accepts.
    Other(&'static str),
}

impl Raw {
    pub(crate) fn from_toml(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::Text(text.to_string()),
            DeValue::Integer(number) => {
                Self::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok())
            }
            DeValue::Boolean(truth) => Self::Boolean(*truth),
            DeValue::Array(items) => {
                Self::List(items.iter().map(|item| Self::from_toml(item.get_ref())).collect())
            }
            DeValue::Float(number) => {
                number.as_str().parse().map_or(Self::Other("a number with a fraction"), Self::Fraction)
            }
            DeValue::Datetime(_) => Self::Other("a date"),
            DeValue::Table(_) => Self::Other("a table"),
        }
    }

    /// The text of a string or word.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Word(text) | Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value as a fault quotes it: escaped and truncated.
    pub(crate) fn excerpt(&self) -> String {
        match self {
            Self::Word(text) | Self::Text(text) => {
                let mut shown = String::from("`");
                for c in text.chars().take(EXCERPT) {
                    let escape = c.is_control() || !(c.is_ascii() || c.is_alphanumeric());
                    // Writing to a string cannot fail.
                    let _ =
                        if escape { write!(shown, "{}", c.escape_default()) } else { write!(shown, "{c}") };
                }
                shown.push_str(if text.chars().nth(EXCERPT).is_some() { "…`" } else { "`" });
                shown
            }
            Self::Integer(Some(number)) => format!("`{number}`"),
            Self::Fraction(_) => "a number with a fraction".to_owned(),
            Self::Integer(None) => "a number that is too big".to_owned(),
            Self::Boolean(truth) => format!("`{truth}`"),
            Self::List(_) => "a list".to_owned(),
            Self::Other(what) => (*what).to_owned(),
        }
    }
}
