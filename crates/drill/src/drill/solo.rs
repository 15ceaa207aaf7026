//! The embedded mode: one process on a SQLite file, with a load of its own, judged by the same checker.
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

use super::balancer::{Api, Balancer, Heed};
use super::executable::Executable;
use super::load::{Load, Pace};
use super::notes::Notes;
use super::place::{VISIBILITY, WORKSPACES, environment};
use super::talk::Talk;
use crate::checker::snapshot;
use crate::dns::{DnsServer, Records};
use crate::journal::Journal;

/// How long the process may take to be ready, to end, and to come to rest.
const PATIENCE: Duration = Duration::from_mins(2);
const LOOK: Duration = Duration::from_millis(100);

pub struct Solo {
    folder: PathBuf,
    api: Api,
    dns: DnsServer,
    environment: Vec<(String, String)>,
    child: Option<Child>,
}

impl Solo {
    /// Finds a folder, ports and a DNS of its own; nothing runs yet.
    pub async fn at(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let records = Records::new(&folder.join("dns.jsonl"))?;
        let dns = DnsServer::start(Ipv4Addr::LOCALHOST, free_port(&[Ipv4Addr::LOCALHOST]), records).await?;
        let environment = environment(folder, &dns)?;
        let address = || SocketAddr::from((Ipv4Addr::LOCALHOST, free_port(&[Ipv4Addr::LOCALHOST])));
        let api = Api { listen: address(), ops: address() };
        Ok(Self { folder: folder.to_owned(), api, dns, environment, child: None })
    }

    /// The file of everything.
    pub fn file(&self) -> PathBuf {
        self.folder.join("deed.db")
    }

    /// Runs a command to its end and reads its JSON.
    pub fn command(&self, deed: &Executable, words: &[&str]) -> anyhow::Result<Value> {
        let mut command = deed.command(self.environment.clone());
        let output = command.args(words).arg("--json").current_dir(&self.folder).output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success(),
            "deed {words:?} failed: {said} {}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_str(&said).with_context(|| format!("deed {words:?} said {said:?}"))
    }

    /// Starts the process. It serves when this returns.
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
            ensure!(begun.elapsed() < PATIENCE, "it does not get ready");
            tokio::time::sleep(LOOK).await;
        }
        Ok(begun.elapsed())
    }

    /// SIGTERM; it has ended with 0 when this returns.
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
            ensure!(asked.elapsed() < PATIENCE, "it does not end when it is asked to");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let mut child = self.child.take().context("it runs")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// A load on it, which goes on while the process is exchanged. The first has to be able to make keys.
    pub fn load(&self, deed: &Executable, notes: &Notes, pace: Pace, journal: &str) -> anyhow::Result<Load> {
        let mut keys = vec![];
        for workspace in WORKSPACES {
            let made =
                self.command(deed, &["keys", "create", "--name", "drill", "--workspace", workspace])?;
            keys.push(made["secret"].as_str().context("a key has a secret")?.to_owned());
        }
        let talk = Talk::new(Balancer::new(&[self.api], Heed::Nothing)?, notes.clone())?;
        let journal = Journal::create(&self.folder.join(journal))?;
        Ok(Load::start(talk, keys, self.dns.records().clone(), journal, notes.clone(), pace))
    }

    /// Waits until all of these records are proven and everything has followed the log.
    pub async fn rest(&self, published: &BTreeSet<String>) -> anyhow::Result<()> {
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
            ensure!(
                begun.elapsed() < PATIENCE,
                "no rest: {missing} published and not verified, log at {end}"
            );
            tokio::time::sleep(LOOK * 10).await;
        }
    }

    /// Has the checker look, which folds the lists again as well.
    pub fn judged(
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

impl Drop for Solo {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // One that is gone already needs nothing.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
