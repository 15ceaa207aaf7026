//! Loads and validates the configuration: defaults, then a file, then the environment, then flags.
mod defaults;
mod fault;
mod keys;
mod log;
mod print;
mod raw;
mod setting;
mod settings;
mod source;
#[cfg(test)]
mod tests;
mod traces;

use std::ffi::OsString;
use std::path::PathBuf;

pub use fault::ConfigFaults;
#[cfg(test)]
use fault::Origin;
pub use keys::{Config, KeyView};
pub use log::{LogFormat, log_filter};
pub use print::{as_json, as_toml, sample};
pub use setting::{Role, Secret};
pub use settings::{Database, Settings};
use source::Sources;
pub use traces::Traces;

/// The file that is read when it exists and no other is named.
const USUAL_FILE: &str = "deed.toml";

/// The sources of a configuration besides the defaults.
#[derive(Debug, Default)]
pub struct Inputs {
    /// The file named by a flag or by `DEED_CONFIG`.
    pub file: Option<PathBuf>,
    /// The environment variables.
    pub variables: Vec<(OsString, OsString)>,
    /// Keys set by flags: the flag, the key, the value.
    pub flags: Vec<(&'static str, &'static str, String)>,
}

impl Inputs {
    /// The named file, and the environment of this process.
    pub fn of_process(file: Option<PathBuf>) -> Self {
        Self { file, variables: std::env::vars_os().collect(), flags: vec![] }
    }

    /// Sets a key when its flag is given.
    pub fn flag(&mut self, flag: &'static str, key: &'static str, value: Option<impl ToString>) {
        self.flags.extend(value.map(|value| (flag, key, value.to_string())));
    }
}

/// A configuration with its sources, valid or not.
#[derive(Debug)]
pub struct Loaded {
    /// All keys; invalid values are left out.
    pub config: Config,
    /// Where the values came from.
    pub sources: Sources,
    /// The settings, or all faults.
    pub settings: Result<Settings, ConfigFaults>,
}

/// Reads and validates everything; reports all faults together.
pub fn load(inputs: Inputs) -> Loaded {
    let mut sources = Sources::default();
    let usual = PathBuf::from(USUAL_FILE);
    let file = inputs.file.or_else(|| usual.is_file().then_some(usual));
    if let Some(path) = file {
        match std::fs::read_to_string(&path) {
            Ok(text) => sources.file(&path, &text, Config::SECTIONS),
            Err(error) => sources.unreadable(path, &error),
        }
    }
    sources.environment(inputs.variables);
    for (flag, key, value) in inputs.flags {
        sources.flag(flag, key, value);
    }
    let mut config = Config::default();
    config.read(&mut sources);
    let known: Vec<String> = config.show().iter().map(KeyView::path).collect();
    sources.refuse_unknown(&known);
    let settings = Settings::of(&config, &mut sources);
    let settings = match sources.faults() {
        [] => settings.ok_or_else(|| ConfigFaults(vec![])),
        faults => Err(ConfigFaults(faults.to_vec())),
    };
    Loaded { config, sources, settings }
}
