//! `deed config`: checks the configuration, or shows what came of it.
use clap::Subcommand;
use serde_json::json;

use super::Context;
use crate::config::{self, Faults, as_json, as_toml, load, sample};
use crate::exit::{Exit, Failure};
use crate::output::line;

#[derive(Debug, Subcommand)]
pub(super) enum Config {
    /// Find every fault of the configuration at once
    Check,
    /// Show every key, its value and where it came from; secrets are redacted
    Print,
    /// Write a file with every key, its default and what it is for
    Sample,
}

impl Config {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Check => check(context),
            Self::Print => print(context),
            Self::Sample => {
                line(&sample(&config::Config::default()))?;
                Ok(Exit::Success)
            }
        }
    }
}

fn check(context: &Context) -> Result<Exit, Failure> {
    let Err(Faults(faults)) = load(context.inputs()).settings else {
        context.output.answer(&json!({ "ok": true, "faults": [] }), |_| "no faults".to_owned())?;
        return Ok(Exit::Success);
    };
    let answer = json!({ "ok": false, "faults": &faults });
    context.output.answer(&answer, |_| Faults(faults).to_string())?;
    Ok(Exit::Usage)
}

fn print(context: &Context) -> Result<Exit, Failure> {
    let loaded = load(context.inputs());
    let shown = as_json(&loaded.config, &loaded.sources);
    context.output.answer(&shown, |_| as_toml(&loaded.config, &loaded.sources))?;
    // What is wrong with what was shown follows on standard error.
    loaded.settings.map(|_| Exit::Success).map_err(Failure::Config)
}
