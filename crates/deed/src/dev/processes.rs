//! Runs the roles as child processes, which are stopped together.
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::exit::{Exit, Failure};

/// The roles of the child processes.
const ROLES: [&str; 4] = ["api", "projector", "verifier", "verifier"];
/// The time to exit; longer than their own shutdown deadline.
const END_TIMEOUT: Duration = Duration::from_secs(45);

/// Running child processes. They shut down when their standard input closes, which also happens when this
/// process dies.
pub(super) struct Processes {
    children: Vec<(&'static str, Child)>,
    /// Kept separately, because `Child::wait` closes the standard input.
    inputs: Vec<ChildStdin>,
}

impl Processes {
    /// Starts the child processes.
    pub(super) fn start(config: &Path) -> Result<Self, Failure> {
        let failed = |error| Failure::with_source("a role cannot be started", error);
        let executable = std::env::current_exe().map_err(failed)?;
        let mut started = Self { children: vec![], inputs: vec![] };
        for role in ROLES {
            let mut command = Command::new(&executable);
            command.arg("--config").arg(config).args(["serve", "--stop-with-stdin", "--roles", role]);
            if role != "api" {
                // The configured ports belong to the process with the role `api`.
                command.args(["--ops-listen", "127.0.0.1:0"]);
            }
            let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).kill_on_drop(true).spawn();
            let mut child = child.map_err(failed)?;
            started.inputs.extend(child.stdin.take());
            started.children.push((role, child));
        }
        Ok(started)
    }

    /// Runs until `stop` or until a child process exits, then stops all.
    pub(super) async fn run(mut self, stop: CancellationToken) -> Result<Exit, Failure> {
        let died = tokio::select! {
            () = stop.cancelled() => None,
            died = self.first_end() => Some(died),
        };
        let finish = self.end().await;
        match died {
            Some((role, status)) => {
                Err(Failure::failed(format!("a process with the role {role} ended: {status}")))
            }
            None => finish.map(|()| Exit::Success),
        }
    }

    async fn first_end(&mut self) -> (&'static str, String) {
        let ends = self
            .children
            .iter_mut()
            .map(|(role, child)| Box::pin(async { (*role, exit_text(child.wait().await)) }));
        futures::future::select_all(ends).await.0
    }

    async fn end(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + END_TIMEOUT;
        self.inputs.clear();
        let mut finish = Ok(());
        for (role, child) in &mut self.children {
            match timeout_at(deadline, child.wait()).await {
                Ok(Ok(status)) if status.success() => {}
                Ok(ended) => {
                    finish = Err(Failure::failed(format!("the role {role} ended: {}", exit_text(ended))));
                }
                Err(_) => {
                    // It is killed on drop.
                    finish = Err(Failure::failed(format!("a process with the role {role} does not end")));
                }
            }
        }
        finish
    }
}

fn exit_text(ended: std::io::Result<ExitStatus>) -> String {
    ended.map_or_else(|error| error.to_string(), |status| status.to_string())
}
