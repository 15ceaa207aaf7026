//! A private Unbound: a caching, validating resolver.
use std::{
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, SocketAddr},
    process::Command,
};

use tempfile::TempDir;

use super::process::{Process, program};

/// A zone and its server. The resolver queries port 53 only, so zones on other ports have to be configured.
#[derive(Debug, Clone)]
pub struct Stub {
    /// The zone, without the trailing dot; empty for the root.
    pub zone: String,
    /// Its server.
    pub server: SocketAddr,
}

/// A running resolver; stopped on drop.
#[derive(Debug)]
pub struct Unbound {
    _process: Process,
    address: SocketAddr,
}

impl Unbound {
    /// Starts a resolver on a loopback address. It validates when a trust anchor, a DS or DNSKEY record of
    /// the root, is given.
    ///
    /// # Panics
    /// When Unbound is not installed or does not start; the message contains its log.
    pub fn start(address: Ipv4Addr, port: u16, stubs: &[Stub], anchor: Option<&str>) -> Self {
        let folder = TempDir::with_prefix("deed-unbound-").expect("a temporary folder");
        let path = folder.path();
        let home = path.display();
        let modules = if anchor.is_some() { "validator iterator" } else { "iterator" };
        let mut config = format!(
            "server:\n  interface: {address}@{port}\n  port: {port}\n  do-ip6: no\n  do-daemonize: no\n  username: \"\"\n  \
             chroot: \"\"\n  directory: \"{home}\"\n  pidfile: \"\"\n  use-syslog: no\n  logfile: \"\"\n  num-threads: 1\n  \
             access-control: 127.0.0.0/8 allow\n  do-not-query-localhost: no\n  ede: yes\n  val-log-level: 2\n  \
             module-config: \"{modules}\"\n"
        );
        if let Some(anchor) = anchor {
            fs::write(path.join("anchor"), format!("{anchor}\n")).expect("the anchor is written");
            // Writing to a string cannot fail.
            let _ = writeln!(config, "  trust-anchor-file: \"{home}/anchor\"");
        }
        config.push_str("remote-control:\n  control-enable: no\n");
        for Stub { zone, server } in stubs {
            let _ = writeln!(
                config,
                "stub-zone:\n  name: \"{zone}.\"\n  stub-addr: {}@{}\n  stub-prime: no",
                server.ip(),
                server.port()
            );
        }
        fs::write(path.join("unbound.conf"), config).expect("the configuration is written");
        let mut command = Command::new(program("unbound", "unbound"));
        command.arg("-d").arg("-c").arg(path.join("unbound.conf"));
        let mut process = Process::start("unbound", folder, &mut command);
        process.wait("its start", |log| log.contains("start of service"));
        Self { _process: process, address: (address, port).into() }
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
    use crate::{Denial, Nsd, SignedZone, Validity, ZoneText};

    #[test]
    fn validates_from_its_trust_anchor() {
        let (nsd, unbound) = (Ipv4Addr::new(127, 0, 0, 45), Ipv4Addr::new(127, 0, 0, 46));
        let port = crate::free_port(&[nsd, unbound]);
        let root = |validity| {
            let zone = ZoneText::new("", "ns", nsd, 1, "");
            SignedZone::sign(&zone, Denial::Nsec, validity)
        };
        for (validity, rcode) in [(Validity::Now, 0), (Validity::Past, 2)] {
            let root = root(validity);
            let server = Nsd::start(nsd, port, &[root.zone]);
            let stub = Stub { zone: String::new(), server: server.address() };
            let resolver = Unbound::start(unbound, port, &[stub], Some(&root.ds));
            assert_eq!(SoaQuery::of("").resolve(resolver.address()), Some(rcode), "{validity:?}");
        }
    }
}
