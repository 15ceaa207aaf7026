//! The sources of a configuration, laid over each other: a file, the environment, flags.
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::fault::{Fault, Origin};
use super::raw::Raw;
use super::setting::{Bounds, Setting};

/// What a variable that sets a key starts with.
const PREFIX: &str = "DEED__";

/// Everything that was said, weakest first, and what turned out wrong about it.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    given: BTreeMap<String, Vec<(Origin, Raw)>>,
    /// Of the values that count in the end.
    origins: BTreeMap<String, Origin>,
    faults: Vec<Fault>,
}

impl Sources {
    /// Lays a file over what was said before.
    pub(crate) fn file(&mut self, path: &Path, text: &str, sections: &[&str]) {
        let (table, errors) = DeTable::parse_recoverable(text);
        // What was guessed around a slip would bring faults that are none.
        if errors.is_empty() {
            File { path, text, sections }.walk(self, "", table.get_ref());
        }
        for error in errors {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            self.fault(None, Origin::File(path.to_owned(), line), error.message().to_owned());
        }
    }

    /// Lays the variables that start with `DEED__` over what was said before.
    pub(crate) fn environment(&mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) {
        for (name, value) in variables {
            let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
            let origin = Origin::Environment(name.to_owned());
            let path = name[PREFIX.len()..].replace("__", ".");
            match value.into_string() {
                // A variable in lower case would be a second spelling of the same key.
                Ok(value) if path == path.to_ascii_uppercase() => {
                    self.give(path.to_ascii_lowercase(), origin, Raw::Word(value));
                }
                Ok(_) => self.fault(None, origin, "expected capital letters".to_owned()),
                Err(_) => self.fault(None, origin, "the value is not UTF-8".to_owned()),
            }
        }
    }

    /// Lays a flag over what was said before.
    pub(crate) fn flag(&mut self, flag: &'static str, key: &str, value: String) {
        self.give(key.to_owned(), Origin::Flag(flag), Raw::Word(value));
    }

    fn give(&mut self, key: String, origin: Origin, raw: Raw) {
        self.given.entry(key).or_default().push((origin, raw));
    }

    /// Takes what was said of a key; what does not fit stays unused and becomes a fault, each on its own.
    pub(crate) fn take<T: Setting>(&mut self, key: &str, slot: &mut T, bounds: Option<&dyn Bounds<T>>) {
        for (origin, raw) in self.given.remove(key).unwrap_or_default() {
            let read = T::read(&raw).and_then(|value| match bounds {
                Some(bounds) if !bounds.hold(&value) => Err(Some(format!("has to be {}", bounds.words()))),
                _ => Ok(value),
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

    /// Refuses whatever nobody has taken. `known` are all keys.
    pub(crate) fn refuse_unknown(&mut self, known: &[String]) {
        for (key, given) in std::mem::take(&mut self.given) {
            let section = key.rsplit_once('.').map_or("", |(section, _)| section);
            let siblings: Vec<&str> = known
                .iter()
                .filter_map(|known| known.strip_prefix(section)?.strip_prefix('.'))
                .filter(|rest| !rest.contains('.'))
                .collect();
            let hint = if siblings.is_empty() {
                let mut sections: Vec<_> =
                    known.iter().filter_map(|k| k.rsplit_once('.').map(|k| k.0)).collect();
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

    /// Adds a fault that is about the value of a key.
    pub(crate) fn fault_of(&mut self, key: &str, problem: impl Into<String>) {
        let origin = self.origin(key);
        self.fault(Some(key), origin, problem.into());
    }

    fn fault(&mut self, key: Option<&str>, origin: Origin, problem: String) {
        self.faults.push(Fault { key: key.map(str::to_owned), origin, problem });
    }

    /// Adds a fault of a file that could not be read at all.
    pub(crate) fn unreadable(&mut self, path: PathBuf, error: &std::io::Error) {
        self.fault(None, Origin::File(path, 1), format!("cannot be read: {error}"));
    }

    /// Where the value of a key came from.
    pub(crate) fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }

    pub(crate) fn faults(&self) -> &[Fault] {
        &self.faults
    }
}

/// A file that is being flattened into keys.
struct File<'a> {
    path: &'a Path,
    text: &'a str,
    sections: &'a [&'a str],
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
            let is_section = self.sections.contains(&key.as_str());
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
