//! A private PowerDNS, which signs answers online.
use std::{
    fmt::Write as _,
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
pub struct PowerDns {
    process: Process,
    address: SocketAddr,
}

const PACKAGES: &str = "pdns-server pdns-backend-bind";

impl PowerDns {
    /// Starts a server for these zones on one loopback address.
    ///
    /// # Panics
    /// When PowerDNS is not installed or does not start; the message contains its log.
    pub fn start(address: Ipv4Addr, port: u16, zones: &[ZoneText]) -> Self {
        let folder = TempDir::with_prefix("deed-pdns-").expect("a temporary folder");
        let path = folder.path();
        let home = path.display();
        // The last line turns off the security polling of PowerDNS.
        let config = format!(
            "launch=bind\nbind-config={home}/named.conf\nbind-dnssec-db={home}/keys.db\nbind-check-interval=0\n\
             local-address={address}\nlocal-port={port}\nsocket-dir={home}\ndaemon=no\nguardian=no\n\
             disable-syslog=yes\nloglevel=4\nreceiver-threads=1\ndistributor-threads=1\nversion-string=anonymous\n\
             security-poll-suffix=\n"
        );
        fs::write(path.join("pdns.conf"), config).expect("the configuration is written");
        let mut list = String::new();
        for zone in zones {
            zone.write(path);
            // Writing to a string cannot fail.
            let _ = writeln!(
                list,
                "zone \"{}\" {{ type native; file \"{home}/{}\"; }};",
                zone.origin,
                zone.file()
            );
        }
        fs::write(path.join("named.conf"), list).expect("the list of zones is written");
        util(path, &["create-bind-db", &format!("{home}/keys.db")]);
        for zone in zones.iter().filter(|zone| zone.signed) {
            util(path, &["secure-zone", &zone.origin]);
        }
        let mut command = Command::new(program("pdns_server", PACKAGES));
        command.arg(format!("--config-dir={home}"));
        let mut process = Process::start("pdns_server", folder, &mut command);
        let address = (address, port).into();
        process.wait_for(address, zones, &[]);
        Self { process, address }
    }

    /// The listening address, UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The DS records of a signed zone, for its parent zone.
    ///
    /// # Panics
    /// When it does not sign the zone.
    pub fn ds(&self, origin: &str) -> String {
        let records = util(self.process.folder(), &["export-zone-ds", origin]);
        let records: Vec<&str> =
            records.lines().map(|line| line.split(" ;").next().unwrap_or(line)).collect();
        assert!(!records.is_empty(), "no key for {origin}");
        records.join("\n")
    }
}

fn util(folder: &Path, words: &[&str]) -> String {
    let home = format!("--config-dir={}", folder.display());
    run(Command::new(program("pdnsutil", PACKAGES)).arg(home).args(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_a_zone() {
        let address = Ipv4Addr::new(127, 0, 0, 44);
        let port = crate::free_port(&[address]);
        let zone = ZoneText::new("acme.com", "ns1.acme.com", address, 1, "").signed();
        let server = PowerDns::start(address, port, &[zone]);
        assert!(server.ds("acme.com").contains(" DS "), "{}", server.ds("acme.com"));
        assert!(std::net::TcpStream::connect(server.address()).is_ok());
    }
}
