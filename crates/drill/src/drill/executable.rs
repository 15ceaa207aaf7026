//! An executable of the service, and what is set for it beside what all have.
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};

/// A key that not every version knows, and a configuration with unknown keys is refused.
const SHUTDOWN_DELAY: &str = "shutdown_delay";

/// One version of the service.
#[derive(Debug, Clone)]
pub struct Executable {
    pub path: PathBuf,
    /// Settings of its own.
    pub settings: Vec<(String, String)>,
    /// How long it goes on taking requests after it was told to stop.
    pub shutdown_delay: Duration,
}

impl Executable {
    /// The executable there. Where it can, it goes on taking requests for this long after it was told to stop.
    pub fn at(path: &Path, shutdown_delay: Duration) -> anyhow::Result<Self> {
        let path = std::fs::canonicalize(path).with_context(|| format!("there is no {}", path.display()))?;
        if !sample(&path)?.contains(SHUTDOWN_DELAY) {
            return Ok(Self { path, settings: vec![], shutdown_delay: Duration::ZERO });
        }
        let key = format!("DEED__SERVER__{}", SHUTDOWN_DELAY.to_uppercase());
        let settings = vec![(key, format!("{}ms", shutdown_delay.as_millis()))];
        Ok(Self { path, settings, shutdown_delay })
    }
}

/// Every key that an executable knows.
fn sample(deed: &Path) -> anyhow::Result<String> {
    let output = clean(deed, vec![]).args(["config", "sample"]).stdin(Stdio::null()).output()?;
    ensure!(output.status.success(), "{} does not show its keys", deed.display());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A command with these settings and no others of the service.
pub fn clean(program: &Path, environment: Vec<(String, String)>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("DEED")) {
            command.env_remove(name);
        }
    }
    command.envs(environment);
    command
}
