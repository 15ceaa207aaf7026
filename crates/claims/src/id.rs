//! Typed identifiers; the text of each has a prefix that names its kind.
use std::{
    fmt,
    marker::PhantomData,
    str::FromStr,
    sync::{Arc, LazyLock},
};

use data_encoding::{Encoding, Specification};
use serde::de::{Deserializer, Error, Visitor};
use uuid::Uuid;

/// A text that is not an identifier of the expected kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not `clm_` and 32 hexadecimal digits.
    #[error("a claim id is `clm_` followed by 32 hexadecimal digits")]
    Claim,
    /// Not 1 to 64 letters, digits, `_`, `-`, `.` or `:`.
    #[error("a workspace id is 1 to 64 letters, digits, `_`, `-`, `.` or `:`")]
    Workspace,
    /// Not `app_` and 16 lower-case letters or digits.
    #[error("an app id is `app_` followed by 16 lower-case letters or digits")]
    App,
}

/// Lower-case base32 without padding (RFC 4648 §6): the alphabet of tokens and app ids.
pub(crate) static BASE32: LazyLock<Encoding> = LazyLock::new(|| {
    let mut spec = Specification::new();
    spec.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
    #[expect(clippy::expect_used, reason = "32 distinct ASCII symbols are a valid base32 alphabet")]
    spec.encoding().expect("a valid alphabet")
});

/// Parses borrowed text without copying it: copies would dominate the decoding of a log of millions of events.
struct TextVisitor<T>(PhantomData<T>);

impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

/// Deserializes a value that is parsed from its text.
pub(crate) fn from_text<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    deserializer.deserialize_str(TextVisitor(PhantomData))
}

/// A text in one shared copy.
struct SharedStr(Arc<str>);

impl FromStr for SharedStr {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.into()))
    }
}

/// Deserializes a shared text.
pub(crate) fn shared_str<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
    from_text(deserializer).map(|SharedStr(text)| text)
}

/// Serializes a type as its text, and parses it from there.
macro_rules! text_serde {
    ($t:ty) => {
        impl serde::Serialize for $t {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $t {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                $crate::id::from_text(d)
            }
        }
    };
}
pub(crate) use text_serde;

/// A claim: `clm_` and a UUID in hexadecimal; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimId(Uuid);

impl ClaimId {
    /// A claim id from 16 random or time-ordered bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The bytes of the id; the seed of the schedule's jitter.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for ClaimId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "clm_{}", self.0.simple())
    }
}

impl FromStr for ClaimId {
    type Err = IdError;
    fn from_str(s: &str) -> Result<Self, IdError> {
        let hex = s.strip_prefix("clm_").filter(|h| h.len() == 32).ok_or(IdError::Claim)?;
        Uuid::try_parse(hex).map(Self).map_err(|_| IdError::Claim)
    }
}
text_serde!(ClaimId);

/// A tenant, named by the platform: 1 to 64 letters, digits, `_`, `-`, `.` or `:`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkspaceId(Arc<str>);

impl WorkspaceId {
    /// The id as the platform gave it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WorkspaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for WorkspaceId {
    type Err = IdError;
    fn from_str(s: &str) -> Result<Self, IdError> {
        let fits = (1..=64).contains(&s.len())
            && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.:".contains(&b));
        if fits { Ok(Self(s.into())) } else { Err(IdError::Workspace) }
    }
}
text_serde!(WorkspaceId);

/// An app of a workspace: `app_` and 16 lower-case letters or digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppId(Arc<str>);

impl AppId {
    /// An app id from 10 random bytes.
    pub fn from_bytes(bytes: [u8; 10]) -> Self {
        Self(format!("app_{}", BASE32.encode(&bytes)).into())
    }

    /// The id with its prefix.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for AppId {
    type Err = IdError;
    fn from_str(s: &str) -> Result<Self, IdError> {
        let fits = s.strip_prefix("app_").is_some_and(|rest| {
            rest.len() == 16 && rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        });
        if fits { Ok(Self(s.into())) } else { Err(IdError::App) }
    }
}
text_serde!(AppId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_through_text() {
        let claim = ClaimId::from_bytes([7; 16]);
        assert_eq!(claim.to_string().parse(), Ok(claim));
        let app = AppId::from_bytes([9; 10]);
        assert_eq!(app.as_str().parse(), Ok(app.clone()));
        assert_eq!(serde_json::to_string(&claim).unwrap(), format!("\"{claim}\""));
    }

    #[test]
    fn refuses_malformed_ids() {
        for bad in [
            "",
            "clm_",
            "clm_1234",
            "CLM_00000000000000000000000000000000",
            "clm_{00000000-0000-0000-0000-00}",
        ] {
            assert_eq!(bad.parse::<ClaimId>(), Err(IdError::Claim), "{bad}");
        }
        assert_eq!("a b".parse::<WorkspaceId>(), Err(IdError::Workspace));
        assert_eq!("".parse::<WorkspaceId>(), Err(IdError::Workspace));
        assert_eq!("app_UPPERCASE0000000".parse::<AppId>(), Err(IdError::App));
    }
}
