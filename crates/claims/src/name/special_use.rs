//! Special-use zones, which are never part of the public DNS.
use super::DomainName;

/// The reserved zones; all names below them are reserved as well.
const ZONES: &[&str] = &[
    // The Special-Use Domain Names registry (RFC 6761). All of `arpa` is reserved for infrastructure (RFC 3172).
    "alt",
    "arpa",
    "example",
    "example.com",
    "example.net",
    "example.org",
    "invalid",
    "local",
    "localhost",
    "onion",
    "test",
    // Not in the registry, but never delegated: ICANN reserves `internal` for private use, and does not delegate the
    // others because of their wide private use.
    "corp",
    "home",
    "internal",
    "intranet",
    "lan",
    "mail",
    "private",
];

/// The reserved zone that a name is in.
pub(super) fn zone_of(name: &DomainName) -> Option<&'static str> {
    ZONES.iter().copied().find(|zone| {
        name.as_str().strip_suffix(zone).is_some_and(|below| below.is_empty() || below.ends_with('.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserves_a_zone_and_all_names_below() {
        let zone = |name: &str| zone_of(&name.parse().unwrap());
        assert_eq!(zone("example.com"), Some("example.com"));
        assert_eq!(zone("a.b.example.com"), Some("example.com"));
        assert_eq!(zone("myexample.com"), None);
        assert_eq!(zone("example.com.de"), None);
        assert_eq!(zone("example.de"), None);
        assert_eq!(zone("printer.local"), Some("local"));
        assert_eq!(zone("local.de"), None);
        assert_eq!(zone("mylocal.de"), None);
        assert_eq!(zone("1.0.168.192.in-addr.arpa"), Some("arpa"));
    }
}
