//! A private BIND; it answers SERVFAIL for zones that it cannot load.
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
pub struct Bind {
    _process: Process,
    address: SocketAddr,
}

impl Bind {
    /// The listening address. BIND accepts only addresses of an interface; of the loopback network that is
    /// this one.
    pub const ADDRESS: Ipv4Addr = Ipv4Addr::LOCALHOST;

    /// Starts a server for these zones; zones in `broken` may fail to load.
    ///
    /// # Panics
    /// When BIND is not installed, does not start, or is asked to sign a zone.
    pub fn start(port: u16, zones: &[ZoneText], broken: &[&str]) -> Self {
        assert!(zones.iter().all(|zone| !zone.signed), "BIND is not asked to sign here");
        let folder = TempDir::with_prefix("deed-bind-").expect("a temporary folder");
        let (path, address) = (folder.path(), Self::ADDRESS);
        let home = path.display();
        let mut config = format!(
            "options {{ directory \"{home}\"; listen-on port {port} {{ {address}; }}; listen-on-v6 {{ none; }}; \
             recursion no; notify no; pid-file none; session-keyfile none; lock-file none; allow-transfer {{ none; }}; \
             dnssec-validation no; minimal-responses yes; empty-zones-enable no; }};\ncontrols {{ }};\n"
        );
        for zone in zones {
            zone.write(path);
            // Writing to a string cannot fail.
            let _ = writeln!(
                config,
                "zone \"{}\" {{ type primary; file \"{}\"; check-names ignore; }};",
                zone.fqdn(),
                zone.file()
            );
        }
        fs::write(path.join("named.conf"), config).expect("the configuration is written");
        let mut command = Command::new(program("named", "bind9"));
        command.args(["-g", "-4", "-n", "1", "-c"]).arg(path.join("named.conf"));
        let mut process = Process::start("named", folder, &mut command);
        let address = (address, port).into();
        process.wait("its start", |log| log.contains(": running") || log.ends_with(" running\n"));
        process.wait_for(address, zones, broken);
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
    use crate::dns::soa_query::SoaQuery;

    #[test]
    fn answers_servfail_for_a_broken_zone() {
        let address = Bind::ADDRESS;
        let port = crate::free_port(&[address]);
        let sound = ZoneText::new("acme.com", "ns1.acme.com", address, 1, "");
        let broken = ZoneText::new("broken.com", "ns1.acme.com", address, 1, "no record (");
        let bind = Bind::start(port, &[sound, broken], &["broken.com"]);
        assert_eq!(SoaQuery::of("acme.com").ask(bind.address()), Some(0));
        assert_eq!(SoaQuery::of("broken.com").ask(bind.address()), Some(2));
    }
}
