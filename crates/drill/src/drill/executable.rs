//! An executable of some version, and the settings that it knows.
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};

/// The variable of the shutdown delay, which older versions do not know.
const SHUTDOWN_DELAY: &str = "DEED__SERVER__SHUTDOWN_DELAY";

/// One version of the service.
#[derive(Debug, Clone)]
pub struct Executable {
    pub path: PathBuf,
    /// The variables of its keys; it refuses to start with unknown ones.
    known: BTreeSet<String>,
    /// How long it serves after a stop signal.
    pub shutdown_delay: Duration,
}

impl Executable {
    /// Inspects an executable. `shutdown_delay` applies if it knows that key.
    pub fn at(path: &Path, shutdown_delay: Duration) -> anyhow::Result<Self> {
        let path = std::fs::canonicalize(path).with_context(|| format!("there is no {}", path.display()))?;
        let output = bare(&path).args(["config", "sample"]).stdin(Stdio::null()).output()?;
        ensure!(output.status.success(), "{} does not show its keys", path.display());
        let known = variables(&String::from_utf8_lossy(&output.stdout));
        let shutdown_delay = if known.contains(SHUTDOWN_DELAY) { shutdown_delay } else { Duration::ZERO };
        Ok(Self { path, known, shutdown_delay })
    }

    /// Whether its relay publishes unknown fields: versions with a shutdown delay do.
    pub fn relays_whole(&self) -> bool {
        self.known.contains(SHUTDOWN_DELAY)
    }

    /// A command with the known ones of these settings, and no others.
    pub fn command(&self, settings: Vec<(String, String)>) -> Command {
        let mut command = bare(&self.path);
        command.envs(self.settings(settings));
        command
    }

    /// The known ones of these settings, and its own.
    pub fn settings(&self, settings: Vec<(String, String)>) -> Vec<(String, String)> {
        let own = (SHUTDOWN_DELAY.to_owned(), format!("{}ms", self.shutdown_delay.as_millis()));
        let all = settings.into_iter().chain([own]);
        all.filter(|(variable, _)| self.known.contains(variable)).collect()
    }
}

/// The variables of the keys in a sample: `[section]`, then `key = value` or `# key =`.
fn variables(sample: &str) -> BTreeSet<String> {
    let (mut section, mut found) = (String::new(), BTreeSet::new());
    for line in sample.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name.replace('.', "__");
        } else if let Some((key, _)) = line.strip_prefix("# ").unwrap_or(line).split_once(" =")
            && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        {
            found.insert(format!("DEED__{section}__{key}").to_uppercase());
        }
    }
    found
}

/// A command without `DEED…` variables.
pub fn bare(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("DEED")) {
            command.env_remove(name);
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_variables_from_sample() {
        let sample = "# Every key.\n[server]\n# Has to be a list.\nlisten = \"x\"\n\n# workers =\n[dns.budgets]\nns_read = 13\n";
        let known: Vec<_> = variables(sample).into_iter().collect();
        assert_eq!(known, ["DEED__DNS__BUDGETS__NS_READ", "DEED__SERVER__LISTEN", "DEED__SERVER__WORKERS"]);
    }
}
