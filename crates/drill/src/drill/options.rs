//! The command line of the drills.
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use super::faults::Kind;

/// Does to a running server mode what happens to it in its life, under load, and has the checker say what is left of the
/// promises. Exit codes: 0 everything, 1 something is wrong, 2 the drill could not be done.
#[derive(Debug, Clone, Parser)]
pub struct Options {
    /// What is done.
    #[command(subcommand)]
    pub drill: Drill,
}

/// Which drill.
#[derive(Debug, Clone, Subcommand)]
pub enum Drill {
    /// Break everything, and heal it
    Faults(FaultOptions),
    /// Start every process anew, one after the other, while clients ask
    Restart(RestartOptions),
    /// Back up under load, lose everything, restore elsewhere, and go on
    Restore(RestoreOptions),
    /// Go on to a newer version while clients ask, by way of a mixture of both
    Upgrade(UpgradeOptions),
}

/// What every drill takes.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// The executable `deed`
    #[arg(long)]
    pub deed: PathBuf,
    /// The executable `checker`; by default the one beside this program
    #[arg(long)]
    pub checker: Option<PathBuf>,
    /// Decides what is left to chance; by default it is drawn and printed
    #[arg(long)]
    pub seed: Option<u64>,
    /// Keep the folder of logs and journals even when nothing is wrong
    #[arg(long)]
    pub keep: bool,
    /// Names claimed a second
    #[arg(long, default_value_t = 20)]
    pub rate: u32,
    /// Names in hand at a time
    #[arg(long, default_value_t = 500)]
    pub in_hand: usize,
}

/// The drill of faults.
#[derive(Debug, Clone, Args)]
pub struct FaultOptions {
    #[command(flatten)]
    pub common: Common,
    /// How long the random mix of faults lasts, after each fault was there once; 0 leaves it out
    #[arg(long, default_value_t = 10.0)]
    pub minutes: f64,
    /// Only this kind of fault; may be repeated
    #[arg(long, value_enum)]
    pub only: Vec<Kind>,
    /// Go on to the mix at once, without each fault on its own before
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
    /// How often every process is started anew
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    /// How long the load runs in peace before, in seconds
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
    /// The folder of the scripts that back up and restore
    #[arg(long, default_value = "deploy/scripts")]
    pub scripts: PathBuf,
    /// How long the load runs before and after, in seconds
    #[arg(long, default_value_t = 15)]
    pub seconds: u64,
    /// Only this backup; may be repeated
    #[arg(long, value_enum)]
    pub only: Vec<Backup>,
}

/// Kinds of backups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Backup {
    /// Of what cannot be made again, by `pg_dump`, with a fresh broker
    Log,
    /// Of the whole server, by `pg_basebackup` and archived write-ahead logs, to an older point, with the broker as it was
    Server,
    /// Of a SQLite file
    File,
}

/// The drill of an upgrade.
#[derive(Debug, Clone, Args)]
pub struct UpgradeOptions {
    #[command(flatten)]
    pub common: Common,
    /// The executable that everything runs before; `crates/drill/previous.sh` builds one
    #[arg(long)]
    pub previous: PathBuf,
    /// How long each mixture of versions runs, in seconds
    #[arg(long, default_value_t = 20)]
    pub mixed_seconds: u64,
    /// The new version's `server.shutdown_delay`, in milliseconds
    #[arg(long, default_value_t = 2000)]
    pub shutdown_delay_ms: u64,
}

impl FaultOptions {
    /// How long the mix lasts.
    pub(super) fn mix(&self) -> Duration {
        Duration::try_from_secs_f64(self.minutes * 60.0).unwrap_or_default()
    }

    pub(super) fn outage(&self) -> Duration {
        Duration::from_secs(self.outage_seconds)
    }

    pub(super) fn freeze(&self) -> Duration {
        Duration::from_secs(self.freeze_seconds)
    }

    pub(super) fn wants(&self, kind: Kind) -> bool {
        self.only.is_empty() || self.only.contains(&kind)
    }
}
