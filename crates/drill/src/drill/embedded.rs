//! The embedded mode: one process on a SQLite file, with its own load, checked by the same checker.
use std::collections::BTreeSet;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use deed_testkit::free_port;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::time::Instant;

use super::api_client::ApiClient;
use super::balancer::{Api, Balancer, HealthCheck};
use super::executable::Executable;
use super::infrastructure::{VISIBILITY, WORKSPACES, environment};
use super::load::{Load, Pace};
use super::notes::Notes;
use crate::checker::snapshot;
use crate::dns::{DnsServer, Records};
use crate::journal::Journal;

/// The timeout for readiness, exit and idleness.
const TIMEOUT: Duration = Duration::from_mins(2);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

pub struct EmbeddedService {
    folder: PathBuf,
    api: Api,
    dns: DnsServer,
    environment: Vec<(String, String)>,
    child: Option<Child>,
}

impl EmbeddedService {
    /// Prepares folder, ports and DNS; starts nothing.
    pub async fn at(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let records = Records::new(&folder.join("dns.jsonl"))?;
        let dns = DnsServer::start(Ipv4Addr::LOCALHOST, free_port(&[Ipv4Addr::LOCALHOST]), records).await?;
        let environment = environment(folder, &dns)?;
        let address = || SocketAddr::from((Ipv4Addr::LOCALHOST, free_port(&[Ipv4Addr::LOCALHOST])));
        let api = Api { listen: address(), ops: address() };
        Ok(Self { folder: folder.to_owned(), api, dns, environment, child: None })
    }

    /// The SQLite file.
    pub fn file(&self) -> PathBuf {
        self.folder.join("deed.db")
    }

    /// Runs a command and parses its JSON.
    pub fn command(&self, deed: &Executable, arguments: &[&str]) -> anyhow::Result<Value> {
        let mut command = deed.command(self.environment.clone());
        let output = command.args(arguments).arg("--json").current_dir(&self.folder).output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success(),
            "deed {arguments:?} failed: {said} {}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_str(&said).with_context(|| format!("deed {arguments:?} said {said:?}"))
    }

    /// Starts the process and waits until it is ready.
    pub async fn start(&mut self, deed: &Executable) -> anyhow::Result<Duration> {
        let log = File::options().create(true).append(true).open(self.folder.join("deed.log"))?;
        let begun = Instant::now();
        let mut command = deed.command(self.environment.clone());
        command
            .args([
                "serve",
                "--listen",
                &self.api.listen.to_string(),
                "--ops-listen",
                &self.api.ops.to_string(),
            ])
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let child = self.child.insert(command.spawn().context("the service starts")?);
        let http = reqwest::Client::builder().timeout(Duration::from_secs(2)).no_proxy().build()?;
        let readyz = format!("http://{}/readyz", self.api.ops);
        while !http.get(&readyz).send().await.is_ok_and(|answer| answer.status().is_success()) {
            if let Some(ended) = child.try_wait()? {
                self.child = None;
                anyhow::bail!("it ended: {ended}, see {}", self.folder.display());
            }
            ensure!(begun.elapsed() < TIMEOUT, "it does not get ready");
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Ok(begun.elapsed())
    }

    /// Sends SIGTERM and waits for exit code 0.
    pub async fn end(&mut self) -> anyhow::Result<()> {
        let mut child = self.child.take().context("it runs")?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("it has an id")?;
        kill_process(pid, Signal::TERM)?;
        let asked = Instant::now();
        loop {
            if let Some(ended) = child.try_wait()? {
                ensure!(ended.success(), "it ended badly when it was asked to: {ended}");
                return Ok(());
            }
            ensure!(asked.elapsed() < TIMEOUT, "it does not end when it is asked to");
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let mut child = self.child.take().context("it runs")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Starts a load, which continues while the process is replaced.
    pub fn load(&self, deed: &Executable, notes: &Notes, pace: Pace, journal: &str) -> anyhow::Result<Load> {
        let mut keys = vec![];
        for workspace in WORKSPACES {
            let made =
                self.command(deed, &["keys", "create", "--name", "drill", "--workspace", workspace])?;
            keys.push(made["secret"].as_str().context("a key has a secret")?.to_owned());
        }
        let client = ApiClient::new(Balancer::new(&[self.api], HealthCheck::None)?, notes.clone())?;
        let journal = Journal::create(&self.folder.join(journal))?;
        Ok(Load::start(client, keys, self.dns.records().clone(), journal, notes.clone(), pace))
    }

    /// Waits until all these records are proven and all subscriptions are up to date.
    pub async fn wait_until_idle(&self, published: &BTreeSet<String>) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let taken = snapshot(&self.file()).await?;
            let claim = |row: &Value| row["claimId"].as_str().unwrap_or_default().to_owned();
            let verified: BTreeSet<_> = taken
                .log
                .iter()
                .filter(|row| row.kind == "DomainVerified")
                .map(|row| claim(&row.payload))
                .collect();
            let missing = taken.log.iter().filter(|row| {
                let record = row.payload["challenge"]["recordValue"].as_str();
                record.is_some_and(|record| published.contains(record))
                    && !verified.contains(&claim(&row.payload))
            });
            let (missing, end) = (missing.count(), taken.log.last().map_or(0, |row| row.position));
            let behind = taken.views.checkpoints.values().any(|at| *at != end);
            if missing == 0 && !behind {
                return Ok(());
            }
            ensure!(begun.elapsed() < TIMEOUT, "no rest: {missing} published and not verified, log at {end}");
            tokio::time::sleep(POLL_INTERVAL * 10).await;
        }
    }

    /// Runs the checker, including a rebuild.
    pub fn passed(
        &self,
        checker: &Path,
        deed: &Executable,
        dns: &str,
        journal: &str,
    ) -> anyhow::Result<bool> {
        let mut command = super::executable::bare(checker);
        command
            .envs(deed.settings(self.environment.clone()))
            .arg("--database")
            .arg(self.file())
            .arg("--dns")
            .arg(self.folder.join(dns))
            .arg("--acknowledged")
            .arg(self.folder.join(journal))
            .args(["--visibility-ms", &VISIBILITY.as_millis().to_string()])
            .arg("--deed")
            .arg(&deed.path)
            .current_dir(&self.folder)
            .stdin(Stdio::null());
        Ok(command.status().with_context(|| format!("running {}", checker.display()))?.success())
    }
}

impl Drop for EmbeddedService {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have exited already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
