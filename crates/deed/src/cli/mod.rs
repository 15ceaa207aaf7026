//! The command line: what can be asked of the executable, and who carries it out.
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

use crate::config::{Inputs, Settings, load};
use crate::exit::{CODES, Exit, Failure};
use crate::output::Output;

pub(crate) use keys::new_key;

/// Deed proves who controls a domain name, and moves a name between tenants when the DNS says so.
#[derive(Debug, Parser)]
#[command(name = "deed", version, after_help = CODES, after_long_help = NOTES, max_term_width = 100)]
pub(crate) struct Cli {
    /// The configuration file; without it ./deed.toml, if there is one
    #[arg(long, global = true, env = "DEED_CONFIG", hide_env_values = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Answer in JSON, for programs
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    command: Command,
}

const NOTES: &str = "\
Every key of the configuration can also be set by a variable of the environment, DEED__SECTION__KEY; `deed config \
print` shows every key and where its value came from.

Exit codes: 0 success · 1 failed · 2 usage or configuration · 3 not found, or a negative answer · 4 a service, or the \
store, does not answer";

#[derive(Debug, Subcommand)]
enum Command {
    Dev(dev::Dev),
    /// Run the service
    Serve(serve::Serve),
    /// Bring the store's tables up to date, apart from any start of the service
    Migrate,
    /// Make, list and revoke API keys, also while the service runs
    #[command(subcommand)]
    Keys(keys::Keys),
    Check(check::Check),
    Claim(claim::Claim),
    /// Read the log of events
    #[command(subcommand)]
    Events(events::Events),
    /// See how far the lists are behind the log, or fold them anew
    #[command(subcommand)]
    Projections(projections::Projections),
    /// See, try again or throw away the messages nobody could do
    #[command(subcommand)]
    Dead(dead::Dead),
    /// Check or show the configuration
    #[command(subcommand)]
    Config(config::Config),
    /// Ask a running service whether it is ready
    Healthcheck(healthcheck::Healthcheck),
    /// Change what the sandbox DNS of `deed dev` answers
    Sandbox(sandbox::Sandbox),
}

/// What every command gets besides its own arguments.
pub(crate) struct Context {
    config: Option<PathBuf>,
    pub(crate) output: Output,
}

impl Context {
    /// The file that was named and the environment.
    pub(crate) fn inputs(&self) -> Inputs {
        Inputs::of_process(self.config.clone())
    }

    /// # Errors
    /// When the configuration has faults, with all of them.
    pub(crate) fn settings(&self) -> Result<Settings, Failure> {
        Ok(load(self.inputs()).settings?)
    }
}

impl Cli {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let context = Context { config: self.config, output: Output::new(self.json) };
        match self.command {
            Command::Dev(command) => command.run(&context).await,
            // A whole service and its settings: too much for the stack of whoever waits.
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
