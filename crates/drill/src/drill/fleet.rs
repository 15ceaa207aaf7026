//! The processes of the service: started, killed, suspended, and restarted when they exit.
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use deed_testkit::free_port;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

use super::balancer::Api;
use super::executable::{Executable, bare};
use super::infrastructure::{Infrastructure, Role};
use super::notes::Notes;
use super::usage::Usage;

/// The delay of a restart.
const AGAIN: Duration = Duration::from_secs(1);
/// The timeout for readiness without faults, and for an exit after SIGTERM.
const TIMEOUT: Duration = Duration::from_mins(1);

/// A process slot.
pub struct Member {
    pub role: Role,
    index: usize,
    /// Its executable.
    deed: Executable,
    /// Its HTTP address, used only for `api`.
    listen: SocketAddr,
    ops: SocketAddr,
    log: PathBuf,
    child: Option<Child>,
    /// Whether it has been ready since its start.
    ready: bool,
    /// When to restart it; none while it runs or is kept down.
    again: Option<Instant>,
    wanted: bool,
}

impl Member {
    pub fn name(&self) -> String {
        format!("{}-{}", self.role.name(), self.index)
    }

    /// Polls readiness and stores the result.
    async fn asked(&mut self, http: &reqwest::Client) -> bool {
        let asked = http.get(format!("http://{}/readyz", self.ops)).send().await;
        self.ready = asked.is_ok_and(|answer| answer.status().is_success());
        self.ready
    }

    fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }
}

pub struct Fleet {
    pub members: Vec<Member>,
    http: reqwest::Client,
    notes: Notes,
    /// Processes that exited during their start, as they may while a dependency is down.
    pub ended_starting: usize,
}

impl Fleet {
    /// Starts all processes and waits until they are ready.
    pub async fn start(infra: &Infrastructure, notes: &Notes) -> anyhow::Result<Self> {
        let address = || SocketAddr::from((Ipv4Addr::LOCALHOST, free_port(&[Ipv4Addr::LOCALHOST])));
        let members =
            Role::ALL.into_iter().flat_map(|role| (0..role.replicas()).map(move |index| (role, index)));
        let members = members.map(|(role, index)| Member {
            role,
            index,
            deed: infra.deed.clone(),
            listen: address(),
            ops: address(),
            log: infra.folder.join(format!("{}-{index}.log", role.name())),
            child: None,
            ready: false,
            again: None,
            wanted: false,
        });
        let http = reqwest::Client::builder().timeout(Duration::from_secs(2)).no_proxy().build()?;
        let mut fleet = Self { members: members.collect(), http, notes: notes.clone(), ended_starting: 0 };
        for member in 0..fleet.members.len() {
            fleet.launch(infra, member)?;
        }
        fleet.until_ready().await?;
        Ok(fleet)
    }

    /// Starts a process.
    pub fn launch(&mut self, infra: &Infrastructure, member: usize) -> anyhow::Result<()> {
        let member = self.members.get_mut(member).context("there is such a process")?;
        let log = File::options().create(true).append(true).open(&member.log)?;
        // The parent-death signal is bound to the thread that starts it, which is the main one.
        let mut command = bare(Path::new("setpriv"));
        command
            .envs(member.deed.settings(infra.environment(member.role)?))
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&member.deed.path)
            .args(["serve", "--roles", member.role.name()])
            .args(["--listen", &member.listen.to_string(), "--ops-listen", &member.ops.to_string()])
            .current_dir(&infra.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        member.child = Some(spawn(&mut command)?);
        (member.ready, member.again, member.wanted) = (false, None, true);
        Ok(())
    }

    /// Kills a process; it stays down until it is launched.
    pub fn kill(&mut self, member: usize) -> anyhow::Result<()> {
        let member = self.members.get_mut(member).context("there is such a process")?;
        (member.wanted, member.again) = (false, None);
        if let Some(mut child) = member.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Sends a signal to a running process.
    pub fn signal(&self, member: usize, signal: Signal) -> anyhow::Result<()> {
        let pid = self.members.get(member).and_then(Member::pid).and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            kill_process(pid, signal)?;
        }
        Ok(())
    }

    /// Sends SIGTERM; the process stays down until it is launched.
    pub fn ask_to_end(&mut self, member: usize) -> anyhow::Result<()> {
        let asked = self.members.get_mut(member).context("there is such a process")?;
        (asked.wanted, asked.again) = (false, None);
        self.signal(member, Signal::TERM)
    }

    /// The exit status; none while it runs.
    pub fn ended(&mut self, member: usize) -> anyhow::Result<Option<ExitStatus>> {
        let member = self.members.get_mut(member).context("there is such a process")?;
        let ended = member.child.as_mut().context("it was started")?.try_wait()?;
        if ended.is_some() {
            member.child = None;
        }
        Ok(ended)
    }

    /// Sets the executable for its next start.
    pub fn equip(&mut self, member: usize, deed: &Executable) -> anyhow::Result<()> {
        self.members.get_mut(member).context("there is such a process")?.deed = deed.clone();
        Ok(())
    }

    /// The role, the name and the shutdown delay of a process.
    pub fn described(&self, member: usize) -> anyhow::Result<(Role, String, Duration)> {
        let member = self.members.get(member).context("there is such a process")?;
        let delay = if member.role == Role::Api { member.deed.shutdown_delay } else { Duration::ZERO };
        Ok((member.role, member.name(), delay))
    }

    /// Whether a process has been ready since its start.
    pub async fn is_up(&mut self, member: usize) -> bool {
        let Some(member) = self.members.get_mut(member) else { return false };
        member.child.is_some() && (member.ready || member.asked(&self.http).await)
    }

    /// The resource usage of the running processes of a role.
    pub fn usage(&self, role: Role) -> Usage {
        let of = self.members.iter().filter(|member| member.role == role).filter_map(Member::pid);
        of.map(Usage::of).fold(Usage::default(), Usage::and)
    }

    /// The number of processes per version, as text.
    pub fn versions(&self, new: &Executable) -> String {
        let count = |role: Role, is_new: bool| {
            let of = self.members.iter().filter(|member| member.role == role);
            of.filter(|member| (member.deed.path == new.path) == is_new).count()
        };
        let description =
            |role: Role| format!("{} {} old, {} new", role.name(), count(role, false), count(role, true));
        Role::ALL.map(description).join(" · ")
    }

    /// The `api` processes.
    pub fn apis(&self) -> Vec<Api> {
        let apis = self.members.iter().filter(|member| member.role == Role::Api);
        apis.map(|member| Api { listen: member.listen, ops: member.ops }).collect()
    }

    /// The process with this id.
    pub fn by_pid(&self, pid: u32) -> Option<usize> {
        self.members.iter().position(|member| member.pid() == Some(pid))
    }

    /// The processes of a role.
    pub fn of(&self, role: Role) -> Vec<usize> {
        (0..).zip(&self.members).filter(|(_, member)| member.role == role).map(|(index, _)| index).collect()
    }

    /// Detects exits and restarts processes.
    pub async fn supervise(&mut self, infra: &Infrastructure) -> anyhow::Result<()> {
        let mut due = vec![];
        for (index, member) in self.members.iter_mut().enumerate().filter(|(_, member)| member.wanted) {
            if let Some(ended) = member.child.as_mut().map(Child::try_wait).transpose()?.flatten() {
                member.child = None;
                member.again = Some(Instant::now() + AGAIN);
                let name = member.name();
                if member.ready {
                    self.notes.anomaly(&format!("{name} ended by itself after it had been ready: {ended}"));
                } else {
                    self.ended_starting += 1;
                    self.notes.say(&format!("{name} ended while it was starting: {ended}"));
                }
            }
            if member.again.is_some_and(|at| at <= Instant::now()) {
                due.push(index);
            }
        }
        for index in due {
            self.launch(infra, index)?;
        }
        for member in self.members.iter_mut().filter(|member| member.child.is_some() && !member.ready) {
            member.asked(&self.http).await;
        }
        Ok(())
    }

    /// Whether all processes run and have been ready.
    pub fn is_ready(&self) -> bool {
        self.members.iter().all(|member| member.child.is_some() && member.ready)
    }

    async fn until_ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + TIMEOUT;
        while !self.is_ready() {
            for member in &mut self.members {
                let ended = member.child.as_mut().map(Child::try_wait).transpose()?.flatten();
                ensure!(
                    ended.is_none(),
                    "{} does not come up ({ended:?}): see {}",
                    member.name(),
                    member.log.display()
                );
                if !member.ready {
                    member.asked(&self.http).await;
                }
            }
            ensure!(Instant::now() < deadline, "the processes do not get ready: see {}", self.waiting_for());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    fn waiting_for(&self) -> String {
        let logs =
            self.members.iter().filter(|member| !member.ready).map(|member| member.log.display().to_string());
        logs.collect::<Vec<_>>().join(", ")
    }

    /// Stops all processes; each has to exit with 0.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        for member in 0..self.members.len() {
            self.signal(member, Signal::TERM)?;
        }
        let deadline = Instant::now() + TIMEOUT;
        for member in &mut self.members {
            member.wanted = false;
            let Some(mut child) = member.child.take() else { continue };
            loop {
                if let Some(ended) = child.try_wait()? {
                    if !ended.success() {
                        self.notes
                            .anomaly(&format!("{} ended badly when it was asked to: {ended}", member.name()));
                    }
                    break;
                }
                if Instant::now() > deadline {
                    self.notes.anomaly(&format!("{} does not end when it is asked to", member.name()));
                    child.kill()?;
                    child.wait()?;
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for child in self.members.iter_mut().filter_map(|member| member.child.as_mut()) {
            // It may have exited already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn spawn(command: &mut Command) -> anyhow::Result<Child> {
    command.spawn().context("a process of the service starts")
}
