//! Configurations: sound or refused with every fault named, never a panic; and what is printed is read as the same.
#![no_main]

use std::ffi::OsString;
use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;

#[allow(dead_code, unused_imports, reason = "the executable uses the rest")]
#[path = "../../deed/src/config/mod.rs"]
mod config;

/// What the configuration needs of the executable's module of this name.
mod telemetry {
    use tracing_subscriber::filter::{EnvFilter, ParseError};

    pub(crate) fn filter(directives: &str) -> Result<EnvFilter, ParseError> {
        EnvFilter::builder().with_regex(false).parse(directives)
    }
}

fuzz_target!(|text: &str| {
    // Files that a configuration names are read; a device would never end.
    if text.contains("/dev") || text.contains("/proc") || text.contains("/sys") {
        return;
    }
    // What follows a line of three dashes are variables.
    let (file, variables) = text.split_once("\n---\n").unwrap_or((text, ""));
    let variables = variables
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (format!("DEED__{name}").into(), value.into()))
        .collect();
    let loaded = load(file, variables);
    match loaded.settings {
        Err(faults) => assert!(!faults.0.is_empty(), "refused without a reason"),
        Ok(_) => {
            let printed = config::as_toml(&loaded.config, &loaded.sources);
            let again = load(&printed, vec![]);
            // A secret is not printed, and what stands in its place may be no sound value.
            assert!(again.settings.is_ok() || printed.contains("[redacted]"), "{printed}");
            assert_eq!(values(&again), values(&loaded), "{printed}");
        }
    }
});

fn load(text: &str, variables: Vec<(OsString, OsString)>) -> config::Loaded {
    let path = PathBuf::from(format!("{}/deed-fuzz-{}.toml", scratch(), std::process::id()));
    std::fs::write(&path, text).expect("the file is written");
    config::load(config::Inputs { file: Some(path), variables, flags: vec![] })
}

/// What counts of each key, wherever it came from.
fn values(loaded: &config::Loaded) -> Vec<String> {
    loaded.config.show().iter().map(|key| format!("{} = {:?}", key.path(), key.value)).collect()
}

/// Memory, where there is such a file system: the file is written thousands of times a second.
fn scratch() -> &'static str {
    if std::path::Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" }
}
