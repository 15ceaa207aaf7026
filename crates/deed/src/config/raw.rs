//! A value as a source gave it, before any key says what it has to be.
use std::fmt::Write as _;

use toml::de::DeValue;

/// Characters of a faulty value that a fault shows.
const EXCERPT: usize = 60;

/// What a file, a variable or a flag gave for a key.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Raw {
    /// From a variable or a flag: what it means depends on the key.
    Word(String),
    /// A string of a file.
    Text(String),
    /// A whole number of a file; none when it is beyond 64 bits.
    Integer(Option<i64>),
    /// A number of a file that has a fraction.
    Fraction(f64),
    /// A truth value of a file.
    Boolean(bool),
    /// A list of a file.
    List(Vec<Raw>),
    /// Something no key takes.
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

    /// The text of a string or a word.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Word(text) | Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value for a fault: printable and short.
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
