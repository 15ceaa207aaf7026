//! An executable of the service, and which settings it takes.
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};

/// The variable for how long requests are taken after the word to stop, which older versions have not.
const SHUTDOWN_DELAY: &str = "DEED__SERVER__SHUTDOWN_DELAY";

/// One version of the service.
#[derive(Debug, Clone)]
pub struct Executable {
    pub path: PathBuf,
    /// Variables for its keys. With one that it does not know it would refuse to start.
    known: BTreeSet<String>,
    /// How long it goes on taking requests after it was told to stop.
    pub shutdown_delay: Duration,
}

impl Executable {
    /// The executable there. Where it can, it goes on taking requests for this long after it was told to stop.
    pub fn at(path: &Path, shutdown_delay: Duration) -> anyhow::Result<Self> {
        let path = std::fs::canonicalize(path).with_context(|| format!("there is no {}", path.display()))?;
        let output = bare(&path).args(["config", "sample"]).stdin(Stdio::null()).output()?;
        ensure!(output.status.success(), "{} does not show its keys", path.display());
        let known = variables(&String::from_utf8_lossy(&output.stdout));
        let shutdown_delay = if known.contains(SHUTDOWN_DELAY) { shutdown_delay } else { Duration::ZERO };
        Ok(Self { path, known, shutdown_delay })
    }

    /// Whether its relay passes on what it does not know: versions with a delay before they stop do.
    pub fn relays_whole(&self) -> bool {
        self.known.contains(SHUTDOWN_DELAY)
    }

    /// A command with those of these settings that it knows, and no others of the service.
    pub fn command(&self, settings: Vec<(String, String)>) -> Command {
        let mut command = bare(&self.path);
        command.envs(self.settings(settings));
        command
    }

    /// The settings of a process: those of these that it knows, and its own.
    pub fn settings(&self, settings: Vec<(String, String)>) -> Vec<(String, String)> {
        let own = (SHUTDOWN_DELAY.to_owned(), format!("{}ms", self.shutdown_delay.as_millis()));
        let all = settings.into_iter().chain([own]);
        all.filter(|(variable, _)| self.known.contains(variable)).collect()
    }
}

/// The variables for the keys of a sample: `[section]`, then `key = value` or `# key =`.
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

/// A command without any setting of the service.
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
    fn the_keys_of_a_sample_are_known_by_their_variables() {
        let sample = "# Every key.\n[server]\n# Has to be a list.\nlisten = \"x\"\n\n# workers =\n[dns.budgets]\nns_read = 13\n";
        let known: Vec<_> = variables(sample).into_iter().collect();
        assert_eq!(known, ["DEED__DNS__BUDGETS__NS_READ", "DEED__SERVER__LISTEN", "DEED__SERVER__WORKERS"]);
    }
}
