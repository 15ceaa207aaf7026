//! The root servers where a walk starts, built in or from a hints file.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One address of one root server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootHint {
    /// The server's name.
    pub name: String,
    /// One of its addresses.
    pub addr: IpAddr,
}

/// Why a hints file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HintsError {
    /// An address record without a valid address.
    #[error("line {line} of the root hints: `{text}` is not an address record")]
    Address {
        /// Counted from one.
        line: usize,
        /// The line as written.
        text: String,
    },
    /// The file has no address record.
    #[error("the root hints have no address record")]
    Empty,
}

/// The thirteen root servers, each over IPv4 and IPv6 (IANA, `named.root`).
pub fn iana_roots() -> Vec<RootHint> {
    SERVERS
        .iter()
        .flat_map(|(letter, v4, v6)| {
            let name = format!("{letter}.root-servers.net");
            [
                RootHint { name: name.clone(), addr: IpAddr::V4(Ipv4Addr::from(*v4)) },
                RootHint { name, addr: IpAddr::V6(Ipv6Addr::from(*v6)) },
            ]
        })
        .collect()
}

/// Whether these are the public root servers, by name, because their addresses change now and then. IANA's trust
/// anchor belongs to them.
pub(crate) fn are_public(roots: &[RootHint]) -> bool {
    roots
        .iter()
        .all(|root| root.name.trim_end_matches('.').to_ascii_lowercase().ends_with(".root-servers.net"))
}

const SERVERS: [(char, [u8; 4], [u16; 8]); 13] = [
    ('a', [198, 41, 0, 4], [0x2001, 0x503, 0xba3e, 0, 0, 0, 2, 0x30]),
    ('b', [170, 247, 170, 2], [0x2801, 0x1b8, 0x10, 0, 0, 0, 0, 0xb]),
    ('c', [192, 33, 4, 12], [0x2001, 0x500, 2, 0, 0, 0, 0, 0xc]),
    ('d', [199, 7, 91, 13], [0x2001, 0x500, 0x2d, 0, 0, 0, 0, 0xd]),
    ('e', [192, 203, 230, 10], [0x2001, 0x500, 0xa8, 0, 0, 0, 0, 0xe]),
    ('f', [192, 5, 5, 241], [0x2001, 0x500, 0x2f, 0, 0, 0, 0, 0xf]),
    ('g', [192, 112, 36, 4], [0x2001, 0x500, 0x12, 0, 0, 0, 0, 0xd0d]),
    ('h', [198, 97, 190, 53], [0x2001, 0x500, 1, 0, 0, 0, 0, 0x53]),
    ('i', [192, 36, 148, 17], [0x2001, 0x7fe, 0, 0, 0, 0, 0, 0x53]),
    ('j', [192, 58, 128, 30], [0x2001, 0x503, 0xc27, 0, 0, 0, 2, 0x30]),
    ('k', [193, 0, 14, 129], [0x2001, 0x7fd, 0, 0, 0, 0, 0, 1]),
    ('l', [199, 7, 83, 42], [0x2001, 0x500, 0x9f, 0, 0, 0, 0, 0x42]),
    ('m', [202, 12, 27, 33], [0x2001, 0xdc3, 0, 0, 0, 0, 0, 0x35]),
];

/// Reads a hints file in the form of `named.root`: only its A and AAAA records count.
///
/// # Errors
/// [`HintsError`] when an address record has no address, or the file has no address record.
pub fn roots_from_hints(text: &str) -> Result<Vec<RootHint>, HintsError> {
    let mut roots = vec![];
    for (index, line) in text.lines().enumerate() {
        let record = line.split(';').next().unwrap_or_default();
        let fields: Vec<&str> = record.split_whitespace().collect();
        let Some(at) =
            fields.iter().position(|f| f.eq_ignore_ascii_case("A") || f.eq_ignore_ascii_case("AAAA"))
        else {
            continue;
        };
        let fault = || HintsError::Address { line: index + 1, text: line.to_owned() };
        let name = fields.first().filter(|_| at > 0).ok_or_else(fault)?;
        let addr: IpAddr = fields.get(at + 1).and_then(|a| a.parse().ok()).ok_or_else(fault)?;
        if addr.is_ipv4() != fields[at].eq_ignore_ascii_case("A") {
            return Err(fault());
        }
        roots.push(RootHint { name: name.trim_end_matches('.').to_ascii_lowercase(), addr });
    }
    if roots.is_empty() { Err(HintsError::Empty) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_thirteen_built_in_roots_in_both_families() {
        let roots = iana_roots();
        assert_eq!(roots.len(), 26);
        assert_eq!(roots.iter().filter(|r| r.addr.is_ipv4()).count(), 13);
        assert_eq!(roots[10].addr, "192.5.5.241".parse::<IpAddr>().unwrap());
        assert_eq!(roots[11].addr, "2001:500:2f::f".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn reads_published_hints_file() {
        let text = ";  formerly NS.INTERNIC.NET\n\
                    .                        3600000      NS    A.ROOT-SERVERS.NET.\n\
                    A.ROOT-SERVERS.NET.      3600000      A     198.41.0.4\n\
                    A.ROOT-SERVERS.NET.      3600000 IN   AAAA  2001:503:ba3e::2:30 ; both families\n\n";
        let roots = roots_from_hints(text).unwrap();
        assert_eq!(
            roots,
            [
                RootHint { name: "a.root-servers.net".into(), addr: "198.41.0.4".parse().unwrap() },
                RootHint { name: "a.root-servers.net".into(), addr: "2001:503:ba3e::2:30".parse().unwrap() },
            ]
        );
    }

    #[test]
    fn names_line_of_faulty_hints() {
        let fault = roots_from_hints("; head\nx. 1 A nowhere\n").unwrap_err();
        assert_eq!(fault, HintsError::Address { line: 2, text: "x. 1 A nowhere".into() });
        assert!(matches!(roots_from_hints("x. 1 A ::1"), Err(HintsError::Address { line: 1, .. })));
        assert_eq!(roots_from_hints(". 1 NS x."), Err(HintsError::Empty));
    }
}
