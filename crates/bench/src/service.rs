//! Runs the measured executable with its settings.
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use deed_testkit::free_port;
use tokio::process::{Child, Command};

use crate::api_client::ApiClient;

/// The timeout for readiness.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A data folder and the settings of all processes on it.
#[derive(Clone)]
pub struct ServiceSettings {
    folder: PathBuf,
    settings: Vec<(String, String)>,
}

/// A running process; killed on drop.
pub struct ServiceProcess {
    child: Child,
    /// Its HTTP address, if it has the role `api`.
    pub listen: SocketAddr,
    /// Its operations port.
    pub ops: SocketAddr,
}

impl ServiceSettings {
    /// Settings without low limits; SQLite unless a database URL is given.
    pub fn new(folder: &Path, database: Option<&str>) -> Self {
        let site = Self { folder: folder.to_owned(), settings: vec![] }
            .with("STORE__DATA_DIR", folder.display())
            .with("LIMITS__RATE", 1_000_000)
            .with("LIMITS__BURST", 1_000_000)
            .with("LIMITS__OPEN_CLAIMS_PER_WORKSPACE", 1_000_000_000)
            .with("LOG__FILTER", "warn");
        match database {
            Some(url) => site.with("STORE__URL", url),
            None => site,
        }
    }

    /// Adds a setting.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.settings.push((format!("DEED__{key}"), value.to_string()));
        self
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(executable());
        command
            .args(words)
            .current_dir(&self.folder)
            .envs(self.settings.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Creates a service key.
    pub async fn key(&self) -> String {
        let make = ["keys", "create", "--name", "bench", "--service", "--json"];
        let made = self.command(&make).output().await.expect("a key");
        let made: serde_json::Value = serde_json::from_slice(&made.stdout).expect("JSON with a key");
        made["secret"].as_str().expect("a secret").to_owned()
    }

    /// Starts a process with these roles, or all, and waits until it is ready.
    pub async fn serve(&self, roles: &str) -> ServiceProcess {
        let address = || SocketAddr::from((Ipv4Addr::LOCALHOST, free_port(&[Ipv4Addr::LOCALHOST])));
        let (listen, ops) = (address(), address());
        let (at, ops_at) = (listen.to_string(), ops.to_string());
        let mut words = vec!["serve", "--listen", &at, "--ops-listen", &ops_at];
        if roles != ALL {
            words.extend(["--roles", roles]);
        }
        let child = self.command(&words).stdout(Stdio::null()).spawn().expect("the service starts");
        let mut process = ServiceProcess { child, listen, ops };
        process.until_ready().await;
        process
    }
}

/// All roles in one process.
pub const ALL: &str = "all";

impl ServiceProcess {
    async fn until_ready(&mut self) {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            assert!(
                self.child.try_wait().expect("a child can be looked after").is_none(),
                "the service ended"
            );
            if let Ok(mut client) = ApiClient::try_to(self.ops, "").await
                && client.get("/readyz").await.status == 200
            {
                return;
            }
            assert!(Instant::now() < deadline, "the service does not come up");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The process id; it must be running.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("the service runs")
    }

    /// Kills it: acknowledged work has to survive.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("the service can be killed");
    }
}

fn executable() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let path = target.join("release/deed");
    assert!(path.exists(), "{} is missing: `cargo build --release --package deed` makes it", path.display());
    path
}
