//! The command line of the drills.
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use super::faults::FaultKind;

/// Runs a drill on the server mode under load and checks what is left of its promises. Exit codes: 0 all
/// properties hold, 1 a property is violated, 2 the drill itself failed.
#[derive(Debug, Clone, Parser)]
pub struct Options {
    /// The drill to run.
    #[command(subcommand)]
    pub drill: Drill,
}

/// Which drill.
#[derive(Debug, Clone, Subcommand)]
pub enum Drill {
    /// Inject faults and lift them
    Faults(FaultOptions),
    /// Restart every process, one after the other, under load
    Restart(RestartOptions),
    /// Back up under load, lose everything, restore elsewhere, and continue
    Restore(RestoreOptions),
    /// Upgrade under load, through a mixture of both versions
    Upgrade(UpgradeOptions),
}

/// Options of all drills.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// The executable `deed`
    #[arg(long)]
    pub deed: PathBuf,
    /// The executable `checker`; by default the one beside this program
    #[arg(long)]
    pub checker: Option<PathBuf>,
    /// The random seed; by default random and printed
    #[arg(long)]
    pub seed: Option<u64>,
    /// Keep the folder of logs and journals even after success
    #[arg(long)]
    pub keep: bool,
    /// Names claimed per second
    #[arg(long, default_value_t = 20)]
    pub rate: u32,
    /// Names in progress at the same time
    #[arg(long, default_value_t = 500)]
    pub in_hand: usize,
}

/// The drill of faults.
#[derive(Debug, Clone, Args)]
pub struct FaultOptions {
    #[command(flatten)]
    pub common: Common,
    /// The duration of the random mix of faults, after the single faults; 0 omits it
    #[arg(long, default_value_t = 10.0)]
    pub minutes: f64,
    /// Only this kind of fault; may be repeated
    #[arg(long, value_enum)]
    pub only: Vec<FaultKind>,
    /// Skip the single faults
    #[arg(long)]
    pub mix_only: bool,
    /// How long RabbitMQ is stopped, in seconds
    #[arg(long, default_value_t = 60)]
    pub outage_seconds: u64,
    /// How long connections are frozen, in seconds
    #[arg(long, default_value_t = 30)]
    pub freeze_seconds: u64,
}

/// The drill of restarts.
#[derive(Debug, Clone, Args)]
pub struct RestartOptions {
    #[command(flatten)]
    pub common: Common,
    /// Restarts of every process
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    /// Seconds of undisturbed load before
    #[arg(long, default_value_t = 5)]
    pub peace_seconds: u64,
    /// The service's `server.shutdown_delay`, in milliseconds
    #[arg(long, default_value_t = 2000)]
    pub shutdown_delay_ms: u64,
}

/// The drill of backups.
#[derive(Debug, Clone, Args)]
pub struct RestoreOptions {
    #[command(flatten)]
    pub common: Common,
    /// The folder of the backup and restore scripts
    #[arg(long, default_value = "deploy/scripts")]
    pub scripts: PathBuf,
    /// Seconds of load before and after
    #[arg(long, default_value_t = 15)]
    pub seconds: u64,
    /// Only this backup; may be repeated
    #[arg(long, value_enum)]
    pub only: Vec<Backup>,
}

/// Kinds of backups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Backup {
    /// The log and keys, by `pg_dump`, with a fresh broker
    Log,
    /// The whole server, by `pg_basebackup` and archived write-ahead logs, to an earlier point, with the old
    /// broker
    Server,
    /// A SQLite file
    File,
}

/// The drill of an upgrade.
#[derive(Debug, Clone, Args)]
pub struct UpgradeOptions {
    #[command(flatten)]
    pub common: Common,
    /// The previous executable; `crates/drill/previous.sh` builds one
    #[arg(long)]
    pub previous: PathBuf,
    /// Seconds that each mixture of versions runs
    #[arg(long, default_value_t = 20)]
    pub mixed_seconds: u64,
    /// The new version's `server.shutdown_delay`, in milliseconds
    #[arg(long, default_value_t = 2000)]
    pub shutdown_delay_ms: u64,
}

impl FaultOptions {
    /// The duration of the mix.
    pub(super) fn mix(&self) -> Duration {
        Duration::try_from_secs_f64(self.minutes * 60.0).unwrap_or_default()
    }

    pub(super) fn outage(&self) -> Duration {
        Duration::from_secs(self.outage_seconds)
    }

    pub(super) fn freeze(&self) -> Duration {
        Duration::from_secs(self.freeze_seconds)
    }

    pub(super) fn wants(&self, kind: FaultKind) -> bool {
        self.only.is_empty() || self.only.contains(&kind)
    }
}
