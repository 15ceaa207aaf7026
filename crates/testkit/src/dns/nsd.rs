//! A private NSD: serves zone files unchanged, even with broken signatures.
use std::{
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, SocketAddr},
    process::Command,
};

use tempfile::TempDir;

use super::{
    process::{Process, program},
    zone::ZoneText,
};

/// A running server; stopped on drop.
#[derive(Debug)]
pub struct Nsd {
    _process: Process,
    address: SocketAddr,
}

impl Nsd {
    /// Starts a server for these zones on one loopback address.
    ///
    /// # Panics
    /// When NSD is not installed, does not start, or is asked to sign a zone.
    pub fn start(address: Ipv4Addr, port: u16, zones: &[ZoneText]) -> Self {
        assert!(zones.iter().all(|zone| !zone.signed), "NSD does not sign");
        let folder = TempDir::with_prefix("deed-nsd-").expect("a temporary folder");
        let path = folder.path();
        let home = path.display();
        let mut config = format!(
            "server:\n  ip-address: {address}@{port}\n  server-count: 1\n  username: \"\"\n  chroot: \"\"\n  \
             zonesdir: \"{home}\"\n  database: \"\"\n  pidfile: \"\"\n  xfrdfile: \"{home}/xfrd.state\"\n  xfrdir: \"{home}\"\n  \
             zonelistfile: \"{home}/zone.list\"\n  rrl-ratelimit: 0\n  hide-version: yes\n\
             remote-control:\n  control-enable: no\n"
        );
        for zone in zones {
            zone.write(path);
            // Writing to a string cannot fail.
            let _ = write!(config, "zone:\n  name: \"{}\"\n  zonefile: \"{}\"\n", zone.fqdn(), zone.file());
        }
        fs::write(path.join("nsd.conf"), config).expect("the configuration is written");
        let mut command = Command::new(program("nsd", "nsd"));
        command.arg("-d").arg("-c").arg(path.join("nsd.conf"));
        let mut process = Process::start("nsd", folder, &mut command);
        let address = (address, port).into();
        process.wait_for(address, zones, &[]);
        Self { _process: process, address }
    }

    /// The listening address, UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serves_a_zone() {
        let address = Ipv4Addr::new(127, 0, 0, 42);
        let port = crate::free_port(&[address]);
        let nsd = Nsd::start(address, port, &[ZoneText::new("acme.com", "ns1.acme.com", address, 1, "")]);
        assert!(std::net::TcpStream::connect(nsd.address()).is_ok());
    }
}
