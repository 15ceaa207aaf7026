//! Tests in a network of their own, where any address can be this machine's and any route be taken away.
use std::process::Command;

const INSIDE: &str = "DEED_TEST_OWN_NETWORK";

/// The network of a test that runs in one of its own.
#[derive(Debug)]
pub struct OwnNetwork(());

impl OwnNetwork {
    /// Runs a test of this program, by its full name, once more within a network namespace in which every address is
    /// local. There it is handed that network; the test that has asked gets nothing, and is done.
    ///
    /// # Panics
    /// When the test fails in there, or there can be no such network.
    pub fn of(test: &str) -> Option<Self> {
        if std::env::var_os(INSIDE).is_some() {
            return Some(Self(()));
        }
        let program = std::env::current_exe().expect("a program has a path");
        // Not every machine has IPv6.
        let inside = "ip link set lo up && ip route add local default dev lo \
            && { ip -6 route add local default dev lo && echo 1 > /proc/sys/net/ipv6/ip_nonlocal_bind || true; } \
            && exec \"$@\"";
        // A user namespace gives the right to make the other one to whoever is not root.
        let ended = Command::new("sh")
            .args([
                "-c",
                "[ \"$(id -u)\" = 0 ] || set -- --user --map-root-user \"$@\"; exec unshare --net \"$@\"",
                "sh",
            ])
            .args(["sh", "-c", inside, "sh"])
            .arg(program)
            .args(["--exact", test, "--nocapture"])
            .env(INSIDE, "1")
            .output()
            .expect("`sh` runs");
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, errors) = (said(&ended.stdout), said(&ended.stderr));
        assert!(ended.status.success(), "{test} in a network of its own: {out}\n{errors}");
        assert!(out.contains("1 passed"), "there is no test {test}: {out}\n{errors}");
        None
    }

    /// From now on no route leads to these addresses, such as `127.66.0.0/16`.
    pub fn cut(&self, network: &str) {
        ip(&["route", "add", "throw", network, "table", "local"]);
    }

    /// What was cut off is there again.
    pub fn join(&self, network: &str) {
        ip(&["route", "del", "throw", network, "table", "local"]);
    }
}

fn ip(words: &[&str]) {
    let done = Command::new("ip").args(words).output().expect("`ip` runs; Debian has it in iproute2");
    assert!(done.status.success(), "ip {words:?}: {}", String::from_utf8_lossy(&done.stderr));
}
