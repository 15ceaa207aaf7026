//! Ten thousand concurrent checks against silent servers: open files, memory, and checks of a healthy zone
//! meanwhile. A report without a reference.
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use deed_diagnosis::{NetworkFault, Observation, ProbeFailure, Reply};
use deed_probe::{ProbeConfig, Prober, Question};
use deed_testkit::{Knot, ZoneText, free_port};
use tokio::task::JoinSet;

use crate::dns;

const CHECKS: usize = 10_000;
/// The timeout of a check of the healthy zone.
const TIMEOUT: Duration = Duration::from_secs(10);

/// One silent server per check, without and with rate limit; and few servers for all checks.
pub async fn report() {
    println!(
        "| {CHECKS} checks against | open descriptors | memory | over after | time-outs | ours | healthy checks | longest |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (servers, rate) in [(CHECKS, 0), (CHECKS, 10), (40, 10)] {
        run(servers, rate).await;
    }
}

struct SilentServers {
    knot: Knot,
    _sockets: UdpSocket,
}

/// A root that delegates each silent zone to one of `servers` silent addresses, and a healthy zone.
fn serve(servers: usize) -> SilentServers {
    let home = Ipv4Addr::new(127, 0, 0, 58);
    let port = free_port(&[home]);
    let mut root = String::from("healthy.test. NS ns.healthy.test.\n");
    let _ = writeln!(root, "ns.healthy.test. A {home}");
    for n in 0..CHECKS {
        let address = address(n % servers);
        let _ = writeln!(root, "silent-{n}.test. NS ns.silent-{n}.test.\nns.silent-{n}.test. A {address}");
    }
    let zones = [
        ZoneText::new("", "ns.root-servers.test", home, 1, &root),
        ZoneText::new("healthy.test", "ns.healthy.test", home, 1, "_deed.healthy.test. TXT \"v\""),
    ];
    let knot = Knot::start(home, port, &zones);
    // Receives and ignores datagrams to all other addresses of this port; connections are refused.
    let sockets = dns::bind_shared_port(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)));
    SilentServers { knot, _sockets: sockets }
}

fn address(server: usize) -> Ipv4Addr {
    let [.., high, low] = u32::try_from(server).expect("a small number").to_be_bytes();
    Ipv4Addr::new(127, 1, high, low)
}

async fn run(servers: usize, rate: u32) {
    let silent = tokio::task::spawn_blocking(move || serve(servers)).await.expect("the servers start");
    let at = silent.knot.address();
    let prober = Arc::new(
        Prober::new(ProbeConfig { server_rate: rate, ..dns::config(at) }).expect("a sound configuration"),
    );
    let (memory, began) = (resident(), Instant::now());
    let mut checks: JoinSet<Observation> = (0..CHECKS)
        .map(|n| {
            let prober = Arc::clone(&prober);
            async move { prober.probe(question(&format!("_deed.silent-{n}.test"))).await }
        })
        .collect();
    let mut peak = Peak::default();
    let (mut healthy, mut longest) = (0, Duration::ZERO);
    let (mut timeouts, mut ours) = (0, 0);
    while !checks.is_empty() {
        let asked = Instant::now();
        let seen = tokio::time::timeout(TIMEOUT, prober.probe(question("_deed.healthy.test"))).await;
        let proven = seen.is_ok_and(|seen| {
            matches!(seen.servers.first().map(|s| &s.reply), Some(Reply::Message { values, .. }) if values.len() == 1)
        });
        healthy += usize::from(proven);
        longest = longest.max(asked.elapsed());
        peak.look();
        while let Some(ended) = checks.try_join_next() {
            match kind(&ended.expect("a look ends well")) {
                NetworkFault::Internal => ours += 1,
                _ => timeouts += 1,
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!(
        "| {servers} servers, rate {rate} | {} | {} MiB | {:.1} s | {timeouts} | {ours} | {healthy} | {:.0} ms |",
        peak.descriptors,
        peak.memory.saturating_sub(memory) >> 20,
        began.elapsed().as_secs_f64(),
        longest.as_secs_f64() * 1e3,
    );
}

fn question(name: &str) -> Question {
    Question { name: name.to_owned(), ..Question::default() }
}

/// The kind of failure of a check of a silent zone.
fn kind(seen: &Observation) -> NetworkFault {
    let ours = matches!(seen.failure, Some(ProbeFailure::Internal(_)))
        || seen.servers.iter().any(|server| server.reply == Reply::Fault(NetworkFault::Internal));
    if ours { NetworkFault::Internal } else { NetworkFault::Timeout }
}

#[derive(Default)]
struct Peak {
    descriptors: usize,
    memory: usize,
}

impl Peak {
    fn look(&mut self) {
        let open = std::fs::read_dir("/proc/self/fd").map(Iterator::count).unwrap_or_default();
        self.descriptors = self.descriptors.max(open);
        self.memory = self.memory.max(resident());
    }
}

/// Resident memory in bytes.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: usize =
        text.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or_default();
    pages * 4096
}
