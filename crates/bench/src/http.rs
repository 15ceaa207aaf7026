//! Claims a second over HTTP: the whole path of the running executable (key, limits, names, decide, append).
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use bytes::Bytes;
use deed_store::EventStore;
use deed_store_postgres::{PostgresConfig, PostgresStore};
use deed_store_sqlite::{SqliteConfig, SqliteStore};
use deed_testkit::Postgres;
use http_body_util::{BodyExt, Full};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::process::{Child, Command};

use crate::{append, load, pgbench, reference, rounds};

pub async fn on_sqlite(name: &str, connections: usize) -> rounds::Row {
    let aim = rounds::Aim {
        subject: format!("POST /v1/domains/claims, {connections} connections"),
        reference: "one insert per transaction, plain loop".to_owned(),
        floor: 0.5,
        target: 1.0,
    };
    rounds::interleaved(name, aim, rounds::rounds(), async || {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("reference.db");
        let reference = tokio::task::spawn_blocking(move || reference::appends_per_second(&path))
            .await
            .expect("the loop");
        let (subject, acknowledged) = subject(&Setup::new(folder.path(), None), connections).await;
        let store = SqliteStore::open(SqliteConfig::new(folder.path().join("deed.db"))).await;
        let store = store.expect("the store");
        let faults = lost(&store, acknowledged).await;
        store.close().await.expect("the store closes");
        rounds::Round { reference, subject, faults }
    })
    .await
}

/// Everything behind the interface runs in the same process, with the bus in it: the path of a request is the same.
pub async fn on_postgres(name: &str, connections: usize, server: &Postgres) -> rounds::Row {
    let (floor, target) = if connections <= 32 { (0.8, 1.4) } else { (1.2, 2.2) };
    let aim = rounds::Aim {
        subject: format!("POST /v1/domains/claims, {connections} connections"),
        reference: "pgbench, 32 clients, the same rows in one statement".to_owned(),
        floor,
        target,
    };
    rounds::interleaved(name, aim, rounds::rounds(), async || {
        let folder = tempfile::tempdir().expect("a folder");
        let database = server.database().await;
        let reference = pgbench::appends_per_second(database.url()).await;
        let config = PostgresConfig::new(database.url().to_owned());
        deed_store_postgres::migrate(&config).await.expect("tables");
        pgbench::checkpoint(database.url()).await;
        let setup = Setup::new(folder.path(), Some(database.url()));
        let (subject, acknowledged) = subject(&setup, connections).await;
        let store = PostgresStore::connect(config).await.expect("the store");
        let faults = lost(&store, acknowledged).await;
        store.close().await;
        rounds::Round { reference, subject, faults }
    })
    .await
}

/// Tenants that the load is spread over.
const WORKSPACES: u64 = 500;

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

/// Where a server of the measurement runs.
struct Setup {
    folder: PathBuf,
    listen: SocketAddr,
    database: Option<String>,
}

impl Setup {
    fn new(folder: &Path, database: Option<&str>) -> Self {
        let listen = ([127, 0, 0, 1], port()).into();
        Self { folder: folder.to_owned(), listen, database: database.map(str::to_owned) }
    }

    fn deed(&self, words: &[&str]) -> Command {
        let mut command = Command::new(executable());
        command
            .args(words)
            .current_dir(&self.folder)
            .env("DEED__STORE__DATA_DIR", &self.folder)
            .env("DEED__SERVER__LISTEN", self.listen.to_string())
            .env("DEED__SERVER__OPS_LISTEN", format!("127.0.0.1:{}", port()))
            .env("DEED__LIMITS__RATE", "1000000")
            .env("DEED__LIMITS__BURST", "1000000")
            .env("DEED__LIMITS__OPEN_CLAIMS_PER_WORKSPACE", "1000000000")
            .env("DEED__LOG__FILTER", "warn")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        if let Some(database) = &self.database {
            command.env("DEED__STORE__URL", database);
        }
        command
    }
}

async fn subject(setup: &Setup, connections: usize) -> (f64, u64) {
    let make = ["keys", "create", "--name", "bench", "--service", "--json"];
    let made = setup.deed(&make).output().await.expect("a key");
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).expect("JSON with a key");
    let key = made["secret"].as_str().expect("a secret").to_owned();
    let mut server = setup.deed(&["serve"]).stdout(Stdio::null()).spawn().expect("the server");
    let listen = setup.listen;
    wait_for(listen).await;
    let done = load::run(connections, rounds::length(), |turn| client(listen, key.clone(), turn)).await;
    // Not a soft stop: what was acknowledged has to be there all the same.
    kill(&mut server).await;
    (done.rate, done.count)
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

async fn client(listen: SocketAddr, key: String, turn: load::Turn) -> u64 {
    let stream = tokio::net::TcpStream::connect(listen).await.expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a handshake");
    let driver = tokio::spawn(connection);
    let mut done = 0;
    while let Some(n) = turn.number() {
        let body = format!("{{\"domain\":\"bench-{n}.com\"}}");
        let request = Request::post("/v1/domains/claims")
            .header("host", "localhost")
            .header("authorization", format!("Bearer {key}"))
            .header("content-type", "application/json")
            // As a platform asks: for many tenants, none of which has thousands of open claims.
            .header("deed-workspace", format!("ws_{}", n % WORKSPACES))
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
async fn lost(store: &dyn EventStore, acknowledged: u64) -> u64 {
    let (claims, gaps) = append::gaps(store).await;
    acknowledged.saturating_sub(claims) + gaps
}
