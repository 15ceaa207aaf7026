//! Starts `deed dev` on free ports and sends requests; stops it with the test.
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use deed_testkit::{Postgres, RabbitMq};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

/// The timeout of every wait.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// The polling interval.
pub const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The default DNS address.
const DNS: &str = "127.0.0.1:0";

/// The executable, without the `DEED…` variables of the environment.
pub fn deed() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deed"));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("DEED")) {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command to its end.
pub fn run(arguments: &[&str]) -> Output {
    deed().args(arguments).output().expect("the executable runs")
}

/// The exit code and the JSON on standard output.
pub fn json(arguments: &[&str]) -> (i32, Value) {
    let output = run(arguments);
    let code = output.status.code().expect("it ended by itself");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let body = serde_json::from_str(&stdout).unwrap_or_else(|_| {
        panic!("{arguments:?} said {stdout:?} and {:?}", String::from_utf8_lossy(&output.stderr))
    });
    (code, body)
}

/// The mode of the service under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One process, SQLite, in-process bus.
    Embedded,
    /// One process per role and two verifiers, PostgreSQL, RabbitMQ.
    Server,
}

/// Generates two tests from each function of a [`Mode`].
macro_rules! in_both_modes {
    ($($name:ident),+ $(,)?) => {
        mod embedded {
            $(#[tokio::test] async fn $name() { super::$name($crate::harness::Mode::Embedded).await; })+
        }
        mod server {
            $(#[tokio::test] async fn $name() { super::$name($crate::harness::Mode::Server).await; })+
        }
    };
}

/// The database and vhost of a test.
struct Services {
    /// The shared server, kept alive.
    _server: Arc<Postgres>,
    database: deed_testkit::Database,
    vhost: deed_testkit::VHost,
}

impl Services {
    async fn of(mode: Mode) -> Option<Self> {
        if mode == Mode::Embedded {
            return None;
        }
        let server = Postgres::shared();
        let database = server.database().await;
        Some(Self { _server: server, database, vhost: RabbitMq::shared().await.vhost().await })
    }
}

/// A running `deed dev`.
pub struct Dev {
    child: Child,
    /// Kept alive while the service runs.
    services: Option<Services>,
    pub announced: Value,
    http: Client,
}

impl Dev {
    pub async fn start(mode: Mode) -> Self {
        Self::start_in(mode, None, &[]).await
    }

    /// Starts with this DNS address.
    pub async fn start_with_dns(mode: Mode, dns: &str) -> Self {
        Self::start_at(mode, dns, None, &[], Stdio::piped()).await
    }

    /// Starts with a data folder and environment variables.
    pub async fn start_in(mode: Mode, data: Option<&Path>, variables: &[(&str, &str)]) -> Self {
        Self::start_at(mode, DNS, data, variables, Stdio::piped()).await
    }

    /// Like `start_in`, with log lines written to `lines`.
    pub async fn start_logging(
        mode: Mode,
        data: Option<&Path>,
        variables: &[(&str, &str)],
        lines: Stdio,
    ) -> Self {
        Self::start_at(mode, DNS, data, variables, lines).await
    }

    async fn start_at(
        mode: Mode,
        dns: &str,
        data: Option<&Path>,
        variables: &[(&str, &str)],
        lines: Stdio,
    ) -> Self {
        let services = Services::of(mode).await;
        let mut command = deed();
        command.args(["dev", "--json"]);
        if let Some(services) = &services {
            command.arg("--processes");
            command.env("DEED__STORE__URL", services.database.url());
            command.env("DEED__BUS__URL", services.vhost.url());
        }
        for place in ["--listen", "--ops-listen", "--control-listen"] {
            command.args([place, "127.0.0.1:0"]);
        }
        command.args(["--dns-listen", dns]);
        if let Some(data) = data {
            command.arg("--data").arg(data);
        }
        command.envs(variables.iter().copied());
        let mut child = command.stdout(Stdio::piped()).stderr(lines).spawn().expect("the executable starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("standard output is a pipe");
        BufReader::new(out).read_line(&mut line).expect("standard output can be read");
        let announced = serde_json::from_str(&line).unwrap_or_else(|_| {
            let _ = child.kill();
            panic!("`deed dev` said {line:?} and {:?}", errors(&mut child))
        });
        let http = Client::builder().timeout(TIMEOUT).no_proxy().build().expect("a client");
        Self { child, services, announced, http }
    }

    /// Publishes a message that no verifier understands; only with a broker.
    pub async fn publish_nonsense(&self, id: &str) -> bool {
        let Some(Services { vhost, .. }) = &self.services else { return false };
        let path = format!("exchanges/{}/deed.events/publish", vhost.name());
        let body = json!({
            "properties": { "message_id": id }, "routing_key": "verification.due", "payload": "no work",
            "payload_encoding": "string"
        });
        let (status, answer) = vhost.ask(Method::POST, &path, Some(body)).await;
        assert!(status.is_success() && answer["routed"] == true, "{status} {answer}");
        true
    }

    fn text(&self, pointer: &str) -> &str {
        self.announced
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("no {pointer} in {}", self.announced))
    }

    /// The configuration file for `--config`.
    pub fn config(&self) -> &str {
        self.text("/config")
    }

    pub fn url(&self, part: &str) -> &str {
        self.text(&format!("/urls/{part}"))
    }

    /// The API key of `ws_acme`, `ws_globex` or `service`.
    pub fn key(&self, whose: &str) -> &str {
        self.text(&format!("/keys/{whose}"))
    }

    /// # Panics
    /// When there is no response.
    pub async fn send(&self, whose: &str, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        self.try_send(whose, method, path, body).await.expect("the service answers in JSON")
    }

    pub async fn try_send(
        &self,
        whose: &str,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> reqwest::Result<(u16, Value)> {
        let method: Method = method.parse().expect("a method");
        let url = format!("{}{path}", self.url("api"));
        let mut request = self.http.request(method, url).bearer_auth(self.key(whose));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    }

    pub async fn get(&self, whose: &str, path: &str) -> (u16, Value) {
        self.send(whose, "GET", path, None).await
    }

    pub async fn post(&self, whose: &str, path: &str, body: Value) -> (u16, Value) {
        self.send(whose, "POST", path, Some(body)).await
    }

    /// Polls until the response is as wanted.
    pub async fn until(&self, whose: &str, path: &str, wanted: impl Fn(u16, &Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let (status, body) = self.get(whose, path).await;
            if wanted(status, &body) {
                return body;
            }
            assert!(begun.elapsed() < TIMEOUT, "{path} is still {status} {body}");
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Sets the TXT records at a name, by the command line.
    pub fn publish(&self, name: &str, values: &[&str]) {
        let control = self.url("control");
        let output =
            run(&[&["sandbox", "--control", control, "record", "set", name, "TXT"], values].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The service passwords, which no output may contain.
    pub fn passwords(&self) -> Vec<String> {
        let Some(Services { database, vhost, .. }) = &self.services else { return vec![] };
        let password = |url: &str| {
            let (_, rest) = url.split_once("://")?;
            let (who, _) = rest.rsplit_once('@')?;
            Some(format!(":{}@", who.split_once(':')?.1))
        };
        [database.url(), vhost.url()].into_iter().filter_map(password).collect()
    }

    /// A response of the operations port.
    pub async fn ops(&self, path: &str) -> (StatusCode, String) {
        let answer =
            self.http.get(format!("{}{path}", self.url("ops"))).send().await.expect("the port answers");
        (answer.status(), answer.text().await.expect("a text"))
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, such as TERM.
    pub fn signal(&self, name: &str) {
        let sent =
            Command::new("kill").args(["-s", name, &self.id().to_string()]).status().expect("`kill` runs");
        assert!(sent.success());
    }

    /// Waits for the exit: status and standard error.
    pub fn ended(&mut self) -> (ExitStatus, String) {
        ended(&mut self.child)
    }

    /// Sends SIGTERM and asserts a clean exit.
    pub fn stop(mut self) {
        self.signal("TERM");
        let (status, errors) = self.ended();
        assert_eq!(status.code(), Some(0), "{errors}");
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // Still running only when the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Polls until the condition holds.
pub async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < TIMEOUT, "timeout: {what}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Waits for a process to exit.
pub fn ended(child: &mut Child) -> (ExitStatus, String) {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            return (status, errors(child));
        }
        if begun.elapsed() > TIMEOUT {
            let _ = child.kill();
            panic!("it does not end; it said {:?}", errors(child));
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// The standard error of an exited process.
pub fn errors(child: &mut Child) -> String {
    let mut stdout = String::new();
    if let Some(mut pipe) = child.stderr.take() {
        let _ = pipe.read_to_string(&mut stdout);
    }
    stdout
}

/// Claims `domain`; returns name and value of its record.
pub async fn claim(dev: &Dev, whose: &str, domain: &str) -> (String, String) {
    let (status, body) = dev.post(whose, "/v1/domains/claims", json!({ "domain": domain })).await;
    assert_eq!(status, 200, "{body}");
    let record = &body["data"]["record"];
    let text =
        |field: &str| record[field].as_str().unwrap_or_else(|| panic!("no record in {body}")).to_owned();
    assert_eq!(record["type"], "TXT");
    (text("name"), text("value"))
}
