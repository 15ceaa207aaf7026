//! Zones that are never part of the public DNS.
use super::DomainName;

/// Every zone set aside; names below count too.
const ZONES: &[&str] = &[
    // The Special-Use Domain Names registry (RFC 6761). Of its entries under `arpa`, and of everything else there,
    // none is anybody's to claim: the whole of it is kept for infrastructure (RFC 3172).
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
    // Not registered there, but never to be delegated: `internal` is reserved for private use by ICANN, the others
    // are in such wide private use that they were turned down as top-level domains or never stood a chance.
    "corp",
    "home",
    "internal",
    "intranet",
    "lan",
    "mail",
    "private",
];

/// The zone set aside in which a name lies.
pub(super) fn zone_of(name: &DomainName) -> Option<&'static str> {
    ZONES.iter().copied().find(|zone| {
        name.as_str().strip_suffix(zone).is_some_and(|below| below.is_empty() || below.ends_with('.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_holds_itself_and_what_is_below() {
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
