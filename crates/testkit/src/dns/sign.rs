//! Zones signed by BIND's tools, on request with faults.
use std::{path::Path, process::Command};

use tempfile::TempDir;

use super::{
    process::{program, run},
    zone::ZoneText,
};

/// How a signed zone denies the existence of names and types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// NSEC (RFC 4034 §4).
    Nsec,
    /// NSEC3 (RFC 5155).
    Nsec3,
    /// NSEC3 with opt-out: unsigned delegations are omitted (RFC 5155 §6).
    OptOut,
    /// NSEC3 with this many extra iterations; resolvers reject high numbers (RFC 9276).
    Iterations(u16),
}

/// The validity period of signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// Current: from one hour ago for a month.
    Now,
    /// Expired years ago.
    Past,
    /// Expired five days ago, as in a copy that is no longer renewed.
    Stale,
}

/// A zone with its signatures and its key.
#[derive(Debug, Clone)]
pub struct SignedZone {
    /// One record per line, with absolute names.
    pub zone: ZoneText,
    /// The DS record, for the parent zone or as a trust anchor.
    pub ds: String,
}

const PACKAGES: &str = "bind9 bind9-utils";

impl SignedZone {
    /// Signs a zone with a new key.
    ///
    /// # Panics
    /// When BIND's tools are not installed or reject the zone.
    pub fn sign(zone: &ZoneText, denial: Denial, validity: Validity) -> Self {
        Self::sign_copies(&[(zone, validity)], denial).swap_remove(0)
    }

    /// Signs copies of one zone with one new key.
    ///
    /// # Panics
    /// When BIND's tools are not installed or reject a copy, or `copies` is empty.
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

    /// The zone without the records of a type and their signatures.
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
    fn signs_a_zone_and_removes_its_keys() {
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
