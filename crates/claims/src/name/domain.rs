//! A domain name in its one canonical form.
use std::{fmt, str::FromStr, sync::Arc};

use idna::uts46::{AsciiDenyList, Hyphens, Uts46};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{NameError, parse};

/// A valid domain name of two labels or more: lower-case A-labels, no trailing dot, at most 253 octets.
///
/// Cheap to clone. Two names are equal exactly when the DNS takes them for the same name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainName(Arc<str>);

impl DomainName {
    /// Parses a name as people write it: any case, U-labels or A-labels, one trailing dot, blanks of any kind around
    /// it. Internationalised names follow UTS 46 (STD 3, non-transitional, `CheckHyphens`).
    ///
    /// # Errors
    /// When the text is not a domain name of at least two labels.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        parse::canonical(text).map(|name| Self(name.into()))
    }

    /// The name, for the DNS.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name with its A-labels decoded, for people.
    pub fn to_unicode(&self) -> String {
        // A name that passed ToASCII passes ToUnicode, since both apply the same criteria.
        let (unicode, _) = Uts46::new().to_unicode(self.0.as_bytes(), AsciiDenyList::STD3, Hyphens::Check);
        unicode.into_owned()
    }

    /// The labels, the most specific first.
    pub fn labels(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.')
    }

    /// The parent name; `None` where that is a top-level domain.
    pub fn parent(&self) -> Option<Self> {
        let (_, above) = self.0.split_once('.')?;
        above.contains('.').then(|| Self(above.into()))
    }

    /// Whether this name is `other` or is below it.
    ///
    /// A proof at `other` covers fewer names: those whose [`registrable_domain`](Self::registrable_domain) is `other`.
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.strip_suffix(&*other.0).is_some_and(|below| below.is_empty() || below.ends_with('.'))
    }

    /// The last `octets` of the name, which have to be at least two whole labels.
    pub(super) fn tail(&self, octets: usize) -> Self {
        match self.0.len().checked_sub(octets) {
            None | Some(0) => self.clone(),
            Some(start) => Self(self.0[start..].into()),
        }
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DomainName({})", self.0)
    }
}

impl AsRef<str> for DomainName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for DomainName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

impl Serialize for DomainName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for DomainName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::id::from_text(deserializer)
    }
}
