//! The sources of a configuration, in order of precedence: file, environment, flags.
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::fault::{ConfigFault, Origin};
use super::raw::Raw;
use super::setting::{Bounds, Setting};
use super::view::KeyView;

/// The prefix of variables that set a key.
const PREFIX: &str = "DEED__";

/// The values of all sources, lowest precedence first, and the faults found so far.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    given: BTreeMap<String, Vec<(Origin, Raw)>>,
    /// The origins of the values in effect.
    origins: BTreeMap<String, Origin>,
    faults: Vec<ConfigFault>,
}

impl Sources {
    /// Adds a file, which overrides earlier sources.
    pub(crate) fn file(&mut self, path: &Path, text: &str, known: &[KeyView]) {
        let (table, errors) = DeTable::parse_recoverable(text);
        // After a syntax error the recovered table would cause misleading further faults.
        if errors.is_empty() {
            let sections = known.iter().map(|key| key.section).collect();
            File { path, text, sections }.walk(self, "", table.get_ref());
        }
        for error in errors {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            self.fault(None, Origin::File(path.to_owned(), line), error.message().to_owned());
        }
    }

    /// Adds the variables with the prefix `DEED__`, which override earlier sources.
    pub(crate) fn environment(&mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) {
        for (name, value) in variables {
            let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
            let origin = Origin::Environment(name.to_owned());
            let path = name[PREFIX.len()..].replace("__", ".");
            match value.into_string() {
                // A lower-case variable would be a second spelling of the same key.
                Ok(value) if path == path.to_ascii_uppercase() => {
                    self.give(path.to_ascii_lowercase(), origin, Raw::Word(value));
                }
                Ok(_) => self.fault(None, origin, "expected capital letters".to_owned()),
                Err(_) => self.fault(None, origin, "the value is not UTF-8".to_owned()),
            }
        }
    }

    /// Adds a flag, which overrides earlier sources.
    pub(crate) fn flag(&mut self, flag: &'static str, key: &str, value: String) {
        self.give(key.to_owned(), Origin::Flag(flag), Raw::Word(value));
    }

    fn give(&mut self, key: String, origin: Origin, raw: Raw) {
        self.given.entry(key).or_default().push((origin, raw));
    }

    /// Sets a key from its sources in order of precedence; each invalid value is a fault and leaves the key
    /// unchanged.
    pub(crate) fn take<T: Setting>(&mut self, key: &str, slot: &mut T, bounds: &dyn Bounds<T>) {
        for (origin, raw) in self.given.remove(key).unwrap_or_default() {
            let read = T::read(&raw).and_then(|value| {
                let fits = bounds.contains(&value);
                if fits { Ok(value) } else { Err(Some(format!("has to be {}", bounds.describe()))) }
            });
            match read {
                Ok(value) => {
                    *slot = value;
                    self.origins.insert(key.to_owned(), origin);
                }
                Err(why) => {
                    let got = if T::SECRET { "something else".to_owned() } else { raw.excerpt() };
                    let why = why.filter(|_| !T::SECRET).map(|why| format!(": {why}")).unwrap_or_default();
                    self.fault(Some(key), origin, format!("expected {}, got {got}{why}", T::expected()));
                }
            }
        }
    }

    /// Reports every key that was not taken. `known` are all keys.
    pub(crate) fn refuse_unknown(&mut self, known: &[KeyView]) {
        for (key, given) in std::mem::take(&mut self.given) {
            let section = key.rsplit_once('.').map_or("", |(section, _)| section);
            let siblings: Vec<_> = known.iter().filter(|k| k.section == section).map(|k| k.key).collect();
            let hint = if siblings.is_empty() {
                let mut sections: Vec<_> = known.iter().map(|k| k.section).collect();
                sections.dedup();
                format!("the sections are {}", sections.join(", "))
            } else {
                format!("the keys of `{section}` are {}", siblings.join(", "))
            };
            for (origin, _) in given {
                self.fault(Some(&key), origin, format!("there is no such key; {hint}"));
            }
        }
    }

    /// Adds a fault of a key.
    pub(crate) fn fault_of(&mut self, key: &str, problem: impl Into<String>) {
        let origin = self.origin(key);
        self.fault(Some(key), origin, problem.into());
    }

    fn fault(&mut self, key: Option<&str>, origin: Origin, problem: String) {
        self.faults.push(ConfigFault { key: key.map(str::to_owned), origin, problem });
    }

    /// Adds a fault of a file that cannot be read.
    pub(crate) fn unreadable(&mut self, path: PathBuf, error: &std::io::Error) {
        self.fault(None, Origin::File(path, 1), format!("cannot be read: {error}"));
    }

    /// The origin of the value of a key.
    pub(crate) fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }

    pub(crate) fn faults(&self) -> &[ConfigFault] {
        &self.faults
    }
}

/// A file whose tables are flattened into dotted keys.
struct File<'a> {
    path: &'a Path,
    text: &'a str,
    sections: BTreeSet<&'a str>,
}

impl File<'_> {
    fn walk(&self, sources: &mut Sources, above: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let key = if above.is_empty() {
                name.get_ref().to_string()
            } else {
                format!("{above}.{}", name.get_ref())
            };
            let origin = || Origin::File(self.path.to_owned(), line_of(self.text, name.span().start));
            let is_section = self.sections.contains(key.as_str());
            match (value.get_ref(), is_section) {
                (DeValue::Table(inner), true) => self.walk(sources, &key, inner),
                (_, true) => {
                    let problem = format!("is a section, written [{key}]");
                    sources.fault(Some(&key), origin(), problem);
                }
                (value, false) => sources.give(key, origin(), Raw::from_toml(value)),
            }
        }
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    let head = text.get(..offset).unwrap_or(text);
    1 + head.bytes().filter(|byte| *byte == b'\n').count()
}
