//! Loads and validates the configuration: defaults, then a file, then the environment, then flags.
mod fault;
mod keys;
mod log;
mod print;
mod raw;
mod sections;
mod setting;
mod settings;
mod source;
#[cfg(test)]
mod tests;
mod traces;
mod view;

use std::ffi::OsString;
use std::path::PathBuf;

pub use fault::{ConfigFault, ConfigFaults, Origin};
pub use log::{LogFormat, log_filter};
pub use print::SAMPLE;
pub use sections::{
    BusSection, Config, DnsSection, LogSection, RecordSection, ServerSection, StoreSection, TelemetrySection,
};
pub use setting::{Ratio, Role, Secret};
pub use settings::{Database, Settings};
use source::Sources;
pub use traces::Traces;
pub use view::KeyView;

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
    /// All keys with the values in effect; invalid values are left out.
    pub keys: Vec<KeyView>,
    sources: Sources,
    /// The settings, or all faults.
    pub settings: Result<Settings, ConfigFaults>,
}

impl Loaded {
    /// The configuration as TOML; values that are not defaults have their origin in a comment.
    pub fn to_toml(&self) -> String {
        print::as_toml(&self.keys, &self.sources)
    }

    /// The configuration as JSON: `{"section": {"key": {"value", "origin"}}}`.
    pub fn to_json(&self) -> serde_json::Value {
        print::as_json(&self.keys, &self.sources)
    }
}

/// Reads and validates everything; reports all faults together.
pub fn load(inputs: Inputs) -> Loaded {
    let (_, known) = Config::read(&mut Sources::default());
    let mut sources = Sources::default();
    let usual = PathBuf::from(USUAL_FILE);
    let file = inputs.file.or_else(|| usual.is_file().then_some(usual));
    if let Some(path) = file {
        match std::fs::read_to_string(&path) {
            Ok(text) => sources.file(&path, &text, &known),
            Err(error) => sources.unreadable(path, &error),
        }
    }
    sources.environment(inputs.variables);
    for (flag, key, value) in inputs.flags {
        sources.flag(flag, key, value);
    }
    let (config, keys) = Config::read(&mut sources);
    sources.refuse_unknown(&known);
    let settings = Settings::of(config, &mut sources);
    let settings = match sources.faults() {
        [] => settings.ok_or_else(|| ConfigFaults(vec![])),
        faults => Err(ConfigFaults(faults.to_vec())),
    };
    Loaded { keys, sources, settings }
}
