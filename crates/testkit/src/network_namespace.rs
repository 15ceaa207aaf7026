//! Runs a test in a network namespace of its own, where every address is local and routes can be removed.
use std::process::Command;

const INSIDE_NAMESPACE: &str = "DEED_TEST_OWN_NETWORK";

/// A network namespace, held by the test inside it.
#[derive(Debug)]
pub struct NetworkNamespace(());

impl NetworkNamespace {
    /// Runs a test of this program, by its full name, again in a new network namespace in which every address
    /// is local. Inside, returns the namespace; outside, returns none after the inner run has passed.
    ///
    /// # Panics
    /// When the inner test fails, or the namespace cannot be created.
    pub fn enter(test: &str) -> Option<Self> {
        if std::env::var_os(INSIDE_NAMESPACE).is_some() {
            return Some(Self(()));
        }
        let program = std::env::current_exe().expect("a program has a path");
        // IPv6 is optional.
        let inside = "ip link set lo up && ip route add local default dev lo \
            && { ip -6 route add local default dev lo && echo 1 > /proc/sys/net/ipv6/ip_nonlocal_bind || true; } \
            && exec \"$@\"";
        // Without root, a user namespace gives the right to create the network namespace.
        let ended = Command::new("sh")
            .args([
                "-c",
                "[ \"$(id -u)\" = 0 ] || set -- --user --map-root-user \"$@\"; exec unshare --net \"$@\"",
                "sh",
            ])
            .args(["sh", "-c", inside, "sh"])
            .arg(program)
            .args(["--exact", test, "--nocapture"])
            .env(INSIDE_NAMESPACE, "1")
            .output()
            .expect("`sh` runs");
        let utf8 = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, errors) = (utf8(&ended.stdout), utf8(&ended.stderr));
        assert!(ended.status.success(), "{test} in a network namespace: {out}\n{errors}");
        assert!(out.contains("1 passed"), "there is no test {test}: {out}\n{errors}");
        None
    }

    /// Removes the route to a network, such as `127.66.0.0/16`.
    pub fn drop_route(&self, network: &str) {
        ip(&["route", "add", "throw", network, "table", "local"]);
    }

    /// Restores the route to a network.
    pub fn restore_route(&self, network: &str) {
        ip(&["route", "del", "throw", network, "table", "local"]);
    }
}

fn ip(words: &[&str]) {
    let done = Command::new("ip").args(words).output().expect("`ip` runs; Debian has it in iproute2");
    assert!(done.status.success(), "ip {words:?}: {}", String::from_utf8_lossy(&done.stderr));
}
