//! Zones signed by BIND's tools, which can be told to sign them wrong.
use std::{path::Path, process::Command};

use tempfile::TempDir;

use super::{
    process::{program, run},
    zone::ZoneText,
};

/// How a signed zone proves that something does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// By names (RFC 4034 §4).
    Nsec,
    /// By hashes of names (RFC 5155).
    Nsec3,
    /// By hashes, and delegations without keys left out.
    OptOut,
    /// By hashes that take so many more rounds to compute: more than a few are refused by resolvers (RFC 9276).
    Iterations(u16),
}

/// When signatures are valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// Since an hour, for a month.
    Now,
    /// For a month, years ago.
    Past,
    /// Until five days ago, as in a copy that is not renewed any more.
    Stale,
}

/// A zone with its signatures and its key.
#[derive(Debug, Clone)]
pub struct SignedZone {
    /// One record a line, names in full.
    pub zone: ZoneText,
    /// The DS record for the zone above, or for whoever trusts it.
    pub ds: String,
}

const PACKAGES: &str = "bind9 bind9-utils";

impl SignedZone {
    /// Signs a zone with a new key.
    ///
    /// # Panics
    /// When BIND's tools are not installed or refuse the zone.
    pub fn sign(zone: &ZoneText, denial: Denial, validity: Validity) -> Self {
        Self::sign_copies(&[(zone, validity)], denial).swap_remove(0)
    }

    /// Signs copies of one zone with one new key.
    ///
    /// # Panics
    /// When BIND's tools are not installed or refuse a copy, or there is none.
    pub fn sign_copies(copies: &[(&ZoneText, Validity)], denial: Denial) -> Vec<Self> {
        let (zone, _) = copies.first().expect("there is a copy");
        let folder = TempDir::with_prefix("deed-sign-").expect("a temporary folder");
        let path = folder.path();
        zone.write(path);
        let tool = |name: &str| {
            let mut command = Command::new(program(name, PACKAGES));
            command.current_dir(path);
            command
        };
        let name = zone.fqdn();
        let key = run(tool("dnssec-keygen").args(["-q", "-a", "ECDSAP256SHA256", "-f", "KSK", &name]));
        let ds = run(tool("dnssec-dsfromkey").arg("-2").arg(key.trim())).trim().to_owned();
        let signed = copies.iter().map(|(copy, validity)| {
            copy.write(path);
            let (from, to) = match validity {
                Validity::Now => ("now-1h", "now+30d"),
                Validity::Past => ("20200101000000", "20200201000000"),
                Validity::Stale => ("now-35d", "now-5d"),
            };
            let mut sign = tool("dnssec-signzone");
            sign.args([
                "-q", "-P", "-S", "-z", "-O", "full", "-o", &name, "-s", from, "-e", to, "-f", "signed",
            ]);
            match denial {
                Denial::Nsec => {}
                Denial::Nsec3 => drop(sign.args(["-3", "-", "-H", "0"])),
                Denial::OptOut => drop(sign.args(["-3", "-", "-H", "0", "-A"])),
                Denial::Iterations(count) => drop(sign.args(["-3", "-", "-H", &count.to_string()])),
            }
            run(sign.arg(copy.file()));
            Self { zone: ZoneText { text: read(&path.join("signed")), ..(*copy).clone() }, ds: ds.clone() }
        });
        signed.collect()
    }

    /// The zone without its records of a type, and without their signatures.
    #[must_use]
    pub fn without(&self, rtype: &str) -> ZoneText {
        let is = |line: &str| {
            let mut words = line.split_whitespace().skip(3);
            let found = words.next();
            found == Some(rtype) || (found == Some("RRSIG") && words.next() == Some(rtype))
        };
        let kept: Vec<&str> = self.zone.text.lines().filter(|line| !is(line)).collect();
        let text = kept.join("\n") + "\n";
        ZoneText { text, ..self.zone.clone() }
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("the signed zone is read")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_signed_and_can_lose_its_keys() {
        let zone = ZoneText::new("acme.com", "ns1.acme.com", std::net::Ipv4Addr::LOCALHOST, 1, "x TXT \"y\"");
        for denial in [Denial::Nsec, Denial::Nsec3, Denial::OptOut] {
            let signed = SignedZone::sign(&zone, denial, Validity::Now);
            assert!(signed.ds.starts_with("acme.com. IN DS "), "{}", signed.ds);
            assert!(signed.zone.text.contains(" RRSIG\tTXT "), "{}", signed.zone.text);
            assert!(signed.zone.text.contains("DNSKEY"));
            let keyless = signed.without("DNSKEY").text;
            assert!(!keyless.lines().any(|line| line.contains(" IN DNSKEY")), "{keyless}");
            assert!(!keyless.contains("RRSIG\tDNSKEY"), "{keyless}");
        }
    }
}
