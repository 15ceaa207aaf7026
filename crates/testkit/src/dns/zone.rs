//! Zone files as text.
use std::{fs, net::Ipv4Addr, path::Path};

/// A zone and its zone file.
#[derive(Debug, Clone)]
pub struct ZoneText {
    /// The origin, without the trailing dot; empty for the root.
    pub origin: String,
    /// The zone file (RFC 1035 §5).
    pub text: String,
    /// Whether the server signs it; only Knot and PowerDNS do.
    pub signed: bool,
}

impl ZoneText {
    /// A zone with an SOA, one name server and further lines.
    pub fn new(origin: &str, server: &str, address: Ipv4Addr, serial: u32, lines: &str) -> Self {
        Self::with_soa(
            origin,
            server,
            serial,
            3600,
            &format!("@ NS {server}.\n{server}. A {address}\n{lines}"),
        )
    }

    /// A zone with an SOA and these lines, which contain its NS records; names without a trailing dot are
    /// relative.
    pub fn with_soa(origin: &str, server: &str, serial: u32, minimum: u32, lines: &str) -> Self {
        let text = format!(
            "$ORIGIN {origin}.\n$TTL 300\n@ 3600 IN SOA {server}. hostmaster.{server}. {serial} 3600 600 86400 {minimum}\n{lines}\n"
        );
        Self { origin: origin.to_owned(), text, signed: false }
    }

    /// The zone, to be signed by its server.
    #[must_use]
    pub fn signed(self) -> Self {
        Self { signed: true, ..self }
    }

    /// The origin with its trailing dot.
    pub(super) fn fqdn(&self) -> String {
        format!("{}.", self.origin)
    }

    /// The file name.
    pub(super) fn file(&self) -> String {
        if self.origin.is_empty() { "root.zone".to_owned() } else { format!("{}.zone", self.origin) }
    }

    pub(super) fn write(&self, folder: &Path) {
        fs::write(folder.join(self.file()), &self.text).expect("the zone file is written");
    }
}
