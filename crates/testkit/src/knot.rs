//! A private Knot DNS: a third party's authoritative server that serves zone files made by a test.
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// A zone and the text of its file.
#[derive(Debug, Clone)]
pub struct ZoneText {
    /// Its name, without the trailing dot; empty for the root.
    pub origin: String,
    /// The zone file (RFC 1035 §5).
    pub text: String,
}

impl ZoneText {
    /// A zone with an SOA, one name server and these further lines.
    pub fn new(origin: &str, server: &str, address: Ipv4Addr, serial: u32, lines: &str) -> Self {
        let apex = if origin.is_empty() { ".".to_owned() } else { format!("{origin}.") };
        let text = format!(
            "$TTL 300\n{apex} SOA {server}. hostmaster.{server}. {serial} 3600 600 86400 3600\n{apex} NS {server}.\n\
             {server}. A {address}\n{lines}\n"
        );
        Self { origin: origin.to_owned(), text }
    }
}

/// A running server; ends with this value.
#[derive(Debug)]
pub struct Knot {
    child: Child,
    folder: TempDir,
    address: SocketAddr,
}

const INSTALL: &str = "apt-get install --yes knot";

fn program(name: &str) -> PathBuf {
    ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"]
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("{name} is not installed; `{INSTALL}` installs it"))
}

impl Knot {
    /// Starts a server for these zones on one loopback address.
    ///
    /// # Panics
    /// When Knot is not installed or does not come up; the message holds its log.
    pub fn start(address: Ipv4Addr, port: u16, zones: &[ZoneText]) -> Self {
        let folder = TempDir::with_prefix("deed-knot-").expect("a temporary folder");
        let path = folder.path();
        for zone in zones {
            fs::write(path.join(file_of(&zone.origin)), &zone.text).expect("the zone file is written");
        }
        fs::write(path.join("knot.conf"), config(path, address, port, zones))
            .expect("the configuration is written");
        let log = fs::File::create(path.join("knot.log")).expect("a log file");
        let child = Command::new(program("knotd"))
            .arg("-c")
            .arg(path.join("knot.conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle of the log"))
            .stderr(log)
            .spawn()
            .expect("knotd starts");
        let mut server = Self { child, folder, address: (address, port).into() };
        server.wait_until_ready();
        server
    }

    /// Where it listens, UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Replaces a zone's file and has the server load it; the serial has to have grown.
    ///
    /// # Panics
    /// When the server does not take the zone.
    pub fn publish(&self, zone: &ZoneText) {
        fs::write(self.folder.path().join(file_of(&zone.origin)), &zone.text)
            .expect("the zone file is written");
        self.control(&["-b", "zone-reload", &format!("{}.", zone.origin)]);
    }

    fn control(&self, words: &[&str]) {
        let output = Command::new(program("knotc"))
            .arg("-c")
            .arg(self.folder.path().join("knot.conf"))
            .args(words)
            .output()
            .expect("knotc runs");
        assert!(output.status.success(), "knotc {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        let log = self.folder.path().join("knot.log");
        loop {
            let text = fs::read_to_string(&log).unwrap_or_default();
            let ended = self.child.try_wait().expect("the child can be asked").is_some();
            assert!(!ended && Instant::now() < deadline, "knotd does not come up:\n{text}");
            let ready = Command::new(program("knotc"))
                .arg("-c")
                .arg(self.folder.path().join("knot.conf"))
                .arg("status")
                .output()
                .is_ok_and(|output| output.status.success());
            if ready && text.contains("server started") {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
}

impl Drop for Knot {
    fn drop(&mut self) {
        // Nothing else can be done when a child is already gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn file_of(origin: &str) -> String {
    if origin.is_empty() { "root.zone".to_owned() } else { format!("{origin}.zone") }
}

fn config(folder: &Path, address: Ipv4Addr, port: u16, zones: &[ZoneText]) -> String {
    let home = folder.display();
    let mut text = format!(
        "server:\n    rundir: \"{home}\"\n    listen: {address}@{port}\n    udp-workers: 1\n    tcp-workers: 1\n    \
         background-workers: 1\nlog:\n  - target: stdout\n    any: info\ndatabase:\n    storage: \"{home}\"\n\
         control:\n    listen: \"{home}/knot.sock\"\nzone:\n"
    );
    for zone in zones {
        let name = if zone.origin.is_empty() { "." } else { &zone.origin };
        let entry = format!(
            "  - domain: \"{name}\"\n    storage: \"{home}\"\n    file: \"{}\"\n    zonefile-sync: -1\n    \
             zonefile-load: difference\n    journal-content: changes\n",
            file_of(&zone.origin)
        );
        text.push_str(&entry);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_knot_serves_and_reloads_a_zone() {
        let address = Ipv4Addr::new(127, 0, 0, 41);
        let port = crate::free_port(&[address]);
        let zone = |serial, lines: &str| ZoneText::new("acme.com", "ns1.acme.com", address, serial, lines);
        let knot = Knot::start(address, port, &[zone(1, "")]);
        let probe = || std::net::TcpStream::connect(knot.address()).is_ok();
        assert!(probe());
        knot.publish(&zone(2, "_deed.acme.com. TXT \"value\""));
    }
}
