//! Runs a rebuild of the read models.
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::process::Command;

/// The timeout of a rebuild; enough for hundreds of thousands of events.
const PATIENCE: Duration = Duration::from_mins(5);

/// Runs `deed projections rebuild`, whose configuration is in the environment.
pub async fn rebuild(deed: &Path) -> anyhow::Result<()> {
    let mut command = Command::new(deed);
    command.args(["projections", "rebuild", "--json"]).stdin(Stdio::null()).kill_on_drop(true);
    let ended =
        tokio::time::timeout(PATIENCE, command.output()).await.context("the rebuild takes too long")?;
    let output = ended.with_context(|| format!("running {}", deed.display()))?;
    ensure!(output.status.success(), "the rebuild failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
