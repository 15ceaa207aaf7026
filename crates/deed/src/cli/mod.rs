//! The command line: commands, global options and dispatch.
mod check;
mod claim;
mod config;
mod dead;
mod dev;
mod events;
mod healthcheck;
mod keys;
mod migrate;
mod projections;
mod sandbox;
mod serve;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::context::Context;
use crate::exit::{CODES, Exit, Failure};
use crate::output::Output;

/// Deed proves who controls a domain name, and moves a name between tenants when the DNS says so.
#[derive(Debug, Parser)]
#[command(name = "deed", version, after_help = CODES, after_long_help = LONG_AFTER_HELP, max_term_width = 100)]
pub(crate) struct Cli {
    /// The configuration file [default: ./deed.toml, if it exists]
    #[arg(long, global = true, env = "DEED_CONFIG", hide_env_values = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON, for programs
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    command: Command,
}

const LONG_AFTER_HELP: &str = "\
Every configuration key can also be set by an environment variable, DEED__SECTION__KEY; `deed config print` shows every \
key with its value and origin.

Exit codes: 0 success · 1 failed · 2 usage or configuration · 3 not found, or a negative answer · 4 a service, or the \
store, does not answer";

#[derive(Debug, Subcommand)]
enum Command {
    Dev(dev::Dev),
    /// Run the service
    Serve(serve::Serve),
    /// Migrate the tables of the store
    Migrate,
    /// Create, list and revoke API keys, also while the service runs
    #[command(subcommand)]
    Keys(keys::Keys),
    Check(check::Check),
    Claim(claim::Claim),
    /// Print events of the log
    #[command(subcommand)]
    Events(events::Events),
    /// Show the lag of subscriptions, or rebuild the read models
    #[command(subcommand)]
    Projections(projections::Projections),
    /// List, replay or purge dead letters
    #[command(subcommand)]
    Dead(dead::DeadCommand),
    /// Check or print the configuration
    #[command(subcommand)]
    Config(config::Config),
    /// Query whether a running service is ready
    Healthcheck(healthcheck::Healthcheck),
    /// Change what the sandbox DNS of `deed dev` answers
    Sandbox(sandbox::Sandbox),
}

impl Cli {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let context = Context { config: self.config, output: Output::new(self.json) };
        match self.command {
            Command::Dev(command) => command.run(&context).await,
            // The future holds the whole service, so it is boxed.
            Command::Serve(command) => Box::pin(command.run(&context)).await,
            Command::Migrate => migrate::run(&context).await,
            Command::Keys(command) => command.run(&context).await,
            Command::Check(command) => command.run(&context).await,
            Command::Claim(command) => command.run(&context).await,
            Command::Events(command) => command.run(&context).await,
            Command::Projections(command) => command.run(&context).await,
            Command::Dead(command) => command.run(&context).await,
            Command::Config(command) => command.run(&context),
            Command::Healthcheck(command) => command.run(&context).await,
            Command::Sandbox(command) => command.run(&context).await,
        }
    }
}
