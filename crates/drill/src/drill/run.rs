//! Runs the selected drill in a temporary folder.
use std::path::Path;

use anyhow::Context as _;
use tempfile::TempDir;

use super::options::{Common, Drill, Options};
use super::{fault_drill, restart, restore, upgrade};

impl Drill {
    fn common(&self) -> &Common {
        match self {
            Self::Faults(options) => &options.common,
            Self::Restart(options) => &options.common,
            Self::Upgrade(options) => &options.common,
            Self::Restore(options) => &options.common,
        }
    }

    async fn done(&self, folder: &Path) -> anyhow::Result<bool> {
        match self {
            Self::Faults(options) => fault_drill::drill(options, folder).await,
            Self::Restart(options) => restart::drill(options, folder).await,
            Self::Upgrade(options) => upgrade::drill(options, folder).await,
            Self::Restore(options) => restore::drill(options, folder).await,
        }
    }
}

/// Runs the drill; returns whether it passed.
pub async fn run(options: Options) -> anyhow::Result<bool> {
    let folder = TempDir::with_prefix("deed-drill-").context("a folder for the run")?;
    let kept = folder.path().to_owned();
    let done = tokio::select! {
        done = options.drill.done(folder.path()) => done,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            Err(anyhow::anyhow!("interrupted"))
        }
    };
    if options.drill.common().keep || !matches!(done, Ok(true)) {
        println!("logs and journals are in {}", kept.display());
        let _ = folder.keep();
    }
    done
}
