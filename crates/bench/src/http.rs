//! Claims a second over HTTP: the whole path of the running executable (key, limits, names, decide, append).
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use deed_store::{EventStore, Position};
use deed_store_sqlite::{SqliteConfig, SqliteStore};
use http_body_util::{BodyExt, Full};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::process::{Child, Command};

use crate::{reference, rounds};

pub async fn row(name: &str, connections: usize) -> rounds::Row {
    let mut pairs = vec![];
    let mut faults = 0;
    for _ in 0..rounds::rounds() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("reference.db");
        let reference = tokio::task::spawn_blocking(move || reference::appends_per_second(&path))
            .await
            .expect("the loop");
        let (subject, missing) = subject(folder.path(), connections).await;
        faults += missing;
        pairs.push((reference, subject));
    }
    rounds::Row {
        name: name.to_owned(),
        subject: format!("POST /v1/domains/claims, {connections} connections"),
        reference: "one insert per transaction, plain loop".to_owned(),
        floor: 0.5,
        target: 1.0,
        pairs,
        faults,
    }
}

fn executable() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let path = target.join("release/deed");
    assert!(path.exists(), "{} is missing: `cargo build --release --package deed` makes it", path.display());
    path
}

fn port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

fn deed(folder: &Path, listen: SocketAddr, words: &[&str]) -> Command {
    let mut command = Command::new(executable());
    command
        .args(words)
        .current_dir(folder)
        .env("DEED__STORE__DATA_DIR", folder)
        .env("DEED__SERVER__LISTEN", listen.to_string())
        .env("DEED__SERVER__OPS_LISTEN", format!("127.0.0.1:{}", port()))
        .env("DEED__LIMITS__RATE", "1000000")
        .env("DEED__LIMITS__BURST", "1000000")
        .env("DEED__LIMITS__OPEN_CLAIMS_PER_WORKSPACE", "1000000000")
        .env("DEED__LOG__FILTER", "warn")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

async fn subject(folder: &Path, connections: usize) -> (f64, u64) {
    let listen: SocketAddr = ([127, 0, 0, 1], port()).into();
    let made =
        deed(folder, listen, &["keys", "create", "--name", "bench", "--workspace", "ws_bench", "--json"])
            .output()
            .await
            .expect("a key");
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).expect("JSON with a key");
    let key = made["secret"].as_str().or(made["key"].as_str()).expect("a secret").to_owned();
    let mut server = deed(folder, listen, &["serve"]).stdout(Stdio::null()).spawn().expect("the server");
    wait_for(listen).await;
    let next = Arc::new(AtomicU64::new(0));
    let (begin, length) = (Instant::now(), rounds::length());
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..connections {
        let (key, next) = (key.clone(), next.clone());
        running.spawn(async move { client(listen, &key, &next, begin, length).await });
    }
    let acknowledged: u64 = running.join_all().await.into_iter().sum();
    #[expect(clippy::cast_precision_loss, reason = "counts of seconds-long runs are small")]
    let rate = acknowledged as f64 / begin.elapsed().as_secs_f64();
    // Not a soft stop: what was acknowledged has to be there all the same.
    kill(&mut server).await;
    (rate, lost(folder, acknowledged).await)
}

async fn kill(server: &mut Child) {
    server.start_kill().expect("the server can be killed");
    server.wait().await.expect("the server ends");
}

async fn wait_for(listen: SocketAddr) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while tokio::net::TcpStream::connect(listen).await.is_err() {
        assert!(Instant::now() < deadline, "the server does not come up");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn client(listen: SocketAddr, key: &str, next: &AtomicU64, begin: Instant, length: Duration) -> u64 {
    let stream = tokio::net::TcpStream::connect(listen).await.expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a handshake");
    let driver = tokio::spawn(connection);
    let mut done = 0;
    while begin.elapsed() < length {
        let n = next.fetch_add(1, Ordering::Relaxed);
        let body = format!("{{\"domain\":\"bench-{n}.com\"}}");
        let request = Request::post("/v1/domains/claims")
            .header("host", "localhost")
            .header("authorization", format!("Bearer {key}"))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .expect("a request");
        sender.ready().await.expect("a ready connection");
        let answer = sender.send_request(request).await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 200, "the server refuses the load");
        answer.into_body().collect().await.expect("a body");
        done += 1;
    }
    driver.abort();
    done
}

/// Claims acknowledged and not in the log, and gaps in the log.
async fn lost(folder: &Path, acknowledged: u64) -> u64 {
    let store = SqliteStore::open(SqliteConfig::new(folder.join("deed.db"))).await.expect("the store");
    let (mut after, mut claims, mut gaps) = (Position(0), 0_u64, 0_u64);
    loop {
        let events = store.read_log(after, 5000).await.expect("the log");
        for event in &events {
            gaps += u64::from(event.position.0 != after.0 + 1);
            after = event.position;
            claims += u64::from(event.event.kind() == "ClaimInitiated");
        }
        if events.is_empty() {
            break;
        }
    }
    store.close().await.expect("the store closes");
    acknowledged.saturating_sub(claims) + gaps
}
