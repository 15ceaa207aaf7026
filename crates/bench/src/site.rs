//! The executable under measurement: where it runs, with which settings, as which processes.
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use deed_testkit::free_port;
use tokio::process::{Child, Command};

use crate::talk::Talk;

/// How long a process may take to be ready.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder, and what every process in it is told.
#[derive(Clone)]
pub struct Site {
    folder: PathBuf,
    settings: Vec<(String, String)>,
}

/// One running process; killed when it is dropped.
pub struct Process {
    child: Child,
    /// Where it serves HTTP, if it has that role.
    pub listen: SocketAddr,
    /// Its operations port.
    pub ops: SocketAddr,
}

impl Site {
    /// Without limits that a load would run into, on SQLite unless there is the address of a database.
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

    /// The same with one more setting.
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

    /// A new key of the platform's own.
    pub async fn key(&self) -> String {
        let make = ["keys", "create", "--name", "bench", "--service", "--json"];
        let made = self.command(&make).output().await.expect("a key");
        let made: serde_json::Value = serde_json::from_slice(&made.stdout).expect("JSON with a key");
        made["secret"].as_str().expect("a secret").to_owned()
    }

    /// Starts a process with these roles, `all` for every one, and waits until it is ready.
    pub async fn serve(&self, roles: &str) -> Process {
        let address = || SocketAddr::from((Ipv4Addr::LOCALHOST, free_port(&[Ipv4Addr::LOCALHOST])));
        let (listen, ops) = (address(), address());
        let (at, ops_at) = (listen.to_string(), ops.to_string());
        let mut words = vec!["serve", "--listen", &at, "--ops-listen", &ops_at];
        if roles != ALL {
            words.extend(["--roles", roles]);
        }
        let child = self.command(&words).stdout(Stdio::null()).spawn().expect("the service starts");
        let mut process = Process { child, listen, ops };
        process.until_ready().await;
        process
    }
}

/// Every role in one process.
pub const ALL: &str = "all";

impl Process {
    async fn until_ready(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(
                self.child.try_wait().expect("a child can be looked after").is_none(),
                "the service ended"
            );
            if let Ok(mut talk) = Talk::try_to(self.ops, "").await
                && talk.get("/readyz").await.status == 200
            {
                return;
            }
            assert!(Instant::now() < deadline, "the service does not come up");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Its number; none once it has ended.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("the service runs")
    }

    /// Ends it at once: what was acknowledged has to be there all the same.
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
