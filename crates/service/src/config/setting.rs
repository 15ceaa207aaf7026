//! The types of configuration values: parsing, printing and description.
use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::ops::{RangeFrom, RangeFull, RangeInclusive};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use chrono::TimeDelta;
use deed_claims::name::DomainName;
use deed_claims::{Activation, ContestPolicy};
use deed_diagnosis::Agreement;
use deed_probe::{DelegationSource, Ipv6, Network, ValidationMode, Vantage};
use toml::Value;

use super::log::LogFormat;
use super::raw::Raw;

/// A type that a key can have.
pub(crate) trait Setting: Sized {
    /// Whether the value must never be printed.
    const SECRET: bool = false;

    /// The expected type, as it follows the word "expected".
    fn expected() -> String;

    /// Parses the value; an error may add a reason to `expected`.
    fn read(raw: &Raw) -> Result<Self, Option<String>>;

    /// The value as TOML; none when it is not set.
    fn show(&self) -> Option<Value>;
}

/// The bounds of a value.
pub(crate) trait Bounds<T> {
    fn contains(&self, value: &T) -> bool;
    /// Empty without bounds.
    fn describe(&self) -> String;
}

impl<T> Bounds<T> for RangeFull {
    fn contains(&self, _: &T) -> bool {
        true
    }
    fn describe(&self) -> String {
        String::new()
    }
}

fn shown<T: Setting>(value: &T) -> String {
    value.show().map(|value| value.to_string()).unwrap_or_default()
}

impl<T: Setting + PartialOrd> Bounds<T> for RangeInclusive<T> {
    fn contains(&self, value: &T) -> bool {
        self.contains(value)
    }
    fn describe(&self) -> String {
        format!("between {} and {}", shown(self.start()), shown(self.end()))
    }
}

impl<T: Setting + PartialOrd> Bounds<T> for RangeFrom<T> {
    fn contains(&self, value: &T) -> bool {
        self.contains(value)
    }
    fn describe(&self) -> String {
        format!("at least {}", shown(&self.start))
    }
}

fn parsed<T: FromStr>(raw: &Raw) -> Result<T, Option<String>>
where
    T::Err: fmt::Display,
{
    let text = raw.as_text().ok_or(None)?;
    text.trim().parse().map_err(|error: T::Err| Some(error.to_string()))
}

macro_rules! integers {
    ($($t:ty),*) => {$(
        impl Setting for $t {
            fn expected() -> String {
                "a whole number".to_owned()
            }
            fn read(raw: &Raw) -> Result<Self, Option<String>> {
                match raw {
                    Raw::Integer(number) => number.and_then(|n| n.try_into().ok()).ok_or(None),
                    Raw::Word(word) => word.trim().parse().map_err(|_| None),
                    _ => Err(None),
                }
            }
            fn show(&self) -> Option<Value> {
                i64::try_from(*self).ok().map(Value::Integer)
            }
        }
    )*};
}
integers!(u8, u16, u32, u64, usize);

impl Setting for NonZeroUsize {
    fn expected() -> String {
        "a whole number above 0".to_owned()
    }
    fn read(raw: &Raw) -> Result<Self, Option<String>> {
        usize::read(raw).and_then(|number| Self::new(number).ok_or(None))
    }
    fn show(&self) -> Option<Value> {
        self.get().show()
    }
}

impl Setting for bool {
    fn expected() -> String {
        "true or false".to_owned()
    }
    fn read(raw: &Raw) -> Result<Self, Option<String>> {
        match raw {
            Raw::Boolean(truth) => Ok(*truth),
            Raw::Word(word) => word.trim().parse().map_err(|_| None),
            _ => Err(None),
        }
    }
    fn show(&self) -> Option<Value> {
        Some(Value::Boolean(*self))
    }
}

impl Setting for Duration {
    fn expected() -> String {
        "a duration such as \"30s\" or \"7days\"".to_owned()
    }
    fn read(raw: &Raw) -> Result<Self, Option<String>> {
        let text = raw.as_text().ok_or(None)?;
        let duration = humantime::parse_duration(text.trim()).map_err(|_| None)?;
        // Durations are added to the present time, so an absurdly long one is taken for a typing error.
        let longest = Self::from_hours(100 * 365 * 24);
        if duration > longest {
            Err(Some("that is more than a hundred years".to_owned()))
        } else {
            Ok(duration)
        }
    }
    fn show(&self) -> Option<Value> {
        Some(Value::String(humantime::format_duration(*self).to_string()))
    }
}

impl Setting for TimeDelta {
    fn expected() -> String {
        Duration::expected()
    }
    fn read(raw: &Raw) -> Result<Self, Option<String>> {
        Duration::read(raw).and_then(|duration| Self::from_std(duration).map_err(|_| None))
    }
    fn show(&self) -> Option<Value> {
        // No default and no bound is negative.
        self.to_std().unwrap_or_default().show()
    }
}

/// A fraction from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio(f64);

impl Ratio {
    /// Everything.
    pub const ALL: Self = Self(1.0);

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Setting for Ratio {
    fn expected() -> String {
        "a number between 0 and 1 such as 0.25".to_owned()
    }
    fn read(raw: &Raw) -> Result<Self, Option<String>> {
        let number = match raw {
            Raw::Fraction(number) => *number,
            Raw::Integer(Some(0)) => 0.0,
            Raw::Integer(Some(1)) => 1.0,
            Raw::Word(word) => word.trim().parse().map_err(|_| None)?,
            _ => return Err(None),
        };
        if (0.0..=1.0).contains(&number) { Ok(Self(number)) } else { Err(None) }
    }
    fn show(&self) -> Option<Value> {
        Some(Value::Float(self.0))
    }
}

macro_rules! texts {
    ($($t:ty, $expected:literal;)*) => {$(
        impl Setting for $t {
            fn expected() -> String {
                $expected.to_owned()
            }
            fn read(raw: &Raw) -> Result<Self, Option<String>> {
                parsed(raw)
            }
            fn show(&self) -> Option<Value> {
                Some(Value::String(self.to_string()))
            }
        }
    )*};
}
texts! {
    SocketAddr, "an address with a port such as \"127.0.0.1:8080\"";
    Network, "a network such as \"10.0.0.0/8\"";
    DomainName, "a domain name";
    Vantage, "a name and an address such as \"tokyo=192.0.2.53:53\"";
}

impl Setting for PathBuf {
    fn expected() -> String {
        "a path".to_owned()
    }
    fn read(raw: &Raw) -> Result<Self, Option<String>> {
        raw.as_text().filter(|text| !text.is_empty()).map(Self::from).ok_or(None)
    }
    fn show(&self) -> Option<Value> {
        Some(Value::String(self.display().to_string()))
    }
}

/// A text that is not empty.
impl Setting for String {
    fn expected() -> String {
        "a text that is not empty".to_owned()
    }
    fn read(raw: &Raw) -> Result<Self, Option<String>> {
        raw.as_text().map(str::trim).filter(|text| !text.is_empty()).map(Self::from).ok_or(None)
    }
    fn show(&self) -> Option<Value> {
        Some(Value::String(self.clone()))
    }
}

/// A value that may contain a password; never printed or quoted.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The URL without user, password, query and fragment.
    pub fn without_credentials(&self) -> String {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("", &self.0));
        let rest = rest.rsplit_once('@').map_or(rest, |(_, without_credentials)| without_credentials);
        let without_credentials = rest.split(['?', '#']).next().unwrap_or_default();
        format!("{scheme}://{}", without_credentials.escape_debug())
    }

    /// The URL scheme, which may be printed.
    pub fn scheme(&self) -> Option<&str> {
        self.0.split_once("://").map(|(scheme, _)| scheme)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Setting for Secret {
    const SECRET: bool = true;
    fn expected() -> String {
        "a text".to_owned()
    }
    fn read(raw: &Raw) -> Result<Self, Option<String>> {
        raw.as_text().filter(|text| !text.is_empty()).map(|text| Self(text.to_owned())).ok_or(None)
    }
    fn show(&self) -> Option<Value> {
        Some(Value::String("[redacted]".to_owned()))
    }
}

impl<T: Setting> Setting for Option<T> {
    const SECRET: bool = T::SECRET;
    fn expected() -> String {
        T::expected()
    }
    fn read(raw: &Raw) -> Result<Self, Option<String>> {
        T::read(raw).map(Some)
    }
    fn show(&self) -> Option<Value> {
        self.as_ref().and_then(Setting::show)
    }
}

impl<T: Setting> Setting for Vec<T> {
    const SECRET: bool = T::SECRET;
    fn expected() -> String {
        format!("a list, each of it {}", T::expected())
    }
    fn read(raw: &Raw) -> Result<Self, Option<String>> {
        let items = match raw {
            Raw::List(items) => items.clone(),
            Raw::Word(words) if words.trim().is_empty() => vec![],
            Raw::Word(words) => words.split(',').map(|word| Raw::Word(word.trim().to_owned())).collect(),
            _ => return Err(None),
        };
        let read = |item: &Raw| {
            T::read(item).map_err(|why| {
                let why = why.map(|why| format!(": {why}")).unwrap_or_default();
                Some(format!("{} is not{why}", item.excerpt()))
            })
        };
        items.iter().map(read).collect()
    }
    fn show(&self) -> Option<Value> {
        Some(Value::Array(self.iter().filter_map(Setting::show).collect()))
    }
}

impl<T: Setting + Ord> Setting for BTreeSet<T> {
    fn expected() -> String {
        Vec::<T>::expected()
    }
    fn read(raw: &Raw) -> Result<Self, Option<String>> {
        Vec::<T>::read(raw).map(|items| items.into_iter().collect())
    }
    fn show(&self) -> Option<Value> {
        Some(Value::Array(self.iter().filter_map(Setting::show).collect()))
    }
}

macro_rules! choices {
    ($($t:ident { $($variant:ident = $word:literal),* $(,)? })*) => {$(
        impl Setting for $t {
            fn expected() -> String {
                format!("one of {}", [$(concat!("\"", $word, "\"")),*].join(", "))
            }
            fn read(raw: &Raw) -> Result<Self, Option<String>> {
                match raw.as_text().map(str::trim) {
                    $(Some($word) => Ok(Self::$variant),)*
                    _ => Err(None),
                }
            }
            fn show(&self) -> Option<Value> {
                let word = match self { $(Self::$variant => $word,)* };
                Some(Value::String(word.to_owned()))
            }
        }
    )*};
}
choices! {
    Role { Api = "api", Verifier = "verifier", Projector = "projector" }
    LogFormat { Json = "json", Human = "human" }
    ContestPolicy { Evidence = "evidence", Immediate = "immediate", Grace = "grace", Review = "review" }
    Agreement { Majority = "majority", Strict = "strict" }
    Activation { Immediate = "immediate", External = "external" }
    DelegationSource { FromParent = "from_parent", FromResolver = "from_resolver" }
    ValidationMode { Auto = "auto", Resolver = "resolver", Own = "self", Off = "off" }
    Ipv6 { Auto = "auto", On = "on", Off = "off" }
}

/// A part of the service that can run in a process of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The HTTP interface and the relay.
    Api,
    /// Checks of records.
    Verifier,
    /// Read models, due work and the dispatcher.
    Projector,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 3] = [Self::Api, Self::Verifier, Self::Projector];
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Api => "api",
            Self::Verifier => "verifier",
            Self::Projector => "projector",
        })
    }
}
