//! TXT queries: the transport of the prober compared with `dnsperf` and with the stub resolver of hickory, on
//! the same private Knot.
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deed_diagnosis::{Reply, ServerAnswer};
use deed_probe::{ProbeConfig, Prober, Question, RootHint};
use deed_testkit::{Knot, ZoneText, free_port};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use socket2::{Domain, Socket, Type};

use crate::{load, rounds};

/// Names in the zone, each with a record.
pub const NAMES: u64 = 1_000;
/// Queries in flight.
const IN_FLIGHT: usize = 64;
const SERVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 57);

/// Starts a server with a root that delegates the zone of all names to itself.
pub fn serve() -> Knot {
    let mut zone = String::new();
    for n in 0..NAMES {
        let _ = writeln!(zone, "{}. TXT \"{}\"", name(n), value(n));
    }
    let delegation = format!("bench.test. NS ns.bench.test.\nns.bench.test. A {SERVER}\n");
    let zones = [
        ZoneText::new("", "ns.root-servers.test", SERVER, 1, &delegation),
        ZoneText::new("bench.test", "ns.bench.test", SERVER, 1, &zone),
    ];
    Knot::start(SERVER, free_port(&[SERVER]), &zones)
}

pub fn name(n: u64) -> String {
    format!("_deed.customer-{:04}.bench.test", n % NAMES)
}

pub fn value(n: u64) -> String {
    format!("deed-domain-claim=k3vq5mjz2n7wxh4tbyd6r{:011}", n % NAMES)
}

/// A configuration for one server that answers for all zones, without a rate limit.
pub fn config(at: SocketAddr) -> ProbeConfig {
    ProbeConfig {
        port: at.port(),
        allow_networks: vec!["127.0.0.0/8".parse().expect("a range")],
        roots: vec![RootHint { name: "ns.root-servers.test".to_owned(), addr: at.ip() }],
        server_rate: 0,
        ..ProbeConfig::default()
    }
}

fn prober(at: SocketAddr) -> Arc<Prober> {
    Arc::new(Prober::new(config(at)).expect("a sound configuration"))
}

/// A UDP socket that shares a port with other addresses.
pub fn bind_shared_port(at: SocketAddr) -> UdpSocket {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).expect("a socket");
    socket.set_reuse_port(true).and_then(|()| socket.bind(&at.into())).expect("the port is shared");
    socket.into()
}

pub async fn with_dnsperf(row: &str) -> rounds::Row {
    let knot = serve();
    let mut measured = Measured::default();
    for _ in 0..rounds::rounds() {
        let reference = dnsperf(knot.address()).await;
        let subject = measured.questions(knot.address()).await;
        measured.pairs.push((reference, subject));
    }
    rounds::Row {
        name: row.to_owned(),
        subject: format!("Prober::query_one, {IN_FLIGHT} in flight, one core"),
        reference: format!("dnsperf -q {IN_FLIGHT} -T 1"),
        floor: 0.6,
        target: 0.9,
        pairs: measured.pairs,
        faults: measured.faults,
    }
}

pub async fn with_hickory(row: &str) -> rounds::Row {
    let knot = serve();
    let mut measured = Measured::default();
    for _ in 0..rounds::rounds() {
        let reference = on_one_core(stub(knot.address())).await;
        let subject = measured.questions(knot.address()).await;
        measured.pairs.push((reference, subject));
    }
    rounds::Row {
        name: row.to_owned(),
        subject: format!("Prober::query_one, {IN_FLIGHT} in flight, one core"),
        reference: "hickory-resolver, cache off, the same".to_owned(),
        floor: 2.0,
        target: 3.0,
        pairs: measured.pairs,
        faults: measured.faults,
    }
}

/// Complete checks compared with single queries: the overhead of a check.
pub async fn checks(row: &str) -> rounds::Row {
    let knot = serve();
    let mut measured = Measured::default();
    let (mut questions, mut spent) = (0.0, vec![]);
    for _ in 0..rounds::rounds() {
        let single = measured.questions(knot.address()).await;
        let checked = on_one_core(run_checks(knot.address())).await;
        questions = checked.questions;
        spent.push(checked.micros);
        measured.faults += checked.unproven;
        measured.pairs.push((single / questions, checked.rate));
    }
    spent.sort_by(f64::total_cmp);
    let micros = spent[spent.len() / 2];
    rounds::Row {
        name: row.to_owned(),
        subject: format!("Prober::probe, {IN_FLIGHT} in flight, one core: {micros:.0} µs of CPU each"),
        reference: format!("Prober::query_one, divided by the {questions:.0} questions of a check"),
        floor: 0.5,
        target: 0.8,
        pairs: measured.pairs,
        faults: measured.faults,
    }
}

struct CheckRates {
    rate: f64,
    questions: f64,
    micros: f64,
    unproven: u64,
}

/// Checks the record of each name; once the zone is cached, a check is one UDP query and its repetition over
/// TCP.
async fn run_checks(at: SocketAddr) -> CheckRates {
    let prober = prober(at);
    prober.probe(question(0)).await;
    let (asked, unproven) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let before = cpu();
    let done = load::run(IN_FLIGHT, rounds::length(), |worker| {
        let (prober, asked, unproven) = (Arc::clone(&prober), Arc::clone(&asked), Arc::clone(&unproven));
        async move {
            let mut looks = 0;
            while let Some(n) = worker.number() {
                let seen = prober.probe(question(n)).await;
                let again = seen.confirmation.repeated.as_deref().unwrap_or_default();
                let proven = [&seen.servers[..], again].iter().all(|answers| has_value(answers, n));
                unproven.fetch_add(u64::from(!proven), Ordering::Relaxed);
                asked.fetch_add(u64::from(seen.queries), Ordering::Relaxed);
                looks += 1;
            }
            looks
        }
    })
    .await;
    let spent = cpu() - before;
    #[expect(clippy::cast_precision_loss, reason = "counts of seconds-long runs are small")]
    let (count, asked) = (done.count.max(1) as f64, asked.load(Ordering::Relaxed) as f64);
    CheckRates {
        rate: done.rate,
        questions: asked / count,
        micros: spent.as_secs_f64() * 1e6 / count,
        unproven: unproven.load(Ordering::Relaxed),
    }
}

fn question(n: u64) -> Question {
    Question { name: name(n), looking_for: vec![value(n).into_bytes()], ..Question::default() }
}

fn has_value(answers: &[ServerAnswer], n: u64) -> bool {
    let right = |answer: &ServerAnswer| matches!(&answer.reply, Reply::Message { values, .. } if values[..] == [value(n).into_bytes()]);
    !answers.is_empty() && answers.iter().all(right)
}

/// The processor time of the current thread.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or_default())
}

#[derive(Default)]
struct Measured {
    pairs: Vec<(f64, f64)>,
    faults: u64,
}

impl Measured {
    async fn questions(&mut self, at: SocketAddr) -> f64 {
        let (rate, wrong) = on_one_core(run_queries(at)).await;
        self.faults += wrong;
        rate
    }
}

/// Queries per second, and the number without the record.
async fn run_queries(at: SocketAddr) -> (f64, u64) {
    let prober = prober(at);
    let wrong = Arc::new(AtomicU64::new(0));
    let done = load::run(IN_FLIGHT, rounds::length(), |worker| {
        let (prober, wrong) = (Arc::clone(&prober), Arc::clone(&wrong));
        async move {
            let mut asked = 0;
            while let Some(n) = worker.number() {
                let answer = prober.query_one(at, &name(n)).await;
                wrong.fetch_add(u64::from(!has_value(&[answer], n)), Ordering::Relaxed);
                asked += 1;
            }
            asked
        }
    })
    .await;
    (done.rate, wrong.load(Ordering::Relaxed))
}

async fn stub(at: SocketAddr) -> f64 {
    let mut server = NameServerConfig::udp(at.ip());
    for connection in &mut server.connections {
        connection.port = at.port();
    }
    let config = ResolverConfig::from_parts(None, vec![], vec![server]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.recursion_desired = false;
    options.case_randomization = true;
    let resolver = Arc::new(builder.build().expect("a resolver"));
    let done = load::run(IN_FLIGHT, rounds::length(), |worker| {
        let resolver = Arc::clone(&resolver);
        async move {
            let mut asked = 0;
            while let Some(n) = worker.number() {
                let answer = resolver.txt_lookup(format!("{}.", name(n))).await.expect("an answer");
                assert_eq!(answer.answers().len(), 1);
                asked += 1;
            }
            asked
        }
    })
    .await;
    done.rate
}

/// Runs a load on a single-threaded runtime, so that it uses at most one core.
pub async fn on_one_core<T, F>(work: F) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let result = runtime.block_on(work);
        runtime.shutdown_timeout(Duration::from_secs(1));
        result
    };
    tokio::task::spawn_blocking(run).await.expect("the load ends well")
}

/// Queries per second by dnsperf: the same names, EDNS and DO bit.
pub async fn dnsperf(at: SocketAddr) -> f64 {
    let run = move || {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("questions");
        let text: String = (0..NAMES).map(|n| format!("{} TXT\n", name(n))).collect();
        std::fs::write(&file, text).expect("the questions");
        let output = Command::new("dnsperf")
            .args(["-s", &at.ip().to_string(), "-p", &at.port().to_string()])
            .args(["-q", &IN_FLIGHT.to_string(), "-T", "1", "-c", "1", "-e", "-D"])
            .args(["-l", &rounds::length().as_secs().to_string(), "-d"])
            .arg(&file)
            .stdin(Stdio::null())
            .output()
            .expect("dnsperf runs; `apt-get install dnsperf` installs it");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        let rate = text.lines().find_map(|line| line.trim().strip_prefix("Queries per second:"));
        rate.and_then(|rate| rate.trim().parse().ok()).unwrap_or_else(|| panic!("no rate in:\n{text}"))
    };
    tokio::task::spawn_blocking(run).await.expect("dnsperf ends well")
}
