//! Looks up a name in the Public Suffix List, which is compiled in.
use psl::Type;

use super::DomainName;

/// The release of the crate `psl`, which is generated from a release of the list.
const VERSION: &str = "psl-2.1.247";

/// The version of the Public Suffix List, for evidence: ownership depends on it.
pub const fn suffix_list_version() -> &'static str {
    VERSION
}

/// Whether a zone belongs to a registry: the root, a top-level domain, or a public suffix of the ICANN section. `zone`
/// is in lower-case A-labels without the trailing dot; `.` and the empty text are the root.
pub fn is_registry(zone: &str) -> bool {
    let labels = zone.trim_end_matches('.');
    let Some(suffix) = psl::suffix(zone.as_bytes()).filter(|_| labels.contains('.')) else { return true };
    suffix.as_bytes() == zone.as_bytes() && suffix.typ() == Some(Type::Icann)
}

/// The section of the list that has a public suffix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    /// Suffixes of registries: `com`, `co.uk`.
    Icann,
    /// Domains whose owners give names below them to others: `github.io`.
    Private,
}

/// The result of looking a name up in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SuffixLookup {
    /// The name is a public suffix.
    PublicSuffix(Section),
    /// The name is a registrable domain or is below one.
    Registrable {
        /// The registrable domain.
        apex: DomainName,
        /// The section of the suffix above it.
        section: Section,
    },
    /// No rule matches its top-level domain; by the list's implicit rule the last two labels are registrable.
    Unlisted {
        /// The last two labels.
        apex: DomainName,
    },
}

impl DomainName {
    /// The registrable domain by the full Public Suffix List, the PRIVATE section included; `None` for a public
    /// suffix. Under a top-level domain that is not listed it is the last two labels.
    pub fn registrable_domain(&self) -> Option<Self> {
        match lookup(self) {
            SuffixLookup::PublicSuffix(_) => None,
            SuffixLookup::Registrable { apex, .. } | SuffixLookup::Unlisted { apex } => Some(apex),
        }
    }
}

/// Looks a name up. The list has internationalised rules in A-label form as well.
pub(super) fn lookup(name: &DomainName) -> SuffixLookup {
    let section = |suffix: psl::Suffix<'_>| match suffix.typ()? {
        Type::Icann => Some(Section::Icann),
        Type::Private => Some(Section::Private),
    };
    let text = name.as_str().as_bytes();
    let Some(domain) = psl::domain(text) else {
        // The implicit rule has a single label, so a suffix of two labels is a listed one.
        return SuffixLookup::PublicSuffix(psl::suffix(text).and_then(section).unwrap_or(Section::Icann));
    };
    let apex = name.tail(domain.as_bytes().len());
    match section(domain.suffix()) {
        Some(section) => SuffixLookup::Registrable { apex, section },
        None => SuffixLookup::Unlisted { apex },
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn version_is_that_of_the_lock_file() {
        let lock = Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .map(|folder| folder.join("Cargo.lock"))
            .find(|file| file.exists())
            .expect("a Cargo.lock at or above the crate");
        let lock = std::fs::read_to_string(lock).unwrap();
        let (_, entry) = lock.split_once("name = \"psl\"\n").expect("psl is a dependency");
        let version = entry.lines().next().unwrap();
        assert_eq!(version, format!("version = \"{}\"", suffix_list_version().strip_prefix("psl-").unwrap()));
    }

    #[test]
    fn distinguishes_registries_from_other_zones() {
        for zone in ["", ".", "com", "test", "co.uk", "xn--p1ai"] {
            assert!(is_registry(zone), "{zone}");
        }
        for zone in ["acme.com", "acme.co.uk", "acme.test", "github.io", "www.acme.com"] {
            assert!(!is_registry(zone), "{zone}");
        }
    }

    #[test]
    fn follows_the_list() {
        use Section::{Icann, Private};
        let found = |name: &str| lookup(&name.parse().unwrap());
        let of =
            |section| move |name: &str| SuffixLookup::Registrable { apex: name.parse().unwrap(), section };
        let (apex, private) = (of(Icann), of(Private));
        let unlisted = |name: &str| SuffixLookup::Unlisted { apex: name.parse().unwrap() };
        for (name, expected) in [
            ("acme.com", apex("acme.com")),
            ("a.b.acme.com", apex("acme.com")),
            ("co.uk", SuffixLookup::PublicSuffix(Icann)),
            ("acme.co.uk", apex("acme.co.uk")),
            ("www.acme.co.uk", apex("acme.co.uk")),
            ("github.io", SuffixLookup::PublicSuffix(Private)),
            ("foo.github.io", private("foo.github.io")),
            ("a.foo.github.io", private("foo.github.io")),
            // A rule with a wildcard, and its exception.
            ("foo.ck", SuffixLookup::PublicSuffix(Icann)),
            ("www.ck", apex("www.ck")),
            ("city.kobe.jp", apex("city.kobe.jp")),
            // Above a private suffix.
            ("amazonaws.com", apex("amazonaws.com")),
            ("x.s3.amazonaws.com", private("x.s3.amazonaws.com")),
            // International rules.
            ("公司.cn", SuffixLookup::PublicSuffix(Icann)),
            ("食狮.公司.cn", apex("食狮.公司.cn")),
            ("пример.рф", apex("пример.рф")),
            ("a.b.test", unlisted("b.test")),
            ("b.test", unlisted("b.test")),
        ] {
            assert_eq!(found(name), expected, "{name}");
        }
    }
}
