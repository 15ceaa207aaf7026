//! A `deed serve` on its own folder, started and killed by the test.
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use deed_testkit::{eventually, free_port};
use reqwest::Client;
use serde_json::{Value, json};

/// The timeout of every wait.
pub const TIMEOUT: Duration = Duration::from_mins(1);

/// What survives restarts: folder, port and DNS.
pub struct Deployment {
    folder: tempfile::TempDir,
    environment: Vec<(String, String)>,
    listen: SocketAddr,
    http: Client,
}

/// A running process.
pub struct ServiceProcess(Child);

impl Deployment {
    /// A deployment with this root server.
    pub fn new(root: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hints = folder.path().join("root.hints");
        std::fs::write(&hints, format!("root-server.test. 3600 A {}\n", root.ip())).unwrap();
        let (listen, ops) = (free_port(&[Ipv4Addr::LOCALHOST]), free_port(&[Ipv4Addr::LOCALHOST]));
        let set = |key: &str, value: String| (format!("DEED__{key}"), value);
        let environment = vec![
            set("STORE__DATA_DIR", folder.path().display().to_string()),
            set("SERVER__LISTEN", format!("127.0.0.1:{listen}")),
            set("SERVER__OPS_LISTEN", format!("127.0.0.1:{ops}")),
            set("DNS__PORT", root.port().to_string()),
            // Few servers answer for all zones.
            set("DNS__SERVER_RATE", "0".to_owned()),
            set("DNS__ROOTS", hints.display().to_string()),
            set("DNS__ALLOW_NETWORKS", "127.0.0.0/8".into()),
            set("DNS__DELEGATION_CACHE_TTL", "1s".into()),
            set("POLICY__WATCH_FIRST", "1s".into()),
            set("POLICY__WATCH_LONGEST", "2s".into()),
            set("DISPATCHER__VISIBILITY", "3s".into()),
            set("SUBSCRIPTIONS__LEASE_TTL", "2s".into()),
            set("LIMITS__RATE", "100000".into()),
            set("LIMITS__BURST", "100000".into()),
            set("LIMITS__OPEN_CLAIMS_PER_WORKSPACE", "100000".into()),
            set("LOG__FILTER", "warn".into()),
        ];
        let http = Client::builder().timeout(TIMEOUT).no_proxy().build().unwrap();
        Self { folder, environment, listen: ([127, 0, 0, 1], listen).into(), http }
    }

    pub fn database(&self) -> PathBuf {
        self.folder.path().join("deed.db")
    }

    /// The executable with these settings only.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_deed"));
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("DEED")) {
                command.env_remove(name);
            }
        }
        command.args(words).current_dir(Path::new(self.folder.path()));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command to its end and parses its JSON.
    pub fn json(&self, words: &[&str]) -> Value {
        let output = self.command(words).arg("--json").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{words:?}: {said} {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_str(&said).unwrap_or_else(|_| panic!("{words:?} said {said:?}"))
    }

    pub fn new_key(&self, workspace: &str) -> String {
        let made = self.json(&["keys", "create", "--name", "test", "--workspace", workspace]);
        made["secret"].as_str().unwrap_or_else(|| panic!("no secret in {made}")).to_owned()
    }

    pub async fn start(&self) -> ServiceProcess {
        let mut child = self.command(&["serve"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        eventually("the service to listen", TIMEOUT, || {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "the service ended: {ended:?}");
            async { tokio::net::TcpStream::connect(self.listen).await.ok() }
        })
        .await;
        ServiceProcess(child)
    }

    /// Sends a request with a key.
    ///
    /// # Errors
    /// When there is no response.
    pub async fn ask_as(
        &self,
        key: &str,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> reqwest::Result<(u16, Value)> {
        let url = format!("http://{}{path}", self.listen);
        let mut request = self.http.request(method.parse().unwrap(), url).bearer_auth(key);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    }

    /// Claims a name; returns the claim.
    ///
    /// # Errors
    /// When there is no response.
    pub async fn claim(&self, key: &str, domain: &str) -> reqwest::Result<Value> {
        let (status, body) =
            self.ask_as(key, "POST", "/v1/domains/claims", Some(json!({ "domain": domain }))).await?;
        assert_eq!(status, 200, "{body}");
        Ok(body["data"].clone())
    }

    /// Requests verification without waiting for the first check.
    ///
    /// # Errors
    /// When there is no response.
    pub async fn verify_without_waiting(&self, key: &str, domain: &str) -> reqwest::Result<u16> {
        let url = format!("http://{}/v1/domains/claims/{domain}/verify", self.listen);
        let answer = self.http.post(url).bearer_auth(key).header("prefer", "wait=0").send().await?;
        let status = answer.status().as_u16();
        answer.bytes().await?;
        Ok(status)
    }

    /// Polls until the claim has a status.
    pub async fn until_status(&self, key: &str, domain: &str, wanted: &str) -> Value {
        let path = format!("/v1/domains/claims/{domain}");
        eventually(&format!("{domain} to be {wanted}"), TIMEOUT, || async {
            let (_, body) = self.ask_as(key, "GET", &path, None).await.ok()?;
            (body["data"]["status"] == wanted).then(|| body["data"].clone())
        })
        .await
    }
}

impl ServiceProcess {
    /// Sends SIGKILL and waits.
    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Sends SIGTERM and asserts a clean exit.
    pub fn stop(mut self) {
        let sent = Command::new("kill").args(["-s", "TERM", &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
        assert_eq!(self.0.wait().unwrap().code(), Some(0));
    }
}

impl Drop for ServiceProcess {
    fn drop(&mut self) {
        // Still running only when the test has failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
