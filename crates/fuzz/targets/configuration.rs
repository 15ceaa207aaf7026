//! Parses configurations: valid or refused with all faults, never a panic; and a printed configuration reads
//! back the same.
#![no_main]

use std::ffi::OsString;
use std::path::PathBuf;

use deed_service::config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // Files named in a configuration are read; reading a device might never end.
    if text.contains("/dev") || text.contains("/proc") || text.contains("/sys") {
        return;
    }
    // Lines after `---` are environment variables.
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
            let printed = loaded.to_toml();
            let again = load(&printed, vec![]);
            // A secret is printed as `[redacted]`, which may be invalid.
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

/// All keys with their values.
fn values(loaded: &config::Loaded) -> Vec<String> {
    loaded.keys.iter().map(|key| format!("{} = {:?}", key.path(), key.value)).collect()
}

/// A folder in memory if possible: the file is written thousands of times per second.
fn scratch() -> &'static str {
    if std::path::Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" }
}
