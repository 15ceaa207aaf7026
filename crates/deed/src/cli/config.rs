//! `deed config`: checks, prints or samples the configuration.
use clap::Subcommand;
use deed_service::config::{ConfigFaults, SAMPLE, load};
use serde_json::json;

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::print_line;

#[derive(Debug, Subcommand)]
pub(super) enum Config {
    /// Report all faults of the configuration
    Check,
    /// Print every key with its value and origin; secrets are redacted
    Print,
    /// Print a sample file: every key with its default and description
    Sample,
}

impl Config {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Check => check(context),
            Self::Print => print(context),
            Self::Sample => {
                print_line(SAMPLE)?;
                Ok(Exit::Success)
            }
        }
    }
}

fn check(context: &Context) -> Result<Exit, Failure> {
    let Err(ConfigFaults(faults)) = load(context.inputs()).settings else {
        context.output.print(&json!({ "ok": true, "faults": [] }), |_| "no faults".to_owned())?;
        return Ok(Exit::Success);
    };
    let answer = json!({ "ok": false, "faults": &faults });
    context.output.print(&answer, |_| ConfigFaults(faults).to_string())?;
    Ok(Exit::Usage)
}

fn print(context: &Context) -> Result<Exit, Failure> {
    let loaded = load(context.inputs());
    context.output.print(&loaded.to_json(), |_| loaded.to_toml())?;
    // Faults follow on standard error.
    loaded.settings.map(|_| Exit::Success).map_err(Failure::Config)
}
