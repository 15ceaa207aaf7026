//! What the Public Suffix List, compiled in, says about a name.
use psl::Type;

use super::DomainName;

/// The release of the `psl` crate, whose releases are the list's: it is generated from it.
const VERSION: &str = "psl-2.1.247";

/// Identifies the Public Suffix List in force, for evidence: ownership depends on it.
pub const fn suffix_list_version() -> &'static str {
    VERSION
}

/// Whether a zone of this name is a registry's: the root, a top-level domain, or a public suffix of the ICANN section.
/// `zone` is in lower-case A-labels without the trailing dot; `.` or nothing is the root.
pub fn is_registry(zone: &str) -> bool {
    let labels = zone.trim_end_matches('.');
    let Some(suffix) = psl::suffix(zone.as_bytes()).filter(|_| labels.contains('.')) else { return true };
    suffix.as_bytes() == zone.as_bytes() && suffix.typ() == Some(Type::Icann)
}

/// Who keeps a public suffix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    /// A registry: `com`, `co.uk`.
    Icann,
    /// Somebody who gives names below their own domain to others: `github.io`.
    Private,
}

/// Where a name stands in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is a public suffix itself.
    PublicSuffix(Section),
    /// It lies within a registrable domain.
    Registrable {
        /// The registrable domain.
        apex: DomainName,
        /// Who keeps the suffix right above it.
        section: Section,
    },
    /// No rule knows its top-level domain; by the list's implicit rule the last two labels are registrable.
    Unlisted {
        /// The last two labels.
        apex: DomainName,
    },
}

/// Looks a name up. The list has its international rules in A-label form too.
pub(super) fn standing(name: &DomainName) -> Standing {
    let section = |suffix: psl::Suffix<'_>| match suffix.typ()? {
        Type::Icann => Some(Section::Icann),
        Type::Private => Some(Section::Private),
    };
    let text = name.as_str().as_bytes();
    let Some(domain) = psl::domain(text) else {
        // The implicit rule names a single label, so a name of two labels that is a suffix is a listed one.
        return Standing::PublicSuffix(psl::suffix(text).and_then(section).unwrap_or(Section::Icann));
    };
    let apex = name.tail(domain.as_bytes().len());
    match section(domain.suffix()) {
        Some(section) => Standing::Registrable { apex, section },
        None => Standing::Unlisted { apex },
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_version_is_the_one_in_the_lock_file() {
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
    fn registries_are_told_from_other_zones() {
        for zone in ["", ".", "com", "test", "co.uk", "xn--p1ai"] {
            assert!(is_registry(zone), "{zone}");
        }
        for zone in ["acme.com", "acme.co.uk", "acme.test", "github.io", "www.acme.com"] {
            assert!(!is_registry(zone), "{zone}");
        }
    }

    #[test]
    fn the_list_decides() {
        use Section::{Icann, Private};
        let found = |name: &str| standing(&name.parse().unwrap());
        let of = |section| move |name: &str| Standing::Registrable { apex: name.parse().unwrap(), section };
        let (apex, private) = (of(Icann), of(Private));
        let unlisted = |name: &str| Standing::Unlisted { apex: name.parse().unwrap() };
        for (name, expected) in [
            ("acme.com", apex("acme.com")),
            ("a.b.acme.com", apex("acme.com")),
            ("co.uk", Standing::PublicSuffix(Icann)),
            ("acme.co.uk", apex("acme.co.uk")),
            ("www.acme.co.uk", apex("acme.co.uk")),
            ("github.io", Standing::PublicSuffix(Private)),
            ("foo.github.io", private("foo.github.io")),
            ("a.foo.github.io", private("foo.github.io")),
            // A rule with a wildcard, and its exception.
            ("foo.ck", Standing::PublicSuffix(Icann)),
            ("www.ck", apex("www.ck")),
            ("city.kobe.jp", apex("city.kobe.jp")),
            // Above a private suffix.
            ("amazonaws.com", apex("amazonaws.com")),
            ("x.s3.amazonaws.com", private("x.s3.amazonaws.com")),
            // International rules.
            ("公司.cn", Standing::PublicSuffix(Icann)),
            ("食狮.公司.cn", apex("食狮.公司.cn")),
            ("пример.рф", apex("пример.рф")),
            ("a.b.test", unlisted("b.test")),
            ("b.test", unlisted("b.test")),
        ] {
            assert_eq!(found(name), expected, "{name}");
        }
    }
}
