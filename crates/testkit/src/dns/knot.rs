//! A private Knot DNS: an authoritative server that serves and signs zone files of a test.
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
};

use tempfile::TempDir;

use super::{
    process::{Process, program, run},
    zone::ZoneText,
};

/// A running server; stopped on drop.
#[derive(Debug)]
pub struct Knot {
    process: Process,
    address: SocketAddr,
}

const PACKAGE: &str = "knot";

impl Knot {
    /// Starts a server for these zones on one loopback address.
    ///
    /// # Panics
    /// When Knot is not installed or does not start; the message contains its log.
    pub fn start(address: Ipv4Addr, port: u16, zones: &[ZoneText]) -> Self {
        let folder = TempDir::with_prefix("deed-knot-").expect("a temporary folder");
        let path = folder.path();
        for zone in zones {
            zone.write(path);
        }
        fs::write(path.join("knot.conf"), config(path, address, port, zones))
            .expect("the configuration is written");
        let mut command = Command::new(program("knotd", PACKAGE));
        command.arg("-c").arg(path.join("knot.conf"));
        let mut process = Process::start("knotd", folder, &mut command);
        let address = (address, port).into();
        process.wait("its start", |log| log.contains("server started"));
        process.wait_for(address, zones, &[]);
        Self { process, address }
    }

    /// The listening address, UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Replaces a zone file and reloads it; the serial has to be higher.
    ///
    /// # Panics
    /// When the server rejects the zone.
    pub fn publish(&self, zone: &ZoneText) {
        zone.write(self.process.folder());
        self.tool("knotc", &["-b", "zone-reload", &zone.fqdn()]);
    }

    /// The DS records of a signed zone, for its parent zone.
    ///
    /// # Panics
    /// When it does not sign the zone.
    pub fn ds(&self, origin: &str) -> String {
        let records = self.tool("keymgr", &[&format!("{origin}."), "ds"]);
        assert!(records.contains(" DS "), "no key for {origin}: {records}");
        records
    }

    fn tool(&self, name: &str, words: &[&str]) -> String {
        let config = self.process.folder().join("knot.conf");
        run(Command::new(program(name, PACKAGE)).arg("-c").arg(config).args(words))
    }
}

fn config(folder: &Path, address: Ipv4Addr, port: u16, zones: &[ZoneText]) -> String {
    let home = folder.display();
    let mut text = format!(
        "server:\n    rundir: \"{home}\"\n    listen: {address}@{port}\n    udp-workers: 1\n    tcp-workers: 1\n    \
         background-workers: 1\nlog:\n  - target: stdout\n    any: info\ndatabase:\n    storage: \"{home}\"\n\
         control:\n    listen: \"{home}/knot.sock\"\n\
         policy:\n  - id: tests\n    algorithm: ecdsap256sha256\n    single-type-signing: on\n    nsec3: off\nzone:\n"
    );
    for zone in zones {
        let name = if zone.origin.is_empty() { "." } else { &zone.origin };
        let file = zone.file();
        let entry = format!(
            "  - domain: \"{name}\"\n    storage: \"{home}\"\n    file: \"{file}\"\n    zonefile-sync: -1\n"
        );
        text.push_str(&entry);
        // Signed zones get serials from the server.
        text.push_str(if zone.signed {
            "    dnssec-signing: on\n    dnssec-policy: tests\n    zonefile-load: difference-no-serial\n    \
             journal-content: all\n"
        } else {
            "    zonefile-load: difference\n    journal-content: changes\n"
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 41);

    #[test]
    fn serves_and_reloads_a_zone() {
        let port = crate::free_port(&[ADDRESS]);
        let zone = |serial, lines: &str| ZoneText::new("acme.com", "ns1.acme.com", ADDRESS, serial, lines);
        let knot = Knot::start(ADDRESS, port, &[zone(1, "")]);
        assert!(std::net::TcpStream::connect(knot.address()).is_ok());
        knot.publish(&zone(2, "_deed.acme.com. TXT \"value\""));
    }

    #[test]
    fn signs_a_zone() {
        let port = crate::free_port(&[ADDRESS]);
        let zone = ZoneText::new("acme.com", "ns1.acme.com", ADDRESS, 1, "").signed();
        let knot = Knot::start(ADDRESS, port, &[zone]);
        assert!(knot.ds("acme.com").starts_with("acme.com. DS "));
    }
}
